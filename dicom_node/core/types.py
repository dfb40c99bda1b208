"""The vocabulary of the way of the data. All types are frozen values."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from dicom_node.core.ids import (
    DeliveryId,
    DeviceUID,
    InstanceId,
    JobId,
    ReportId,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyId,
    StudyInstanceUID,
    TransferSyntaxUID,
)
from dicom_node.core.states import Outcome, Receipt, StudyState, WorkState


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingDecision:
    """Which routes take a study, and every rule's verdict."""

    routes: tuple[Route, ...]
    verdicts: tuple[Verdict, ...]
    ignored_because: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work on one job or delivery until `until`."""

    owner: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One (study, revision, model) to infer on. `attempt` counts from 1."""

    job_id: JobId
    study_id: StudyId
    revision: int
    model: str
    route: str
    destinations: tuple[str, ...]
    state: WorkState
    attempt: int
    lease: Lease | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedConcept:
    """A code, its scheme and its meaning (PS3.3 8.8)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One target condition and what the model says of it.

    Args:
        present: True, False, or None when no decision was taken.
        probability: 0..1, aggregated over the images that were evaluated.
        threshold: the operating point in the same unit, None without a decision.
        site: anatomic site, if the card names one.
        class_index: position in `ImageResult.scores`, None when not known; the
            report then cannot list the strongest images first.
    """

    concept: CodedConcept
    present: bool | None
    probability: float
    threshold: float | None
    site: CodedConcept | None = None
    class_index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageResult:
    """What became of one image of the study.

    Args:
        frames: frame numbers that were evaluated, from 1.
        scores: aggregated over frames, one per class; () unless evaluated.
        skipped: why the image was left out ("" if evaluated): out of scope.
        error: why it failed ("" if it did not): undecodable, broken.
        windowing: which windowing was applied, e.g. "file window", "percentile".
    """

    sop_instance_uid: SOPInstanceUID
    frames: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    skipped: str = ""
    error: str = ""
    windowing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a model says of a study at one revision.

    Args:
        reason: a sentence for people; "" when findings speak for themselves.
        parameters: what reading a score needs: aggregation, windowing,
            calibration, preprocessing id, torch and device; text to text.
        images: every image considered, in the order of the input.
        research_only: the card's intended use.
    """

    outcome: Outcome
    reason: str
    model: str
    model_version: str
    manufacturer: str
    device_uid: DeviceUID
    weights_sha256: str
    findings: tuple[Finding, ...]
    images: tuple[ImageResult, ...]
    parameters: tuple[tuple[str, str], ...]
    research_only: bool
    started_at: datetime
    finished_at: datetime

    @property
    def evaluated(self) -> tuple[ImageResult, ...]:
        """The images that gave a score."""
        return tuple(image for image in self.images if image.scores)


_NO_SERIES = SeriesInstanceUID("")


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """One file of a study handed to inference, to the report and to replay."""

    sop_instance_uid: SOPInstanceUID
    sop_class_uid: SOPClassUID
    path: Path
    header: RoutingHeader
    series_instance_uid: SeriesInstanceUID = _NO_SERIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A structured report written to disk.

    Args:
        file_key: name in the report store.
        sha256: of the whole file, hex.
    """

    sop_class_uid: SOPClassUID
    sop_instance_uid: SOPInstanceUID
    series_instance_uid: SeriesInstanceUID
    file_key: str
    sha256: str
    report_id: ReportId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFile:
    """A report as a destination takes it."""

    report: Report
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One report to one destination.

    Args:
        reports: the same report in each SOP class the destination may accept,
            best first.
        chosen: SOP Instance UID pinned by the first attempt that negotiated, so
            that a retry sends the same object; None before.
        queued_at: when it was first queued; bounds the retries.
    """

    delivery_id: DeliveryId
    job_id: JobId
    destination: str
    state: WorkState
    attempt: int
    reports: tuple[Report, ...]
    chosen: SOPInstanceUID | None
    queued_at: datetime
    lease: Lease | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a job came to; committed in one piece.

    Args:
        reports: best first, at most one per SOP class.
        destinations: who gets them; () when they stay in the node.
        state: DONE or FAILED.
    """

    prediction: Prediction
    reports: tuple[Report, ...]
    destinations: tuple[str, ...]
    state: WorkState = WorkState.DONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    """Why an attempt did not settle its work.

    Args:
        reason: for people; no value from a data set.
        status: DIMSE status the peer answered, None if there was none.
    """

    reason: str
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A report that the destination took. Source: PS3.4 B.2.3 (0000, Bxxx)."""

    status: int
    sop_instance_uid: SOPInstanceUID


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedContext:
    """One presentation context that was offered and not accepted."""

    sop_class_uid: str
    transfer_syntax_uids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationRecord:
    """Who called, what was offered and refused, and what came of it.

    Args:
        tls_version: e.g. "TLSv1.3"; "" without TLS.
        certificate_subject: of the caller's certificate (RFC 4514), "" without one.
    """

    at: datetime
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    accepted: bool
    reason: str = ""
    refused_contexts: tuple[RefusedContext, ...] = ()
    instances: int = 0
    refused_instances: int = 0
    size_bytes: int = 0
    seconds: float = 0.0
    tls_version: str = ""
    certificate_subject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEvent:
    """One line of a study's story, as `show` prints it."""

    at: datetime
    what: str
    detail: dict[str, str | int | float | None] = field(default_factory=dict)
