"""The jobs of a study that was routed; those of earlier revisions go."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, exists, func, insert, select, update

from db.columns import new_id
from db.tables import jobs, reports
from db.transitions import Kind, Move, note
from dicom_node.core.ids import JobId
from dicom_node.core.states import MESSAGE_KINDS, Priority, WorkState
from dicom_node.core.types import Route, Study
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
        _queue_job(connection, study, route, now=now)
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
        route = Route(
            name=WITHDRAWAL,
            model=row.model,
            destinations=(),
            priority=Priority(row.priority),
        )
        _queue_job(connection, study, route, now=now)


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
    connection: Connection, study: Study, route: Route, *, now: datetime
) -> JobId:
    added = connection.execute(
        insert(jobs).values(
            study_id=study.study_id,
            revision=study.revision,
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
