"""The jobs of a study that was routed; those of earlier revisions go."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, exists, func, insert, select, update

from db.columns import new_id
from db.tables import decisions, jobs, reports, studies
from db.transitions import Kind, Move, note
from dicom_node.core.ids import JobId, StudyId
from dicom_node.core.states import MESSAGE_KINDS, Priority, WorkState
from dicom_node.core.types import Job, Route, Study
from dicom_node.core.work import WITHDRAWAL


def cancel_older(connection: Connection, study: Study, *, now: datetime) -> None:
    """Cancel the jobs of earlier revisions that have not begun."""
    cancelled = connection.execute(
        update(jobs)
        .where(
            jobs.c.study_id == study.study_id,
            jobs.c.revision < study.revision,
            jobs.c.state == WorkState.QUEUED,
        )
        .values(state=WorkState.CANCELLED, settled_at=now)
        .returning(jobs.c.id, jobs.c.attempt)
    ).all()
    steps = (
        Move(
            kind=Kind.JOB,
            work_id=row.id,
            source=WorkState.QUEUED,
            target=WorkState.CANCELLED,
            at=now,
            attempt=row.attempt,
            reason=f"revision {study.revision} replaces it",
        )
        for row in cancelled
    )
    note(connection, *steps)


def queue_jobs(
    connection: Connection, study: Study, routes: Iterable[Route], *, now: datetime
) -> tuple[JobId, ...]:
    """Queue a job for each model; two routes with one model are one job.

    The job is as urgent as the more urgent route.
    """
    return tuple(
        _queue_job(connection, study.study_id, study.revision, route, now=now)
        for route in _one_per_model(routes)
    )


def queue_withdrawals(
    connection: Connection, study: Study, routes: Iterable[Route], *, now: datetime
) -> None:
    """Queue a job for each model that told something and that no route wants any more.

    It takes back what the model has told of earlier revisions by message.
    """
    wanted = [route.model for route in routes]
    later = jobs.alias("later")
    told = (
        select(jobs.c.model, func.min(jobs.c.priority).label("priority"))
        .where(
            jobs.c.study_id == study.study_id,
            jobs.c.revision < study.revision,
            jobs.c.route != WITHDRAWAL,
            jobs.c.model.not_in(wanted),
            exists().where(
                reports.c.job_id == jobs.c.id, reports.c.kind.in_(MESSAGE_KINDS)
            ),
            ~exists().where(
                later.c.study_id == jobs.c.study_id,
                later.c.model == jobs.c.model,
                later.c.revision > jobs.c.revision,
                later.c.route == WITHDRAWAL,
                later.c.state == WorkState.DONE,
            ),
        )
        .group_by(jobs.c.model)
        .order_by(jobs.c.model)
    )
    for row in connection.execute(told).all():
        route = _withdrawal_of(row.model, Priority(row.priority))
        _queue_job(connection, study.study_id, study.revision, route, now=now)


def queue_late_withdrawal(connection: Connection, job: Job, *, now: datetime) -> None:
    """Queue what takes back the job's messages, if a later routing left its model out.

    That routing could not: the job had told nothing yet.
    """
    # A routing holds this row, too: either it sees the messages, or this its decision.
    held = select(studies.c.id).where(studies.c.id == job.study_id).with_for_update()
    connection.execute(held)
    revision = connection.execute(
        select(func.max(decisions.c.revision)).where(
            decisions.c.study_id == job.study_id
        )
    ).scalar_one()
    if revision is None or revision <= job.revision:
        return
    # The model is wanted again, or its withdrawal waits for this job.
    there = select(jobs.c.id).where(
        jobs.c.study_id == job.study_id,
        jobs.c.revision == revision,
        jobs.c.model == job.model,
    )
    if connection.execute(there).first() is None:
        route = _withdrawal_of(job.model, job.priority)
        _queue_job(connection, job.study_id, revision, route, now=now)


def _withdrawal_of(model: str, priority: Priority) -> Route:
    return Route(name=WITHDRAWAL, model=model, destinations=(), priority=priority)


def _one_per_model(routes: Iterable[Route]) -> tuple[Route, ...]:
    merged: dict[str, Route] = {}
    for route in routes:
        before = merged.get(route.model)
        if before is None:
            merged[route.model] = route
            continue
        both = (*before.destinations, *route.destinations)
        merged[route.model] = Route(
            name=f"{before.name}, {route.name}",
            model=route.model,
            destinations=tuple(dict.fromkeys(both)),
            priority=min(before.priority, route.priority),
        )
    return tuple(merged.values())


def _queue_job(
    connection: Connection,
    study_id: StudyId,
    revision: int,
    route: Route,
    *,
    now: datetime,
) -> JobId:
    added = connection.execute(
        insert(jobs).values(
            study_id=study_id,
            revision=revision,
            model=route.model,
            route=route.name,
            destinations=list(dict.fromkeys(route.destinations)),
            priority=route.priority,
            state=WorkState.QUEUED,
            attempt=0,
            claims=0,
            queued_at=now,
            not_before=now,
        )
    )
    job_id = JobId(new_id(added))
    queued = Move(
        kind=Kind.JOB,
        work_id=job_id,
        source=None,
        target=WorkState.QUEUED,
        at=now,
        attempt=0,
    )
    note(connection, queued)
    return job_id
