"""Work on a study: jobs to infer on, deliveries to send, what they came to.

Frozen values.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from dicom_node.core.ids import DeliveryId, JobId, SOPInstanceUID, StudyId
from dicom_node.core.results import Prediction, Report
from dicom_node.core.states import Priority, ReportKind, Urgency, WorkState


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work on one job or delivery until `until`."""

    owner: str
    until: datetime


# The route of a job that only takes back what was told: its model is not asked.
WITHDRAWAL: Final = ""
LEFT_OUT: Final = "no route wants this model for the study any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One (study, revision, model) to infer on. `attempt` counts from 1.

    Args:
        route: that asked for it; WITHDRAWAL where a routing left the model out.
    """

    job_id: JobId
    study_id: StudyId
    revision: int
    model: str
    route: str
    destinations: tuple[str, ...]
    state: WorkState
    attempt: int
    lease: Lease | None = None
    priority: Priority = Priority.NORMAL
    queued_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One kind of report to one destination.

    Args:
        kind: the kind that all of `reports` are.
        reports: the same report in each SOP class the destination may accept,
            best first.
        chosen: SOP Instance UID pinned by the first attempt that negotiated, so
            that a retry sends the same object; None before.
        queued_at: when it was first queued; bounds the retries.
        stage: "sent" when the destination has it and its proof is waited for.
        sent_at: when the destination took it.
        status: the last one that it answered.
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
    kind: ReportKind = ReportKind.SR
    stage: str = ""
    sent_at: datetime | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """A destination, and which kind of report it gets."""

    destination: str
    kind: ReportKind = ReportKind.SR


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """How urgently the reading list should show a study, and why.

    Args:
        reason: a sentence for people, e.g. "Pneumothorax 0.93 (threshold 0.50)".
        expires_at: None: never.
    """

    urgency: Urgency
    reason: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a job came to; committed in one piece.

    Args:
        reports: of every kind; structured reports best first.
        addressees: who gets what; () when it stays in the node.
        state: DONE or FAILED.
    """

    prediction: Prediction
    reports: tuple[Report, ...]
    addressees: tuple[Addressee, ...]
    suggestion: Suggestion | None = None
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
