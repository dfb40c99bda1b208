"""Everything of the report but its content tree: the modules of PS3.3 A.35."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_node.core.ids import derive_uid
from dicom_node.core.types import Prediction
from dicom_node.report.codes import PROCESSING_EQUIPMENT
from dicom_node.report.evidence import Evidence
from dicom_node.report.legal import legal_offset, plain_text
from dicom_node.report.reading import text_of
from dicom_node.report.subject import copy_attribute, copy_items, copy_subject

# The 2.25 UID of this implementation; never changes (PS3.7 D.3.3.2).
IMPLEMENTATION_CLASS_UID: Final = derive_uid("implementation class")
FIRST_SERIES_NUMBER: Final = 9901  # beyond what modalities count to
_SERIES_NUMBERS: Final = 99
_MAX_LO: Final = 64
_MAX_SH: Final = 16
_RESEARCH_SUFFIX: Final = " - research use only, not diagnostic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Equipment:
    """The node as the General Equipment module names it (PS3.3 C.7.5.1).

    Args:
        manufacturer: the marker by which the receiver knows its own results.
        local_zone: zone of the report's times where the source names none; None
            is the zone of this machine.
    """

    manufacturer: str
    node_version: str
    device_serial_number: str
    station_name: str
    local_zone: tzinfo | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesForm:
    """What tells the series of one kind of object from those of the others.

    Args:
        parts: of the Series Instance UID beside study and model.
        title: how its description begins.
    """

    modality: str
    parts: tuple[str, ...]
    first_number: int
    title: str


SR_SERIES: Final = SeriesForm(
    modality="SR", parts=(), first_number=FIRST_SERIES_NUMBER, title="AI"
)


def build_header(
    evidence: Evidence, prediction: Prediction, equipment: Equipment
) -> Dataset:
    """Build what the report has in common in every SOP class."""
    report = build_common(evidence, prediction, equipment, series=SR_SERIES)
    report.ReferencedPerformedProcedureStepSequence = []
    report.ContentQualification = "RESEARCH" if prediction.research_only else "PRODUCT"
    report.CompletionFlag = "COMPLETE"
    report.VerificationFlag = "UNVERIFIED"  # only a person verifies (C.17.2)
    report.PreliminaryFlag = "PRELIMINARY"
    report.PerformedProcedureCodeSequence = []
    requests = referenced_requests(evidence)
    if requests:
        report.ReferencedRequestSequence = requests
    return report


def build_common(
    evidence: Evidence,
    prediction: Prediction,
    equipment: Equipment,
    *,
    series: SeriesForm,
) -> Dataset:
    """Build what every object has: patient, study, its series, equipment, times."""
    made = Dataset()
    copy_subject(made, evidence.source)
    made.StudyInstanceUID = evidence.study_instance_uid
    _add_series(made, evidence, prediction, series)
    _add_equipment(made, prediction, equipment)
    _add_times(made, evidence.source, prediction, equipment.local_zone)
    return made


def file_meta(
    sop_class_uid: str, sop_instance_uid: str, version: str
) -> FileMetaDataset:
    """Build the File Meta Information (PS3.10 7.1)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = plain_text(f"DICOM-NODE {version}", _MAX_SH)
    return meta


def series_description(prediction: Prediction, *, title: str = "AI") -> str:
    """Name the series: that it is AI, of which model, and what it is not for."""
    suffix = _RESEARCH_SUFFIX if prediction.research_only else ""
    room = _MAX_LO - len(title) - 1 - len(suffix)
    return f"{title} {plain_text(prediction.model, room)}{suffix}"


def referenced_requests(evidence: Evidence) -> list[Dataset]:
    """Make the Referenced Request Sequence, an item for each request of the source.

    Source: PS3.3 C.17.2 (present when the requests are known; Type 2 inside).
    """
    source = evidence.source
    asked = copy_items(source, "RequestAttributesSequence")
    if not asked and not text_of(source, "AccessionNumber"):
        return []
    return [_request(evidence, item) for item in asked or [Dataset()]]


