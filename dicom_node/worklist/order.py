"""Whose study it is and what was asked for: read from its files, kept nowhere."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicom_node.core.errors import ReportError
from dicom_node.core.types import CodedConcept, InputFile, Prediction
from dicom_node.part10.reading import UNREADABLE, hushed, read_header, text_of

# Identifiers are compared, never shortened: SH and LO take 64 characters at most.
_MAX_IDENTIFIER: Final = 64
_MAX_TEXT: Final = 324  # five components of three groups of PN
_DATE: Final = re.compile(r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_TIME: Final = re.compile(r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?")
_OFFSET: Final = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")
_SEXES: Final = frozenset("MFO")
_READ: Final = (
    "SpecificCharacterSet",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "TimezoneOffsetFromUTC",
    "Modality",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "StudyDescription",
    "ProcedureCodeSequence",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "PatientBirthDate",
    "PatientSex",
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
    "RequestedProcedureDescription",
    "RequestedProcedureCodeSequence",
    "RequestAttributesSequence",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """Who gave an identifier (PS3.3 10.14); "" where the images do not say."""

    namespace: str = ""
    universal_id: str = ""
    universal_id_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Order:
    """A study's patient and order as its images name them; "" for what they do not.

    It has no `repr`, so that none of it gets into a log or a traceback.

    Args:
        patient_name: PN with its component groups, separated by "=" (PS3.5 6.2.1).
        birth_date, study_date: YYYYMMDD.
        study_time: HH, HHMM, HHMMSS or HHMMSS.ffffff, in `utc_offset` ("+0900").
        sex: M, F or O.
        accession_number: the filler's number of the order.
        procedure: what was asked for, or was done.
    """

    study_instance_uid: str
    modality: str = ""
    patient_id: str = ""
    patient_id_issuer: Issuer = Issuer()
    patient_name: str = ""
    birth_date: str = ""
    sex: str = ""
    accession_number: str = ""
    accession_issuer: Issuer = Issuer()
    placer_order_number: str = ""
    procedure: CodedConcept | None = None
    procedure_description: str = ""
    study_date: str = ""
    study_time: str = ""
    utc_offset: str = ""


def read_order(files: Sequence[InputFile], prediction: Prediction) -> Order:
    """Read the order from the image that stands best for what was evaluated.

    One that has no Accession Number stands behind those that have one.

    Raises:
        ReportError: no file can be read back.
    """
    scored = {image.sop_instance_uid for image in prediction.evaluated}

    def rank(file: InputFile) -> tuple[bool, bool, bool]:
        return (
            not file.header.accession_number,
            file.sop_instance_uid not in scored,
            not file.header.has_pixels,
        )

    for file in sorted(files, key=rank):
        with hushed():
            header = read_header(file.path, _READ)
            if header is not None and text_of(header, "StudyInstanceUID"):
                return _order(header)
    raise ReportError("no file of the study can be read back with a Study Instance UID")


def _order(header: Dataset) -> Order:
    requests = _items(header, "RequestAttributesSequence")
    places = (header, *requests)
    return Order(
        study_instance_uid=text_of(header, "StudyInstanceUID"),
        modality=text_of(header, "Modality"),
        patient_id=_identifier(header, "PatientID"),
        patient_id_issuer=_patient_id_issuer(header),
        patient_name=_text(header, "PatientName"),
        birth_date=_matching(_DATE, text_of(header, "PatientBirthDate")),
        sex=text_of(header, "PatientSex") if _has_sex(header) else "",
        accession_number=_agreed(places, "AccessionNumber"),
        accession_issuer=_issuer(_items(header, "IssuerOfAccessionNumberSequence")),
        placer_order_number=_agreed(places, "PlacerOrderNumberImagingServiceRequest"),
        procedure=_procedure(header, requests),
        procedure_description=next(
            filter(None, (_procedure_text(place) for place in places)), ""
        ),
        study_date=_matching(_DATE, text_of(header, "StudyDate")),
        study_time=_matching(_TIME, text_of(header, "StudyTime")),
        utc_offset=_matching(_OFFSET, text_of(header, "TimezoneOffsetFromUTC")),
    )


def _items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """Return a sequence's items, () if there are none or they cannot be read."""
    try:
        found = dataset.get(keyword) or ()
        return tuple(item for item in found if isinstance(item, Dataset))
    except UNREADABLE:
        return ()


def _identifier(dataset: Dataset, keyword: str) -> str:
    """Return an identifier; several, or one longer than its VR allows, name nothing."""
    if len(_values(dataset, keyword)) > 1:
        return ""
    text = text_of(dataset, keyword)
    return text if len(text) <= _MAX_IDENTIFIER else ""


def _text(dataset: Dataset, keyword: str) -> str:
    """Return a text, of several the first: a backslash in it separates values."""
    values = _values(dataset, keyword)
    return str(values[0]).strip()[:_MAX_TEXT] if values else ""


def _values(dataset: Dataset, keyword: str) -> tuple[object, ...]:
    try:
        value = dataset.get(keyword)
    except UNREADABLE:
        return ()
    if isinstance(value, MultiValue):
        return tuple(value)
    return () if value is None else (value,)


def _agreed(places: Iterable[Dataset], keyword: str) -> str:
    """Return the study's own number, else the one that all its requests share."""
    study, *requests = places
    if own := _identifier(study, keyword):
        return own
    asked = {_identifier(request, keyword) for request in requests} - {""}
    return asked.pop() if len(asked) == 1 else ""


def _patient_id_issuer(header: Dataset) -> Issuer:
    qualified = _issuer(_items(header, "IssuerOfPatientIDQualifiersSequence"))
    return Issuer(
        namespace=_identifier(header, "IssuerOfPatientID"),
        universal_id=qualified.universal_id,
        universal_id_type=qualified.universal_id_type,
    )


def _issuer(items: Sequence[Dataset]) -> Issuer:
    """Read an HL7v2 Hierarchic Designator macro (PS3.3 10.14)."""
    if not items:
        return Issuer()
    universal = _identifier(items[0], "UniversalEntityID")
    kind = _identifier(items[0], "UniversalEntityIDType")
    return Issuer(
        namespace=_identifier(items[0], "LocalNamespaceEntityID"),
        universal_id=universal if kind else "",
        universal_id_type=kind if universal else "",
    )


def _procedure(header: Dataset, requests: Sequence[Dataset]) -> CodedConcept | None:
    """Return the code of the requested, else of the performed procedure."""
    sequences = (
        *(_items(request, "RequestedProcedureCodeSequence") for request in requests),
        _items(header, "RequestedProcedureCodeSequence"),
        _items(header, "ProcedureCodeSequence"),
    )
    for item in (one for items in sequences for one in items):
        value = _identifier(item, "CodeValue") or _identifier(item, "LongCodeValue")
        scheme = _identifier(item, "CodingSchemeDesignator")
        if value and scheme:
            meaning = _text(item, "CodeMeaning")
            return CodedConcept(value=value, scheme=scheme, meaning=meaning)
    return None


def _procedure_text(place: Dataset) -> str:
    asked = _text(place, "RequestedProcedureDescription")
    return asked or _text(place, "StudyDescription")


def _has_sex(header: Dataset) -> bool:
    return text_of(header, "PatientSex") in _SEXES


def _matching(form: re.Pattern[str], text: str) -> str:
    return text if form.fullmatch(text) else ""
