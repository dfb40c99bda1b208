"""A finding as a FHIR Observation.

Source: HL7 FHIR R4 Observation; DICOM SR to FHIR implementation guide 1.0.0.
"""

from collections.abc import Iterator
from math import isfinite
from typing import Final

from dicom_node.core.errors import ReportError
from dicom_node.core.states import Urgency
from dicom_node.core.types import CodedConcept, Finding
from dicom_node.worklist.fhir_case import Case, Target, identifier_of
from dicom_node.worklist.fhir_values import (
    JSON,
    concept,
    instant,
    narrative,
    quantity,
    started,
    text,
)

# Artificial Intelligence asserted: what no person has said.
AI_ASSERTED: Final[JSON] = {
    "security": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
            "code": "AIAST",
        }
    ]
}
_CATEGORY: Final[JSON] = {
    "coding": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
            "code": "imaging",
        }
    ]
}
_INTERPRETATION: Final = (
    "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
)
_PRESENCE: Final = {  # CID 240
    True: CodedConcept(value="52101004", scheme="SCT", meaning="Present"),
    False: CodedConcept(value="272519000", scheme="SCT", meaning="Absent"),
    None: CodedConcept(value="373068000", scheme="SCT", meaning="Undetermined"),
}
_PROBABILITY: Final = CodedConcept(value="122157", scheme="DCM", meaning="Probability")
_SIDE: Final = CodedConcept(value="272741003", scheme="SCT", meaning="Laterality")
_VIEW: Final = CodedConcept(value="111031", scheme="DCM", meaning="Image View")
_KEPT_OF_WITHDRAWN: Final = ("resourceType", "identifier", "code")


def observe(case: Case, target: Target, finding: Finding) -> JSON:
    """Return the Observation of a finding.

    Raises:
        ReportError: a number of it is not finite.
    """
    made: JSON = {
        "resourceType": "Observation",
        "meta": AI_ASSERTED,
        "text": narrative(say(finding)),
        "identifier": [identifier_of(target)],
    }
    if (accession := case.accession()) is not None:
        made["basedOn"] = [{"type": "ServiceRequest", "identifier": accession}]
    made |= {
        "status": "preliminary",
        "category": [_CATEGORY],
        "code": concept(finding.concept),
        "subject": case.subject,
    }
    if when := started(case.order):
        made["effectiveDateTime"] = when
    made["issued"] = instant(case.prediction.finished_at)
    made |= _value(finding)
    if finding.present is not None:
        made["interpretation"] = [_interpret(case, present=finding.present)]
    if note := text(finding.note):
        made["note"] = [{"text": note}]
    if finding.site is not None:
        made["bodySite"] = concept(finding.site, words=_site_words(finding))
    made["device"] = case.refer(case.device)
    if finding.value is not None and finding.threshold is not None:
        made["referenceRange"] = [_normal(finding, finding.threshold)]
    made["derivedFrom"] = [case.refer(case.study)]
    if components := list(_components(finding)):
        made["component"] = components
    return made


def withdraw(case: Case, earlier: JSON) -> JSON:
    """Return the Observation that takes back what was told before.

    Args:
        earlier: as it was written; its references are to what is no more.
    """
    made = {key: earlier[key] for key in _KEPT_OF_WITHDRAWN if key in earlier}
    return made | {
        "text": narrative("Withdrawn by a later revision of the study."),
        "status": "entered-in-error",
        "subject": case.subject,
        "issued": instant(case.prediction.finished_at),
        "derivedFrom": [case.refer(case.study)],
    }


def say(finding: Finding) -> str:
    """Say a finding in a few words."""
    name = text(finding.concept.meaning) or text(finding.concept.value)
    if side := finding.laterality or finding.view:
        name += f" ({text(side.meaning)})"
    if finding.value is None:
        said = f"{name} {_PRESENCE[finding.present].meaning.lower()}"
        unit = ""
        said += f", probability {finding.probability:.4g}"
    else:
        unit = f" {text(finding.unit.value)}" if finding.unit is not None else ""
        said = f"{name} {finding.value:.6g}{unit}"
    if finding.threshold is not None:
        said += f", threshold {finding.threshold:.4g}{unit}"
    return said


def _value(finding: Finding) -> JSON:
    """Return value[x] of an Observation."""
    numbers = (finding.probability, finding.value, finding.threshold)
    if not all(isfinite(number) for number in numbers if number is not None):
        raise ReportError("a finding holds a number that is not finite")
    if finding.value is not None:
        return {"valueQuantity": quantity(finding.value, finding.unit)}
    return {"valueCodeableConcept": concept(_PRESENCE[finding.present])}


def _interpret(case: Case, *, present: bool) -> JSON:
    """Call critical what the site's table wants read at once."""
    suggestion = case.suggestion
    code, display = "N", "Normal"
    if present:
        code, display = "A", "Abnormal"
        if suggestion is not None and suggestion.urgency is Urgency.STAT:
            code, display = "AA", "Critical abnormal"
    return {"coding": [{"system": _INTERPRETATION, "code": code, "display": display}]}


def _components(finding: Finding) -> Iterator[JSON]:
    if finding.value is None:
        probability: JSON = {
            "code": concept(_PROBABILITY),
            "valueQuantity": quantity(finding.probability),
        }
        if finding.threshold is not None:
            probability["referenceRange"] = [_normal(finding, finding.threshold)]
        yield probability
    for code, value in ((_SIDE, finding.laterality), (_VIEW, finding.view)):
        if value is not None:
            yield {"code": concept(code), "valueCodeableConcept": concept(value)}


def _normal(finding: Finding, threshold: float) -> JSON:
    """Return the range of what is not present: below the threshold."""
    unit = finding.unit if finding.value is not None else None
    symbol = f" {text(unit.value)}" if unit is not None else ""
    return {
        "high": quantity(threshold, unit),
        "text": f"below {threshold:.6g}{symbol}; present from there on",
    }


def _site_words(finding: Finding) -> str:
    if finding.site is None or finding.laterality is None:
        return ""
    return f"{finding.site.meaning}, {finding.laterality.meaning.lower()}"
