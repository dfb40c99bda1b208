"""Checks every kind of object before it leaves; what fails goes nowhere."""

import re
from collections.abc import Iterator
from typing import Final

from pydicom.dataset import Dataset

from dicom_node.core.states import ReportKind
from dicom_node.report.check import check_report
from dicom_node.report.reading import UNREADABLE, hushed, text_of
from dicom_node.report.tree import content_items

_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
_KEY_OBJECTS: Final = "1.2.840.10008.5.1.4.1.1.88.59"
_SR_CLASSES: Final = tuple(
    f"1.2.840.10008.5.1.4.1.1.88.{last}" for last in (22, 33, 34)
)
_UID: Final = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
_MAX_UID: Final = 64
# Study and images keep the UIDs of their makers, some of which have leading zeros.
_FOREIGN_UID: Final = re.compile(r"[0-9.]+")
_TYPE_1: Final = {
    ReportKind.SC: "Modality ConversionType Rows Columns SamplesPerPixel "
    "PhotometricInterpretation BitsAllocated BitsStored HighBit PixelRepresentation "
    "PixelData Manufacturer DeviceUID SeriesDescription",
    ReportKind.KOS: "Modality InstanceNumber ContentDate ContentTime ValueType "
    "ConceptNameCodeSequence ContinuityOfContent ContentSequence Manufacturer "
    "CurrentRequestedProcedureEvidenceSequence DeviceUID SeriesDescription",
}
_TYPE_2: Final = {
    ReportKind.SC: "InstanceNumber PatientOrientation",
    ReportKind.KOS: "ReferencedPerformedProcedureStepSequence",
}
_SUBJECT: Final = (
    "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime "
    "AccessionNumber ReferringPhysicianName StudyID"
)
_FIXED: Final = {
    ReportKind.SC: {
        "SOPClassUID": _SECONDARY_CAPTURE,
        "SamplesPerPixel": "3",
        "PhotometricInterpretation": "RGB",
        "PlanarConfiguration": "0",
        "BitsAllocated": "8",
        "BitsStored": "8",
        "HighBit": "7",
        "PixelRepresentation": "0",
    },
    ReportKind.KOS: {"SOPClassUID": _KEY_OBJECTS, "Modality": "KO"},
}


def faults_of(kind: ReportKind, dataset: Dataset) -> list[str]:
    """Return what is wrong with an object that is to leave, [] when nothing is.

    A text names attributes, never their values. Messages are none of its business.
    """
    try:
        with hushed():
            if kind is ReportKind.SR:
                return [*_uid_faults(dataset), *check_report(dataset)]
            if kind is ReportKind.SC:
                return [*_form_faults(kind, dataset), *_picture_faults(dataset)]
            if kind is ReportKind.KOS:
                return [*_form_faults(kind, dataset), *_selection_faults(dataset)]
    except UNREADABLE as error:
        return [f"it cannot be read back ({type(error).__name__})"]
    return []


def kind_of(dataset: Dataset) -> ReportKind | None:
    """Return which kind of object of this node a data set is, None for another."""
    sop_class_uid = text_of(dataset, "SOPClassUID")
    if sop_class_uid == _SECONDARY_CAPTURE:
        return ReportKind.SC
    if sop_class_uid == _KEY_OBJECTS:
        return ReportKind.KOS
    return ReportKind.SR if sop_class_uid in _SR_CLASSES else None


def _form_faults(kind: ReportKind, dataset: Dataset) -> Iterator[str]:
    yield from _uid_faults(dataset)
    for keyword in _TYPE_1[kind].split():
        if keyword not in dataset or dataset[keyword].is_empty:
            yield f"{keyword} is missing or empty"
    for keyword in (*_SUBJECT.split(), *_TYPE_2[kind].split()):
        if keyword not in dataset:
            yield f"{keyword} is missing"
    for keyword, expected in _FIXED[kind].items():
        if text_of(dataset, keyword) != expected:
            yield f"{keyword} must be {expected}"


def _uid_faults(dataset: Dataset) -> Iterator[str]:
    """Look at the UIDs of the object, and at the File Meta Information (PS3.10 7.1)."""
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"):
        uid = text_of(dataset, keyword)
        if len(uid) > _MAX_UID or not _UID.fullmatch(uid):
            yield f"{keyword} is missing or no UID"
    if not _is_foreign_uid(text_of(dataset, "StudyInstanceUID")):
        yield "StudyInstanceUID is missing or no UID"
    meta = getattr(dataset, "file_meta", None)
    if meta is None:
        return
    for ours, theirs in (
        ("SOPClassUID", "MediaStorageSOPClassUID"),
        ("SOPInstanceUID", "MediaStorageSOPInstanceUID"),
    ):
        if text_of(meta, theirs) != text_of(dataset, ours):
            yield f"{theirs} is not {ours}"


def _picture_faults(dataset: Dataset) -> Iterator[str]:
    kinds = [str(one) for one in dataset.get("ImageType") or ()]
    if kinds[:2] != ["DERIVED", "SECONDARY"]:
        yield "ImageType must be DERIVED and SECONDARY"
    rows, columns = (int(dataset.get(name) or 0) for name in ("Rows", "Columns"))
    expected = rows * columns * 3
    if len(dataset.get("PixelData") or b"") != expected + expected % 2:
        yield "PixelData has not the length that Rows, Columns and Samples give"
    for item in dataset.get("SourceImageSequence") or ():
        yield from _reference_faults(item, "SourceImageSequence")


def _selection_faults(dataset: Dataset) -> Iterator[str]:
    """Check the template, and references against the evidence (PS3.3 C.17.6.2)."""
    templates = [
        (text_of(item, "MappingResource"), text_of(item, "TemplateIdentifier"))
        for item in dataset.get("ContentTemplateSequence") or ()
    ]
    if templates != [("DCMR", "2010")]:
        yield "ContentTemplateSequence must name TID 2010 of DCMR"
    cited = {
        (
            text_of(sop, "ReferencedSOPClassUID"),
            text_of(sop, "ReferencedSOPInstanceUID"),
        )
        for study in dataset.get("CurrentRequestedProcedureEvidenceSequence") or ()
        for series in study.get("ReferencedSeriesSequence") or ()
        for sop in series.get("ReferencedSOPSequence") or ()
    }
    named = set()
    for item in content_items(dataset):
        if item.get("ValueType") not in ("IMAGE", "COMPOSITE", "WAVEFORM"):
            continue
        for sop in item.get("ReferencedSOPSequence") or ():
            yield from _reference_faults(sop, "ReferencedSOPSequence")
            named.add(
                (
                    text_of(sop, "ReferencedSOPClassUID"),
                    text_of(sop, "ReferencedSOPInstanceUID"),
                )
            )
    if not named:
        yield "no object is selected"
    if named - cited:
        yield "a selected object is not in the evidence"
    if cited - named:
        yield "the evidence names an object that is not selected"


def _reference_faults(item: Dataset, sequence: str) -> Iterator[str]:
    for keyword in ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID"):
        if not _is_foreign_uid(text_of(item, keyword)):
            yield f"{keyword} in {sequence} is missing or no UID"


def _is_foreign_uid(uid: str) -> bool:
    return len(uid) <= _MAX_UID and bool(_FOREIGN_UID.fullmatch(uid))
