"""Why a study has no AI result: one sentence, for the page, the API and `show`."""

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import ColumnElement, exists, or_, select

from db.holding import left_out
from db.summary import JobSummary
from db.tables import jobs, predictions, studies
from dicom_node.core.states import (
    EVALUATED,
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
NOT_COVERED_REMEDY: Final = (
    "read it without AI, unless the attribute is wrong: then correct it at its source "
    "and send the images again"
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
        return NO_ROUTE_REMEDY if ignored_because != ONLY_OWN_RESULTS else ""
    latest = {job["model"]: job for job in ran}.values()
    return "; ".join(dict.fromkeys(filter(None, map(_remedy, latest))))


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
