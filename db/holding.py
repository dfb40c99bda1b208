"""Which results of a study hold: they are kept, and no later routing left them out."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    FromClause,
    ScalarSelect,
    exists,
    func,
    or_,
    select,
)

from db.summary import JobSummary
from db.tables import decisions, jobs, predictions, reports
from dicom_node.core.states import EVALUATED, WorkState
from dicom_node.core.work import WITHDRAWAL

_SETTLED: Final = (WorkState.DONE, WorkState.FAILED)


def concluded(job: FromClause = jobs) -> ColumnElement[bool]:
    """Select the jobs whose result is known, as SQL; that there is none, too.

    It is as soon as it is kept: the job may go on to write its pictures.
    """
    kept = exists().where(
        predictions.c.job_id == job.c.id, predictions.c.outcome.in_(EVALUATED)
    )
    return or_(job.c.state.in_(_SETTLED), kept.correlate(job))


def concluded_at() -> ColumnElement[datetime]:
    """Select since when a job of `concluded` is, as SQL: while it goes on, the report.

    NULL of one that goes on without a report.
    """
    written = select(func.max(reports.c.created_at)).where(
        reports.c.job_id == jobs.c.id
    )
    return func.coalesce(jobs.c.settled_at, written.correlate(jobs).scalar_subquery())


def is_concluded(job: JobSummary) -> bool:
    """Say of one job what `concluded` selects."""
    return job["state"] in _SETTLED or job["outcome"] in EVALUATED


def left_out() -> ColumnElement[bool]:
    """Select the jobs whose model a routing of a later revision did not want, as SQL.

    What such a job found stands in the study's history; it says nothing of the study
    as it is now.
    """
    return or_(jobs.c.route == WITHDRAWAL, exists().where(*_without_it()))


def left_out_at() -> ScalarSelect[datetime]:
    """Select when a job of `left_out` was, as SQL; NULL for a withdrawal itself."""
    query = select(func.min(decisions.c.decided_at)).where(*_without_it())
    return query.correlate(jobs).scalar_subquery()


def left_out_in() -> ScalarSelect[int]:
    """Select the revision in which a job of `left_out` was, as `left_out_at`."""
    query = select(func.min(decisions.c.revision)).where(*_without_it())
    return query.correlate(jobs).scalar_subquery()


def _without_it() -> tuple[ColumnElement[bool], ...]:
    """Return what holds of a later decision that did not want a job's model."""
    again = jobs.alias("again")
    wanted = exists().where(
        again.c.study_id == decisions.c.study_id,
        again.c.model == jobs.c.model,
        again.c.revision == decisions.c.revision,
        again.c.route != WITHDRAWAL,
    )
    return (
        decisions.c.study_id == jobs.c.study_id,
        decisions.c.revision > jobs.c.revision,
        ~wanted.correlate(jobs, decisions),
    )


def holding(
    ran: Sequence[JobSummary], decided: Collection[int]
) -> tuple[JobSummary, ...]:
    """Leave out the jobs of `left_out`.

    Args:
        ran: all jobs of a study.
        decided: the revisions of it that were routed.
    """
    wanted = {
        (job["model"], job["revision"]) for job in ran if job["route"] != WITHDRAWAL
    }
    return tuple(job for job in ran if not _is_left_out(job, wanted, decided))


def _is_left_out(
    job: JobSummary, wanted: Collection[tuple[Any, int]], decided: Collection[int]
) -> bool:
    return job["route"] == WITHDRAWAL or any(
        revision > job["revision"] and (job["model"], revision) not in wanted
        for revision in decided
    )
