"""What is next: the longest due delivery, a study's revisions in their order."""

from collections.abc import Collection
from datetime import datetime
from functools import cache

from sqlalchemy import ColumnElement, and_, or_, select

from db.breaker import lets_through
from db.leases import Query, due
from db.sending import STAGE_SENT
from db.tables import deliveries, jobs
from dicom_node.core.states import WorkState
from dicom_node.core.work import WITHDRAWAL

_OPEN = (WorkState.QUEUED, WorkState.RUNNING)


def next_delivery(now: datetime, *, but_to: Collection[str] = ()) -> Query:
    """Return the query for deliveries that may be claimed, the first one first.

    That is who has been due for the longest: what is tried or asked again and again
    holds up nobody who waits for a first turn.

    Args:
        but_to: destinations to leave out.
    """
    query = select(deliveries).where(
        due(deliveries, now), lets_through(now), ~_overtakes()
    )
    if but_to:
        query = query.where(deliveries.c.destination.not_in(sorted(but_to)))
    return query.order_by(
        deliveries.c.not_before, deliveries.c.queued_at, deliveries.c.id
    )


def due_jobs(now: datetime) -> ColumnElement[bool]:
    """Say which jobs may be claimed; a withdrawal only when all has been told."""
    return and_(due(jobs, now), ~_withdraws_too_early())


@cache
def _withdraws_too_early() -> ColumnElement[bool]:
    """Say that an earlier revision's job has yet to tell what this one takes back."""
    before = jobs.alias("job_before")
    unfinished = (
        select(before.c.id)
        .where(
            before.c.study_id == jobs.c.study_id,
            before.c.model == jobs.c.model,
            before.c.revision < jobs.c.revision,
            before.c.state.in_(_OPEN),
        )
        .correlate(jobs)
        .exists()
    )
    return and_(jobs.c.route == WITHDRAWAL, unfinished)


@cache
def _overtakes() -> ColumnElement[bool]:
    """Say that an earlier revision still has something for the same destination.

    What the destination has, and whose proof is waited for, is not overtaken. Made
    once: the aliases of tables are most of what a look for work costs.
    """
    job, before = jobs.alias("job"), jobs.alias("job_before")
    sent = deliveries.alias("delivery_before")
    mine = and_(
        job.c.id == deliveries.c.job_id,
        before.c.study_id == job.c.study_id,
        before.c.revision < job.c.revision,
    )
    waiting = (
        select(sent.c.id)
        .where(
            mine,
            sent.c.job_id == before.c.id,
            sent.c.destination == deliveries.c.destination,
            sent.c.state.in_(_OPEN),
            or_(sent.c.stage != STAGE_SENT, sent.c.state == WorkState.RUNNING),
        )
        .correlate(deliveries)
        .exists()
    )
    # Its result is not there yet, and goes out before that of the later revision.
    working = (
        select(before.c.id)
        .where(
            mine,
            before.c.model == job.c.model,
            before.c.state.in_(_OPEN),
        )
        .correlate(deliveries)
        .exists()
    )
    return or_(waiting, working)
