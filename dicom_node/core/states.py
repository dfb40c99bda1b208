"""States of a study, of work and of an outcome, and the moves between them."""

from enum import IntEnum, StrEnum
from typing import Final

# Why a study may be IGNORED that needs nobody's help.
ONLY_OWN_RESULTS: Final = "only results of this node"
# What a route says of a study that has none for any model; the kinds of objects follow.
NO_IMAGE: Final = "no image but localisers, screen saves and objects without pixels"


class StudyState(StrEnum):
    """Where a study stands."""

    RECEIVING = "RECEIVING"  # instances arrive, or the quiet time is not over
    ROUTED = "ROUTED"  # complete, at least one route took it
    IGNORED = "IGNORED"  # complete, no route took it; the verdicts say why


class WorkState(StrEnum):
    """Where a job or a delivery stands."""

    QUEUED = "QUEUED"  # waits for a worker and for its not_before
    RUNNING = "RUNNING"  # a worker holds its lease
    DONE = "DONE"  # settled: the result or the peer's status is recorded
    FAILED = "FAILED"  # given up; `dicom-node retry` puts it back
    CANCELLED = "CANCELLED"  # a newer revision replaced it before it ran


class Priority(IntEnum):
    """How soon a route wants its jobs done; the lowest number goes first."""

    URGENT = 0
    NORMAL = 1
    LOW = 2


class Outcome(StrEnum):
    """What a job found out."""

    PRESENT = "present"  # at least one finding is at or above its threshold
    ABSENT = "absent"  # every finding is below its threshold
    UNDETERMINED = "undetermined"  # scores without a decision
    NOT_EVALUATED = "not_evaluated"  # outside the model's scope
    FAILED = "failed"  # inside the scope, yet no image could be evaluated


# Outcomes that are a result; the others say why there is none.
EVALUATED: Final = (Outcome.PRESENT, Outcome.ABSENT, Outcome.UNDETERMINED)


class ReportKind(StrEnum):
    """What a result is written as; each kind is delivered by itself."""

    SR = "sr"  # structured report, in one of several SOP classes
    SC = "sc"  # Secondary Capture: a summary to look at
    KOS = "kos"  # Key Object Selection: the evidence frames
    HL7 = "hl7"  # HL7 v2 ORU^R01
    FHIR = "fhir"  # FHIR R4 transaction Bundle
    WEBHOOK = "webhook"  # JSON, signed


MESSAGE_KINDS: Final = (ReportKind.HL7, ReportKind.FHIR, ReportKind.WEBHOOK)


class Proof(StrEnum):
    """What a delivery that is DONE is proven by, the weakest first."""

    SENT = "sent"  # the destination answered with success
    COMMITTED = "committed"  # Storage Commitment: it has taken responsibility
    VERIFIED = "verified"  # it was found there by a query


class Urgency(StrEnum):
    """A suggested reading priority, the most urgent first (HL7 table 0485)."""

    STAT = "STAT"
    URGENT = "URGENT"
    ROUTINE = "ROUTINE"


class Receipt(StrEnum):
    """What receiving an instance changed (I4 of the reliability notes)."""

    NEW = "new"  # first time: makes work
    REPEAT = "repeat"  # same bytes: nothing to do
    NEW_METADATA = "new_metadata"  # other bytes, same pixels: no new inference
    CONFLICT = "conflict"  # other pixels or other study: kept beside, never used
    OWN_RESULT = "own_result"  # a report of this node that came back


STUDY_MOVES: Final[frozenset[tuple[StudyState, StudyState]]] = frozenset(
    {
        (StudyState.RECEIVING, StudyState.ROUTED),
        (StudyState.RECEIVING, StudyState.IGNORED),
        (StudyState.ROUTED, StudyState.RECEIVING),
        (StudyState.IGNORED, StudyState.RECEIVING),
    }
)
WORK_MOVES: Final[frozenset[tuple[WorkState, WorkState]]] = frozenset(
    {
        (WorkState.QUEUED, WorkState.RUNNING),
        (WorkState.QUEUED, WorkState.CANCELLED),
        (WorkState.RUNNING, WorkState.DONE),
        (WorkState.RUNNING, WorkState.FAILED),
        (WorkState.RUNNING, WorkState.QUEUED),
        (WorkState.FAILED, WorkState.QUEUED),
        (WorkState.DONE, WorkState.QUEUED),  # only a delivery, only at people's wish
    }
)
