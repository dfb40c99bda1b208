"""The content tree of the report: TID 1500 with one group (TID 1501) a finding."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.core.errors import ReportError
from dicom_node.core.ids import derive_uid
from dicom_node.core.states import Outcome
from dicom_node.core.types import Finding, Prediction
from dicom_node.report import codes as terms
from dicom_node.report.algorithm import algorithm, required_text, threshold
from dicom_node.report.evidence import Evidence, ImageReference, listed_images
from dicom_node.report.finding import (
    add_view,
    finding_sites,
    identity,
    label,
    measurement,
    presence,
)
from dicom_node.report.left_out import LeftOut, left_out
from dicom_node.report.legal import free_text
from dicom_node.report.subject import copy_items
from dicom_node.report.tree import content_items as content_items

_MAX_REASONS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """The device that observed: the node, running the model."""

    name: str
    manufacturer: str
    serial_number: str


def build_tree(
    prediction: Prediction, evidence: Evidence, *, observer: Observer
) -> Dataset:
    """Build the root content item of the report (PS3.16 TID 1500).

    Raises:
        ReportError: a decision without findings, a probability outside 0 to 1, a
            model without name or version, or a concept that is not one.
    """
    report = sr.MeasurementReport(
        observation_context=observation_context(prediction, observer),
        procedure_reported=procedures_reported(evidence),
        imaging_measurements=_groups(prediction, evidence),
        title=terms.REPORT_TITLE,
    )
    root: Dataset = report[0]
    for item in content_items(root):
        if item.ValueType == "CONTAINER":
            # CONTINUOUS makes text viewers print values without names (C.18.8).
            item.ContinuityOfContent = "SEPARATE"
    return root


def procedures_reported(evidence: Evidence) -> list[sr.CodedConcept]:
    """Return the source's procedure codes, else the modality's member of CID 100."""
    found = [
        sr.CodedConcept.from_dataset(item)
        for item in copy_items(evidence.source, "ProcedureCodeSequence")
    ]
    generic = terms.PROCEDURES.get(evidence.modality, terms.IMAGING_PROCEDURE)
    return found or [sr.CodedConcept.from_code(generic)]


def observation_context(
    prediction: Prediction, observer: Observer
) -> sr.ObservationContext:
    return sr.ObservationContext(
        observer_device_context=sr.ObserverContext(
            observer_type=terms.DEVICE,
            observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
                uid=str(prediction.device_uid),
                name=observer.name,
                manufacturer_name=observer.manufacturer,
                model_name=required_text(prediction.model, "name"),
                serial_number=observer.serial_number or None,
            ),
        )
    )


def _groups(
    prediction: Prediction, evidence: Evidence
) -> list[sr.MeasurementsAndQualitativeEvaluations]:
    status = terms.STATUS_OF_RESULTS.get(prediction.outcome)
    if status is not None:
        return [_status_group(prediction, evidence, status)]
    if not prediction.findings:
        raise ReportError("a prediction with a decision must have findings")
    return [
        *(_finding_group(prediction, evidence, one) for one in prediction.findings),
        *(
            _left_out_group(prediction, evidence, one)
            for one in left_out(prediction, evidence)
        ),
    ]


def _finding_group(
    prediction: Prediction, evidence: Evidence, finding: Finding
) -> sr.MeasurementsAndQualitativeEvaluations:
    concept = terms.coded(finding.concept)
    evaluations = presence(finding)
    if any(image.error for image in prediction.images):
        evaluations.append(
            _evaluation(terms.SUMMARY_OF_ANALYSES, terms.PARTIALLY_SUCCEEDED)
        )
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(
            prediction, evidence, tuple(identity(finding)), f"AI {label(finding)}"
        ),
        # "Finding" is read as "this was found": only when it was.
        finding_type=concept if finding.present else None,
        finding_sites=finding_sites(finding),
        algorithm_id=algorithm(prediction, evidence, [threshold(finding)]),
        measurements=[measurement(finding)],
        qualitative_evaluations=evaluations or None,
        source_images=_source_images(listed_images(evidence, finding)),
    )
    add_view(group, finding)
    _add_comment(group, [finding.note, prediction.reason, *_failures(prediction)])
    return group


def _status_group(
    prediction: Prediction, evidence: Evidence, status: Code
) -> sr.MeasurementsAndQualitativeEvaluations:
    """Say that there is no result, and why; never a finding, never a number."""
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(
            prediction, evidence, ("status",), f"AI {prediction.model}"
        ),
        algorithm_id=algorithm(prediction, evidence, []),
        qualitative_evaluations=[_evaluation(terms.SUMMARY_OF_ANALYSES, status)],
        source_images=_source_images(listed_images(evidence, None)),
    )
    reasons = [prediction.reason, *_failures(prediction)]
    if not any(reasons):
        reasons = _counted(image.skipped for image in prediction.images)
    _add_comment(group, reasons or ["No reason was recorded."])
    return group


def _left_out_group(
    prediction: Prediction, evidence: Evidence, missing: LeftOut
) -> sr.MeasurementsAndQualitativeEvaluations:
    """Name images that the findings do not rest on, and why."""
    outcome = Outcome.FAILED if missing.failed else Outcome.NOT_EVALUATED
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(
            prediction,
            evidence,
            ("left out", outcome.value, missing.reason),
            f"AI {prediction.model}: images not evaluated",
        ),
        algorithm_id=algorithm(prediction, evidence, []),
        qualitative_evaluations=[
            _evaluation(terms.SUMMARY_OF_ANALYSES, terms.STATUS_OF_RESULTS[outcome])
        ],
        source_images=_source_images(missing.images),
    )
    _add_comment(group, [missing.text])
    return group


def _evaluation(name: Code | sr.CodedConcept, value: Code) -> sr.QualitativeEvaluation:
    return sr.QualitativeEvaluation(name=name, value=value)


def _tracking(
    prediction: Prediction, evidence: Evidence, of_what: tuple[str, ...], label: str
) -> sr.TrackingIdentifier:
    return sr.TrackingIdentifier(
        uid=derive_uid(
            "tracking", evidence.study_instance_uid, prediction.device_uid, *of_what
        ),
        identifier=free_text(label),
    )


def _failures(prediction: Prediction) -> list[str]:
    failed = [image for image in prediction.images if image.error]
    if not failed:
        return []
    total = len(prediction.images)
    head = f"{len(failed)} of {total} images could not be evaluated."
    return [head, *_counted(image.error for image in failed)]


def _counted(reasons: Iterator[str]) -> list[str]:
    counts = Counter(reason for reason in reasons if reason)
    lines = [f"{reason} ({count})" for reason, count in counts.most_common()]
    hidden = len(lines) - _MAX_REASONS
    more = [f"{hidden} more reasons"] if hidden > 0 else []
    return lines[:_MAX_REASONS] + more


def _add_comment(
    group: sr.MeasurementsAndQualitativeEvaluations, lines: Sequence[str]
) -> None:
    """Add a reason as text.

    highdicom writes coded evaluations only. TID 1501 is extensible and a CONTAINER
    may contain TEXT in each of the three SR classes (PS3.3 A.35.2.3.1.2).
    """
    text = free_text("\n".join(line for line in lines if line))
    if text:
        group[0].ContentSequence.append(
            sr.TextContentItem(
                name=terms.COMMENT,
                value=text,
                relationship_type=sr.RelationshipTypeValues.CONTAINS,
            )
        )


def _source_images(
    images: Sequence[ImageReference],
) -> list[sr.SourceImageForMeasurementGroup] | None:
    return [
        sr.SourceImageForMeasurementGroup(
            referenced_sop_class_uid=image.sop_class_uid,
            referenced_sop_instance_uid=image.sop_instance_uid,
            referenced_frame_numbers=list(image.frames) or None,
        )
        for image in images
    ] or None
