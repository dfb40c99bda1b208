"""One study's whole story, as `dicom-node show` prints it."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from db.summary import DeliverySummary, JobSummary, StudySummary
from dicom_node.core.quiet import Arrivals
from dicom_node.core.states import Receipt, StudyState, WorkState
from dicom_node.core.types import Prediction, Report, TimelineEvent, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesStory:
    """The instances of one series, conflicts not counted."""

    series_instance_uid: str
    modality: str
    description: str
    instances: int
    own_results: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptStory:
    """One set of bytes that came in.

    Args:
        elsewhere: they name another study than the one that has the instance.
    """

    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    receipt: Receipt
    current: bool
    revision: int
    received_at: datetime
    repeats: int
    repeated_at: datetime | None
    calling_ae_title: str
    peer_address: str
    file_key: str
    size_bytes: int
    elsewhere: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionStory:
    """What routing decided about a revision, with every rule's verdict."""

    revision: int
    decided_at: datetime
    state: StudyState
    ignored_because: str | None
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStory:
    """One change of state of a job or a delivery.

    Args:
        source: None when the work was queued first.
        status: what the destination answered, such as "0xA700".
    """

    at: datetime
    attempt: int
    source: WorkState | None
    target: WorkState
    reason: str | None
    status: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryStory:
    """A delivery with every attempt."""

    summary: DeliverySummary
    reason: str | None
    not_before: datetime
    moves: tuple[AttemptStory, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStory:
    """A job with its attempts, its latest prediction and its reports."""

    summary: JobSummary
    route: str
    attempts: int
    moves: tuple[AttemptStory, ...]
    prediction: Prediction | None
    reports: tuple[Report, ...]
    deliveries: tuple[DeliveryStory, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStory:
    """Everything `show` needs; `events` is all of it in the order of time."""

    summary: StudySummary
    first_instance_at: datetime
    last_instance_at: datetime
    series: tuple[SeriesStory, ...]
    receipts: tuple[ReceiptStory, ...]
    decisions: tuple[DecisionStory, ...]
    jobs: tuple[JobStory, ...]
    events: tuple[TimelineEvent, ...]
    arrivals: Arrivals


def as_document(story: StudyStory) -> dict[str, Any]:
    """Return the story as JSON-ready values, times as ISO 8601 text."""
    text = json.dumps(asdict(story), default=datetime.isoformat)
    document: dict[str, Any] = json.loads(text)
    return document
