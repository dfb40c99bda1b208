"""Predictions of every kind and inputs from real files, for the report's tests."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.core.ids import (
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    derive_device_uid,
)
from dicom_node.core.states import Outcome
from dicom_node.core.types import (
    CodedConcept,
    Finding,
    ImageResult,
    InputFile,
    Prediction,
    Report,
    RoutingHeader,
)
from dicom_node.report.builder import SOP_CLASS_UIDS, StructuredReportBuilder
from dicom_node.report.measurement import content_items
from dicom_node.report.reading import hushed

WEIGHTS = "0f" * 32
DEVICE_UID = derive_device_uid("cxr-pneumonia", "1.2.0", WEIGHTS)
STARTED = datetime(2026, 3, 4, 9, 8, 7, 125000, tzinfo=UTC)
FINISHED = datetime(2026, 3, 4, 9, 8, 9, tzinfo=UTC)
PNEUMONIA = CodedConcept(value="233604007", scheme="SCT", meaning="Pneumonia")
EFFUSION = CodedConcept(value="60046008", scheme="SCT", meaning="Pleural effusion")
LUNG = CodedConcept(value="39607008", scheme="SCT", meaning="Lung")
OUTCOMES = (
    "present",
    "absent",
    "undetermined",
    "not_evaluated",
    "failed",
    "partially_failed",
    "top_k",
    "several_findings",
)


def finding(present: bool | None, probability: float, **more: Any) -> Finding:
    """Make a finding of pneumonia at the threshold 0.5."""
    base = Finding(
        concept=PNEUMONIA,
        present=present,
        probability=probability,
        threshold=0.5,
        site=LUNG,
    )
    return replace(base, **more)


def prediction_for(files: Sequence[InputFile], kind: str = "present") -> Prediction:
    """Make the prediction of one kind on these files."""
    evaluated = tuple(
        ImageResult(
            sop_instance_uid=file.sop_instance_uid,
            frames=tuple(range(1, min(file.header.number_of_frames, 64) + 1)),
            scores=(0.93,),
            windowing="file window",
        )
        for file in files
    )
    base = Prediction(
        outcome=Outcome.PRESENT,
        reason="",
        model="cxr-pneumonia",
        model_version="1.2.0",
        manufacturer="Example Hospital",
        device_uid=DEVICE_UID,
        weights_sha256=WEIGHTS,
        findings=(finding(True, 0.93),),
        images=evaluated,
        parameters=(("aggregation", "max over images"), ("calibration", "platt")),
        research_only=True,
        started_at=STARTED,
        finished_at=FINISHED,
    )
    return replace(base, **_changes(kind, evaluated))


def _changes(kind: str, evaluated: tuple[ImageResult, ...]) -> dict[str, Any]:
    def without(**why: Any) -> tuple[ImageResult, ...]:
        return tuple(
            ImageResult(sop_instance_uid=image.sop_instance_uid, **why)
            for image in evaluated
        )

    labels = ("tabby", "tiger cat", "Egyptian cat")
    top = tuple(
        Finding(
            concept=CodedConcept(value=f"n{i}", scheme="99IMAGENET", meaning=label),
            present=None,
            probability=0.5 / (i + 1),
            threshold=None,
        )
        for i, label in enumerate(labels)
    )
    changes: dict[str, dict[str, Any]] = {
        "present": {},
        "absent": {
            "outcome": Outcome.ABSENT,
            "findings": (finding(False, 0.0312),),
        },
        "undetermined": {
            "outcome": Outcome.UNDETERMINED,
            "findings": (finding(None, 0.45),),
        },
        "not_evaluated": {
            "outcome": Outcome.NOT_EVALUATED,
            "reason": "PatientAge is outside 1 to 5 years.",
            "findings": (),
            "images": without(skipped="PatientAge is outside 1 to 5 years"),
        },
        "failed": {
            "outcome": Outcome.FAILED,
            "reason": "No image could be evaluated.",
            "findings": (),
            "images": without(error="PixelData cannot be decoded"),
        },
        "partially_failed": {
            "images": evaluated[:1]
            + without(error="PixelData cannot be decoded")[1:]
            + (ImageResult(sop_instance_uid=SOPInstanceUID("1.2.9"), error="gone"),),
        },
        "top_k": {"outcome": Outcome.UNDETERMINED, "findings": top},
        "several_findings": {
            "findings": (
                finding(True, 0.93),
                finding(False, 0.2, concept=EFFUSION, site=None),
            ),
        },
    }
    return changes[kind]


def input_file(path: Path) -> InputFile | None:
    """Describe a file as the receiver would; None if a UID is missing or is none."""
    with hushed():
        try:
            header = dcmread(path, stop_before_pixels=True, force=True)
            uids = [
                str(header.get(keyword) or "")
                for keyword in ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID")
            ]
            if not all(re.fullmatch(r"[0-9.]{1,64}", uid) for uid in uids):
                return None
            return InputFile(
                sop_instance_uid=SOPInstanceUID(uids[0]),
                sop_class_uid=SOPClassUID(uids[1]),
                series_instance_uid=SeriesInstanceUID(
                    str(header.get("SeriesInstanceUID") or "")
                ),
                path=path,
                header=RoutingHeader(
                    modality=str(header.get("Modality") or ""),
                    number_of_frames=int(header.get("NumberOfFrames") or 1),
                    has_pixels="Rows" in header,
                ),
            )
        except Exception:  # noqa: BLE001 - fuzzed files: whatever pydicom raises
            return None


def write_source(path: Path, **attributes: Any) -> InputFile:
    """Write a small CR header with these attributes changed; None removes one."""
    source = Dataset()
    values: dict[str, Any] = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1",
        "SOPInstanceUID": "1.2.3.4",
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.1",
        "Modality": "CR",
        "PatientName": "Doe^Jane",
        "PatientID": "42",
        "PatientBirthDate": "20220102",
        "PatientSex": "F",
        "StudyDate": "20260304",
        "StudyTime": "0900",
        "AccessionNumber": "A7",
        "StudyID": "S1",
        "Rows": 8,
        "Columns": 8,
        "BitsAllocated": 8,
    } | attributes
    with hushed():
        for keyword, value in values.items():
            if value is not None:
                setattr(source, keyword, value)
        source.file_meta = FileMetaDataset()
        source.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        source.file_meta.MediaStorageSOPClassUID = source.SOPClassUID
        source.file_meta.MediaStorageSOPInstanceUID = source.SOPInstanceUID
        source.save_as(path, enforce_file_format=True)
    described = input_file(path)
    if described is None:
        raise ValueError("the source lacks a UID")
    return described


def builder(**options: Any) -> StructuredReportBuilder:
    """Make the builder under test, in UTC."""
    chosen: dict[str, Any] = {
        "node_version": "0.1.0",
        "device_serial_number": "node-01",
        "station_name": "AINODE",
        "local_zone": UTC,
    } | options
    return StructuredReportBuilder(**chosen)


def build_all(
    files: Sequence[InputFile],
    prediction: Prediction,
    predecessors: Iterable[Report] = (),
) -> tuple[tuple[Report, bytes], ...]:
    """Build the report in all three SOP classes."""
    return builder().build(
        files,
        prediction,
        sop_class_uids=SOP_CLASS_UIDS,
        predecessors=tuple(predecessors),
    )


def build_one(files: Sequence[InputFile], prediction: Prediction) -> Dataset:
    """Build the Comprehensive 3D report and read it back."""
    ((_, content),) = builder().build(
        files, prediction, sop_class_uids=SOP_CLASS_UIDS[:1], predecessors=()
    )
    return dcmread(BytesIO(content))


def named(report: Dataset, meaning: str) -> list[Dataset]:
    """Return the content items with this name."""
    return [
        item
        for item in content_items(report)
        if item.ConceptNameCodeSequence[0].CodeMeaning == meaning
    ]


def coded(report: Dataset, meaning: str) -> list[str]:
    """Return the code values of the CODE items with this name."""
    return [
        item.ConceptCodeSequence[0].CodeValue
        for item in named(report, meaning)
        if item.ValueType == "CODE"
    ]
