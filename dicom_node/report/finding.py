"""What a finding says, as content items: number, site with its side, view."""

from collections.abc import Iterator
from math import isfinite
from typing import Final

from highdicom import sr

from dicom_node.core.errors import ReportError
from dicom_node.core.types import Finding
from dicom_node.report import codes as terms

DECIMALS: Final = 4
_MOST_DECIMALS: Final = 9  # DS holds 16 characters
_DIGITS: Final = 6
_MOST_DIGITS: Final = 10


def measurement(finding: Finding) -> sr.Measurement:
    """Make the NUM item: the measured value in its unit, else the probability.

    Raises:
        ReportError: the number is none, or a measured value has no unit.

    Source: PS3.16 TID 300 in TID 1501.
    """
    if finding.value is None:
        return sr.Measurement(
            name=terms.PROBABILITY,
            value=shown_probability(finding),
            unit=terms.UNIT_ONE,
        )
    if finding.unit is None:
        raise ReportError("a measured value has no unit: complete the model card")
    return sr.Measurement(
        name=terms.coded(finding.concept),
        value=shown_value(finding),
        unit=terms.coded(finding.unit),
    )


def shown_probability(finding: Finding, *, decimals: int = DECIMALS) -> float:
    """Round to some places, or to as many as keep it on its side of the threshold.

    Raises:
        ReportError: it is not a number from 0 to 1.
    """
    probability = float(finding.probability)
    if not (isfinite(probability) and 0.0 <= probability <= 1.0):
        raise ReportError("the Probability of a finding must be a number from 0 to 1")
    for places in range(decimals, _MOST_DECIMALS + 1):
        shown = round(probability, places)
        if _same_side(shown, probability, finding.threshold):
            return shown
    return probability


def shown_value(finding: Finding) -> float:
    """Round to 6 digits, or to as many as keep it on its side of the threshold.

    Raises:
        ReportError: it is not a number.
    """
    value = float(finding.value if finding.value is not None else "nan")
    if not isfinite(value):
        raise ReportError("the value of a finding must be a number")
    for digits in range(_DIGITS, _MOST_DIGITS + 1):
        shown = float(f"{value:.{digits}g}")
        if _same_side(shown, value, finding.threshold):
            return shown
    return value


def _same_side(shown: float, exact: float, threshold: float | None) -> bool:
    return threshold is None or (shown >= threshold) == (exact >= threshold)


def presence(finding: Finding) -> list[sr.QualitativeEvaluation]:
    """Say whether the condition is present; a value without a threshold says nothing.

    Source: PS3.16 CID 240.
    """
    if finding.value is not None and finding.threshold is None:
        return []
    return [
        sr.QualitativeEvaluation(
            name=terms.coded(finding.concept), value=terms.presence(finding.present)
        )
    ]


def finding_sites(finding: Finding) -> list[sr.FindingSite] | None:
    """Make the Finding Site with its Laterality (PS3.16 TID 1501, CID 244)."""
    if finding.site is None:
        if finding.laterality is not None:
            raise ReportError(
                "a finding with a side has no site: add one to the model card"
            )
        return None
    side = finding.laterality
    return [
        sr.FindingSite(
            anatomic_location=terms.coded(finding.site),
            laterality=terms.coded(side) if side else None,
        )
    ]


def add_view(group: sr.MeasurementsAndQualitativeEvaluations, finding: Finding) -> None:
    """Add the view that the finding rests on, where it is grouped by view.

    highdicom has no place for it. TID 1501 is extensible, and a CONTAINER may have
    CODE as acquisition context in each of the three SR classes (PS3.3 A.35.2.3.1.2).
    """
    if finding.view is not None:
        group[0].ContentSequence.append(
            sr.CodeContentItem(
                name=terms.IMAGE_VIEW,
                value=terms.coded(finding.view),
                relationship_type=sr.RelationshipTypeValues.HAS_ACQ_CONTEXT,
            )
        )


def identity(finding: Finding) -> Iterator[str]:
    """Yield what tells a finding from the others of its model, for its tracking UID."""
    for concept in (finding.concept, finding.site, finding.laterality, finding.view):
        if concept is not None:
            yield concept.scheme
            yield concept.value
    if finding.note:
        yield finding.note


def label(finding: Finding) -> str:
    """Name the finding and its group for people."""
    parts = [finding.concept, finding.laterality, finding.view]
    named = [part.meaning for part in parts if part is not None]
    return ", ".join([*named, "side or view unknown"] if finding.note else named)
