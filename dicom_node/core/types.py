"""The vocabulary of the way of the data. All types are frozen values.

What is received, studies and routing are here; associations, results and work have
modules of their own, and their names here too.
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from dicom_node.core.associations import AssociationRecord, RefusedContext
from dicom_node.core.ids import (
    InstanceId,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyId,
    StudyInstanceUID,
    TransferSyntaxUID,
)
from dicom_node.core.results import (
    CodedConcept,
    Finding,
    ImageResult,
    Prediction,
    Report,
    ReportFile,
    Sent,
)
from dicom_node.core.states import Priority, Receipt, StudyState
from dicom_node.core.work import (
    Addressee,
    Delivery,
    Job,
    Lease,
    Setback,
    Settlement,
    Suggestion,
)

__all__ = [
    "Addressee",
    "AssociationRecord",
    "CodedConcept",
    "Delivery",
    "Finding",
    "ImageResult",
    "InputFile",
    "Instance",
    "Job",
    "Lease",
    "Prediction",
    "ReceivedInstance",
    "Recorded",
    "RefusedContext",
    "Report",
    "ReportFile",
    "Route",
    "RoutingDecision",
    "RoutingHeader",
    "Sent",
    "Setback",
    "Settlement",
    "StoredVersion",
    "Study",
    "Suggestion",
    "TimelineEvent",
    "Verdict",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingHeader:
    """What completion, routing and `show` need of an instance; no patient identity.

    A text attribute that is absent or empty is "" and a number None, so that a
    rule can say "missing" instead of guessing.
    """

    modality: str = ""
    body_part_examined: str = ""
    view_position: str = ""
    patient_age_years: float | None = None
    image_type: tuple[str, ...] = ()
    study_description: str = ""
    series_description: str = ""
    accession_number: str = ""
    series_number: int | None = None
    instance_number: int | None = None
    rows: int | None = None
    columns: int | None = None
    number_of_frames: int = 1
    has_pixels: bool = False
    manufacturer: str = ""
    presentation_intent_type: str = ""
    samples_per_pixel: int = 1
    quality_control_image: str = ""
    patient_species: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedInstance:
    """One instance whose bytes are on stable storage under `file_key`.

    Args:
        dataset_digest: XXH3-128 of the data set's bytes as sent, 32 hex digits.
            It is no proof: whether two data sets are the same, their bytes say.
        size_bytes: of the data set as sent.
        file_key: name in the instance store; never made of the sender's text.
    """

    sop_class_uid: SOPClassUID
    sop_instance_uid: SOPInstanceUID
    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID
    transfer_syntax_uid: TransferSyntaxUID
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    received_at: datetime
    file_key: str
    size_bytes: int
    dataset_digest: str
    header: RoutingHeader


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """The answer of the database to a `ReceivedInstance`.

    Args:
        file_key: where these bytes are kept; if it is not the key that came
            in, they were there before and the new file is not needed.
    """

    receipt: Receipt
    study_id: StudyId
    instance_id: InstanceId
    revision: int
    file_key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """One set of bytes that came under a SOP Instance UID.

    Args:
        current: whether routing and inference read this one.
        repeats: how often the same bytes came again, the last time at
            `repeated_at`.
    """

    instance_id: InstanceId
    sop_instance_uid: SOPInstanceUID
    study_instance_uid: StudyInstanceUID
    receipt: Receipt
    current: bool
    received_at: datetime
    calling_ae_title: str
    file_key: str
    size_bytes: int
    dataset_digest: str
    repeats: int
    repeated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance of a study as routing and inference see it."""

    instance_id: InstanceId
    sop_class_uid: SOPClassUID
    sop_instance_uid: SOPInstanceUID
    series_instance_uid: SeriesInstanceUID
    transfer_syntax_uid: TransferSyntaxUID
    calling_ae_title: str
    received_at: datetime
    revision: int
    file_key: str
    size_bytes: int
    dataset_digest: str
    own_result: bool
    header: RoutingHeader
    called_ae_title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A study at one revision, with the instances that make it up.

    Args:
        called_ae_title: of this node, as the last instance was sent to it.
        pruned_at: when retention last removed its files; None if it never did.
    """

    study_id: StudyId
    study_instance_uid: StudyInstanceUID
    accession_number: str
    state: StudyState
    revision: int
    first_instance_at: datetime
    last_instance_at: datetime
    ignored_because: str | None
    instances: tuple[Instance, ...]
    called_ae_title: str = ""
    pruned_at: datetime | None = None

    @property
    def evidence(self) -> tuple[Instance, ...]:
        """The instances that are not results of this node."""
        return tuple(item for item in self.instances if not item.own_result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one condition of one route said about a study.

    Args:
        rule: the condition's name as in the configuration, e.g. "modality".
        attribute: the DICOM keyword it looked at, e.g. "Modality".
        matched: whether the condition holds.
        detail: what was wanted and what was there; "" if it matched, unless the
            rule changed something.
    """

    route: str
    rule: str
    attribute: str
    matched: bool
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route that took a study."""

    name: str
    model: str
    destinations: tuple[str, ...]
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingDecision:
    """Which routes take a study, and every rule's verdict."""

    routes: tuple[Route, ...]
    verdicts: tuple[Verdict, ...]
    ignored_because: str | None


_NO_SERIES = SeriesInstanceUID("")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """One file of a study handed to inference, to the report and to replay.

    Args:
        dataset_digest: as in `Instance`; "" for a file that was not received.
    """

    sop_instance_uid: SOPInstanceUID
    sop_class_uid: SOPClassUID
    path: Path
    header: RoutingHeader
    series_instance_uid: SeriesInstanceUID = _NO_SERIES
    dataset_digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """One line of a study's story, as `show` prints it."""

    at: datetime
    what: str
    detail: dict[str, str | int | float | None] = field(default_factory=dict)
