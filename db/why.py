"""Why a study has no AI result: one sentence, for the page, the API and `show`."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from sqlalchemy import ColumnElement, exists, or_, select

from db.holding import left_out
from db.sending import STAGE_QUARANTINED
from db.summary import DeliverySummary, JobSummary
from db.tables import jobs, predictions, studies
from dicom_node.core.states import (
    EVALUATED,
    NO_IMAGE,
    ONLY_OWN_RESULTS,
    Outcome,
    StudyState,
    WorkState,
)

STILL_RECEIVING: Final = "images are still coming in"
NO_ROUTE_REMEDY: Final = (
    "if a model should look at it: correct the images at their source and send them "
    "again, or change [[routes]], restart the node and run the study again (button, or "
    "`dicom-node replay`)"
)
NO_IMAGE_REMEDY: Final = (
    "nothing if this is all of the study; if its images are missing here, send them"
)
NOT_COVERED_REMEDY: Final = (
    "read it without AI, unless the attribute is wrong: then correct it at its source "
    "and send the images again"
)
GIVEN_UP_REMEDY: Final = (
    "mend what the deliveries say and send them again (button, or `dicom-node retry`)"
)
QUARANTINED_REMEDY: Final = (
    "mend the cause that the deliveries name and run the study again (button, or "
    "`dicom-node replay`)"
)
FAILED_REMEDY: Final = (
    "mend the cause and run the study again (button, or `dicom-node retry`); a damaged "
    "image has to come again, under another SOP Instance UID"
)


def why_no_result(
    state: StudyState, ignored_because: str | None, ran: Sequence[JobSummary]
) -> str:
    """Say why a study has no result, or not one of every model; "" if it has.

    Args:
        ran: the study's jobs that hold (`db.holding`), oldest first; of each model the
            last one counts.
    """
    if state is StudyState.IGNORED:
        return ignored_because or ""
    latest = {job["model"]: job for job in ran}.values()
    if not latest and state is StudyState.RECEIVING:
        return STILL_RECEIVING
    return "; ".join(filter(None, map(_why, latest)))


def what_to_do(
    state: StudyState, ignored_because: str | None, ran: Sequence[JobSummary]
) -> str:
    """Say what helps a study without a result to one; "" where nothing has to be done.

    Args:
        ran: as for `why_no_result`.
    """
    if state is StudyState.IGNORED:
        if ignored_because == ONLY_OWN_RESULTS:
            return ""
        return (
            NO_IMAGE_REMEDY if NO_IMAGE in (ignored_because or "") else NO_ROUTE_REMEDY
        )
    latest = {job["model"]: job for job in ran}.values()
    remedies = [*map(_remedy, latest), *(end for _, end in _undelivered(latest))]
    return "; ".join(dict.fromkeys(filter(None, remedies)))


def why_not_delivered(ran: Sequence[JobSummary]) -> str:
    """Say which destinations do not have what was found; "" if they have or will.

    Args:
        ran: as for `why_no_result`.
    """
    latest = {job["model"]: job for job in ran}.values()
    return "; ".join(said for said, _ in _undelivered(latest))


def _undelivered(latest: Iterable[JobSummary]) -> Iterator[tuple[str, str]]:
    """Yield a sentence for what does not leave any more, and what helps."""
    failed = [
        item
        for job in latest
        for item in job["deliveries"]
        if WorkState(item["state"]) is WorkState.FAILED
    ]
    kept = [item for item in failed if item["stage"] == STAGE_QUARANTINED]
    if given_up := _names(item for item in failed if item not in kept):
        yield f"deliveries to {given_up} were given up", GIVEN_UP_REMEDY
    if held_back := _names(kept):
        yield (
            f"objects for {held_back} are in quarantine: they do not pass the node's "
            "own checks",
            QUARANTINED_REMEDY,
        )


def _names(items: Iterable[DeliverySummary]) -> str:
    return ", ".join(dict.fromkeys(f"'{item['destination']}'" for item in items))


def _remedy(job: JobSummary) -> str:
    if job["outcome"] == Outcome.NOT_EVALUATED:
        return NOT_COVERED_REMEDY
    failed = WorkState(job["state"]) is WorkState.FAILED
    return FAILED_REMEDY if failed or job["outcome"] == Outcome.FAILED else ""


def _why(job: JobSummary) -> str:
    if job["outcome"] in EVALUATED:
        return ""
    return " ".join(_parts(job))


def _parts(job: JobSummary) -> Iterator[str]:
    """Yield the sentence; the reasons are those of model and worker."""
    outcome, state, reason = job["outcome"], WorkState(job["state"]), job["reason"]
    yield f"the model '{job['model']}'"
    if outcome == Outcome.NOT_EVALUATED:
        said = "does not cover this study"
    elif state is WorkState.FAILED or outcome == Outcome.FAILED:
        said = "failed"
    elif state is WorkState.RUNNING:
        said, reason = "is at work", None
    elif state is WorkState.CANCELLED:
        said, reason = "did not run: newer images came", None
    else:
        said = "will try again after it failed" if reason else "waits for its turn"
    yield f"{said}: {reason}" if reason else said


def without_result() -> ColumnElement[bool]:
    """Select the studies of which `why_no_result` has something to say, as SQL."""
    later = jobs.alias("later")
    latest = (
        jobs.c.study_id == studies.c.id,
        ~exists().where(
            later.c.study_id == jobs.c.study_id,
            later.c.model == jobs.c.model,
            later.c.revision > jobs.c.revision,
        ),
        ~left_out(),
    )
    evaluated = exists().where(
        predictions.c.job_id == jobs.c.id, predictions.c.outcome.in_(EVALUATED)
    )
    lacking = select(jobs.c.id).where(*latest, ~evaluated).exists()
    no_job = ~exists().where(jobs.c.study_id == studies.c.id)
    return or_(
        studies.c.state == StudyState.IGNORED,
        lacking,
        no_job & (studies.c.state == StudyState.RECEIVING),
    )
