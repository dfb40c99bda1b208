"""Objects of results that hold no more: the node takes none back from an archive."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from db.sending import STAGE_SENT
from db.story import DecisionStory, JobStory
from dicom_node.core.states import EVALUATED, MESSAGE_KINDS, WorkState
from dicom_node.core.types import TimelineEvent
from dicom_node.core.work import LEFT_OUT, WITHDRAWAL

STAYS_EVENT: Final = "stays in the archive"
STAYS: Final = (
    "the node removes nothing from an archive: if nobody must see it any more, have it "
    "removed or rejected there"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """Objects of a result that a later revision has not, and that stay.

    Args:
        at: when the later revision turned out to have no such result.
        because: why it has none.
        revision: of the objects.
        now: False once a still later revision has a result again.
    """

    at: datetime
    because: str
    model: str
    revision: int
    destinations: tuple[str, ...]
    now: bool = True


def left_behind(
    decided: Sequence[DecisionStory], ran: Sequence[JobStory]
) -> tuple[LeftBehind, ...]:
    """Return what stays in archives of results that hold no more.

    Args:
        decided: the routings of a study, the first first.
        ran: its jobs.
    """
    models = dict.fromkeys(job.summary["model"] for job in ran)
    return tuple(one for model in models for one in _of_model(model, decided, ran))


def left_behind_events(found: Sequence[LeftBehind]) -> Iterator[TimelineEvent]:
    """Yield an event for each."""
    for one in found:
        yield TimelineEvent(
            at=one.at,
            what=STAYS_EVENT,
            detail={
                "model": one.model,
                "revision": one.revision,
                "destinations": ", ".join(one.destinations),
                "because": one.because,
                "what_to_do": STAYS,
            },
        )


def _of_model(
    model: str, decided: Sequence[DecisionStory], ran: Sequence[JobStory]
) -> tuple[LeftBehind, ...]:
    jobs = {
        job.summary["revision"]: job
        for job in ran
        if job.summary["model"] == model and job.route != WITHDRAWAL
    }
    found: list[LeftBehind] = []
    kept: JobStory | None = None  # whose objects are there, and hold
    for decision in decided:
        job = jobs.get(decision.revision)
        if job is not None and job.summary["outcome"] in EVALUATED:
            found = [replace(one, now=False) for one in found]
            kept = job if _archives(job) else kept
        elif kept is not None and (job is None or _is_over(job)):
            found.append(
                LeftBehind(
                    at=decision.decided_at if job is None else job.moves[-1].at,
                    because=LEFT_OUT if job is None else job.summary["reason"] or "",
                    model=model,
                    revision=kept.summary["revision"],
                    destinations=_archives(kept),
                )
            )
            kept = None
    return tuple(found)


def _is_over(job: JobStory) -> bool:
    return job.summary["state"] in (WorkState.DONE, WorkState.FAILED)


def _archives(job: JobStory) -> tuple[str, ...]:
    """Name the destinations that have an object of the job."""
    there = (
        told["destination"]
        for told in (delivery.summary for delivery in job.deliveries)
        if told["kind"] not in MESSAGE_KINDS
        and (told["state"] == WorkState.DONE or told["stage"] == STAGE_SENT)
    )
    return tuple(dict.fromkeys(there))
