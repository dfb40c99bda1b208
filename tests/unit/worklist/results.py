"""Findings, predictions and files as the worklist's tests need them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.core.ids import (
    DeviceUID,
    JobId,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyId,
    StudyInstanceUID,
)
from dicom_node.core.states import Outcome, StudyState, Urgency, WorkState
from dicom_node.core.types import (
    CodedConcept,
    Finding,
    ImageResult,
    InputFile,
    Job,
    Prediction,
    RoutingHeader,
    Study,
    Suggestion,
)
from dicom_node.core.writing import Result
from dicom_node.part10.reading import hushed

CR = SOPClassUID("1.2.840.10008.5.1.4.1.1.1")
STUDY = "1.2.826.0.1.3680043.8.498.1"
IMAGE = SOPInstanceUID(f"{STUDY}.1.1")
FINISHED = datetime(2026, 11, 22, 17, 32, 24, tzinfo=UTC)
PNEUMOTHORAX = CodedConcept(value="36118008", scheme="SCT", meaning="Pneumothorax")
PNEUMONIA = CodedConcept(value="233604007", scheme="SCT", meaning="Pneumonia")
AORTA = CodedConcept(value="18015-8", scheme="LN", meaning="Ascending aorta diameter")
MILLIMETRE = CodedConcept(value="mm", scheme="UCUM", meaning="millimeter")
RIGHT = CodedConcept(value="24028007", scheme="SCT", meaning="Right")


def finding(
    concept: CodedConcept = PNEUMOTHORAX,
    probability: float = 0.93,
    threshold: float | None = 0.5,
    **more: Any,
) -> Finding:
    """Make a finding that is present at or above its threshold."""
    present = None if threshold is None else probability >= threshold
    base = Finding(
        concept=concept, present=present, probability=probability, threshold=threshold
    )
    return replace(base, **more)


def measured(value: float, threshold: float | None = None) -> Finding:
    """Make a measurement of the aorta in millimetres."""
    return Finding(
        concept=AORTA,
        present=None if threshold is None else value >= threshold,
        probability=0.0,
        threshold=threshold,
        value=value,
        unit=MILLIMETRE,
    )


def prediction(
    *findings: Finding, outcome: Outcome | None = None, **more: Any
) -> Prediction:
    """Make a prediction of these findings on one image."""
    if outcome is None:
        present = any(one.present for one in findings)
        outcome = Outcome.PRESENT if present else Outcome.ABSENT
    base = Prediction(
        outcome=outcome,
        reason="",
        model="cxr",
        model_version="1.2.0",
        manufacturer="Example",
        device_uid=DeviceUID("2.25.77"),
        weights_sha256="0" * 64,
        findings=findings,
        images=(ImageResult(sop_instance_uid=IMAGE, scores=(0.93,)),),
        parameters=(),
        research_only=True,
        started_at=FINISHED,
        finished_at=FINISHED,
    )
    return replace(base, **more)


def nothing(reason: str = "PatientAge is outside 1 to 5 years.") -> Prediction:
    """Make a prediction of a study outside the model's scope."""
    return prediction(outcome=Outcome.NOT_EVALUATED, reason=reason)


def image_file(folder: Path, **attributes: Any) -> InputFile:
    """Write an image of the study whose header says this, and describe it."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    given: dict[str, Any] = {
        "SOPClassUID": CR,
        "SOPInstanceUID": IMAGE,
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": f"{STUDY}.1",
        "Modality": "CR",
        "PatientID": "1CT1",
        "IssuerOfPatientID": "HOSP",
        "PatientName": "Doe^Jane",
        "PatientBirthDate": "19800102",
        "PatientSex": "F",
        "AccessionNumber": "ACC-1",
        "StudyDate": "20261122",
        "StudyTime": "173200",
        "TimezoneOffsetFromUTC": "+0100",
        **attributes,
    }
    path = folder / "image.dcm"
    with hushed():  # some senders write what no VR allows
        for keyword, value in given.items():
            if value is not None:
                setattr(header, keyword, value)
        header.save_as(path, enforce_file_format=True)
    return InputFile(
        sop_instance_uid=IMAGE,
        sop_class_uid=CR,
        series_instance_uid=SeriesInstanceUID(f"{STUDY}.1"),
        path=path,
        header=RoutingHeader(modality="CR", has_pixels=True),
    )


def result(
    files: Sequence[InputFile],
    made: Prediction,
    *,
    suggestion: Suggestion | None = None,
    revision: int = 1,
) -> Result:
    """Put together what a writer gets."""
    return Result(
        job=Job(
            job_id=JobId(revision),
            study_id=StudyId(1),
            revision=revision,
            model=made.model,
            route="chest",
            destinations=("ris",),
            state=WorkState.RUNNING,
            attempt=1,
        ),
        study=Study(
            study_id=StudyId(1),
            study_instance_uid=StudyInstanceUID(STUDY),
            accession_number="ACC-1",
            state=StudyState.ROUTED,
            revision=revision,
            first_instance_at=FINISHED,
            last_instance_at=FINISHED,
            ignored_because=None,
            instances=(),
        ),
        files=tuple(files),
        prediction=made,
        suggestion=suggestion,
    )


def stat(reason: str = "Pneumothorax 0.93 at or above 0.50") -> Suggestion:
    """Suggest to read at once."""
    return Suggestion(urgency=Urgency.STAT, reason=reason)