def _request(evidence: Evidence, asked: Dataset) -> Dataset:
    source = evidence.source
    item = Dataset()
    item.StudyInstanceUID = evidence.study_instance_uid
    item.ReferencedStudySequence = copy_items(source, "ReferencedStudySequence")
    item.AccessionNumber = ""
    copy_attribute(item, source, "AccessionNumber")
    if not item.AccessionNumber:
        copy_attribute(item, asked, "AccessionNumber")
    for keyword in (
        "PlacerOrderNumberImagingServiceRequest",
        "FillerOrderNumberImagingServiceRequest",
        "RequestedProcedureID",
        "RequestedProcedureDescription",
    ):
        setattr(item, keyword, "")
        copy_attribute(item, source, keyword)
        copy_attribute(item, asked, keyword)
    item.RequestedProcedureCodeSequence = copy_items(
        asked, "RequestedProcedureCodeSequence"
    )
    return item


def _add_series(
    report: Dataset, evidence: Evidence, prediction: Prediction, form: SeriesForm
) -> None:
    """One series for a study and model; nothing in it changes from run to run."""
    report.Modality = form.modality
    report.SeriesInstanceUID = derive_uid(
        "series", *form.parts, evidence.study_instance_uid, prediction.device_uid
    )
    digest = hashlib.sha256(prediction.device_uid.encode()).digest()
    offset = int.from_bytes(digest[:4], "big") % _SERIES_NUMBERS
    report.SeriesNumber = form.first_number + offset
    report.SeriesDescription = series_description(prediction, title=form.title)


def _add_equipment(
    report: Dataset, prediction: Prediction, equipment: Equipment
) -> None:
    model = plain_text(prediction.model, _MAX_LO)
    version = plain_text(prediction.model_version, _MAX_LO)
    node = plain_text(
        f"{equipment.manufacturer} {equipment.node_version}".strip(), _MAX_LO
    )
    report.Manufacturer = plain_text(equipment.manufacturer, _MAX_LO)
    report.ManufacturerModelName = model
    report.SoftwareVersions = [version, node]
    report.DeviceUID = str(prediction.device_uid)
    serial = plain_text(equipment.device_serial_number, _MAX_LO)
    if serial:
        report.DeviceSerialNumber = serial
    station = plain_text(equipment.station_name, _MAX_SH)
    if station:
        report.StationName = station
    algorithm = Dataset()
    purpose = Dataset()
    purpose.CodeValue = PROCESSING_EQUIPMENT.value
    purpose.CodingSchemeDesignator = PROCESSING_EQUIPMENT.scheme_designator
    purpose.CodeMeaning = PROCESSING_EQUIPMENT.meaning
    algorithm.PurposeOfReferenceCodeSequence = [purpose]
    maker = plain_text(prediction.manufacturer, _MAX_LO)
    algorithm.Manufacturer = maker or report.Manufacturer
    algorithm.ManufacturerModelName = model
    algorithm.SoftwareVersions = version
    algorithm.DeviceUID = str(prediction.device_uid)  # IHE AIR 6.5.3.1
    algorithm.ContributionDateTime = _utc_datetime(prediction.started_at)
    algorithm.ContributionDescription = "AI inference"
    report.ContributingEquipmentSequence = [algorithm]


def _add_times(
    report: Dataset,
    source: Dataset,
    prediction: Prediction,
    local_zone: tzinfo | None,
) -> None:
    """Write our times in the zone that the copied ones are in (PS3.3 C.12.1.1.8)."""
    offset = legal_offset(text_of(source, "TimezoneOffsetFromUTC"))
    if offset:
        report.TimezoneOffsetFromUTC = offset
    zone = zone_of(source, local_zone)
    started = prediction.started_at.astimezone(zone)
    finished = prediction.finished_at.astimezone(zone)
    report.ContentDate = started.strftime("%Y%m%d")  # IHE AIR: start of the analysis
    report.ContentTime = started.strftime("%H%M%S.%f")
    report.InstanceCreationDate = finished.strftime("%Y%m%d")
    report.InstanceCreationTime = finished.strftime("%H%M%S.%f")


def zone_of(source: Dataset, local_zone: tzinfo | None) -> tzinfo | None:
    """Return the zone that a source's times are in, the local one if it names none."""
    offset = legal_offset(text_of(source, "TimezoneOffsetFromUTC"))
    return _fixed_zone(offset) if offset else local_zone


def _fixed_zone(offset: str) -> timezone:
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))


def _utc_datetime(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%d%H%M%S.%f+0000")
