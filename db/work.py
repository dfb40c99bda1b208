"""Jobs and deliveries: claimed with a lease, settled by its holder alone."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    select,
    update,
)

from db import breaker
from db.engine import Database
from db.leases import Claimed, Query, claim, first
from db.order import due_jobs, next_delivery
from db.outbox import settle_job
from db.reports import predecessors, report_of
from db.revive import resend, retry
from db.sending import STAGE_SENT, choose, settle_delivery
from db.tables import jobs, reports
from db.transitions import (
    NO_LEASE,
    TABLES,
    Kind,
    Move,
    Work,
    held,
    id_of,
    kind_of,
    move,
)
from dicom_node.core.errors import LostRace
from dicom_node.core.ids import (
    DeliveryId,
    JobId,
    SOPInstanceUID,
    StudyId,
)
from dicom_node.core.states import Priority, ReportKind, WorkState
from dicom_node.core.types import Delivery, Job, Lease, Setback

__all__ = [
    "choose",
    "claim_delivery",
    "claim_job",
    "extend",
    "fail",
    "predecessors",
    "requeue",
    "resend",
    "retry",
    "settle_delivery",
    "settle_job",
]

AnyWork = TypeVar("AnyWork", Job, Delivery)


def claim_job(
    database: Database,
    *,
    owner: str,
    now: datetime,
    lease_seconds: float,
    starved_before: datetime | None = None,
) -> Job | None:
    """Take the most urgent job that is due, or whose holder let its lease lapse.

    The attempt is counted, and committed, before it begins: one that takes the
    process down with it counts too.

    Args:
        starved_before: a job queued before goes first, the oldest, whatever its
            priority. For some of the claims only: were it all, urgent jobs would
            stand in line as soon as there is more work than time.
    """
    lease = Lease(owner=owner, until=now + timedelta(seconds=lease_seconds))
    with database.read() as connection:
        # Look first without a lock: polling must not hold receivers up.
        if connection.execute(_most_urgent(now).limit(1)).first() is None:
            return None
    with database.write() as connection:
        row = None
        if starved_before is not None:
            starved = jobs.c.queued_at <= starved_before
            row = first(connection, _oldest(now).where(starved))
        row = row or first(connection, _most_urgent(now))
        if row is None:
            return None
        return _job(claim(connection, Kind.JOB, row, lease, now=now))


def claim_delivery(
    database: Database,
    *,
    owner: str,
    now: datetime,
    lease_seconds: float,
    but_to: Collection[str] = (),
) -> Delivery | None:
    """Take the oldest delivery that may go out, as `claim_job` takes a job.

    Nothing is taken for a destination that is cut off, and nothing of a study before
    what an earlier revision has for the same destination.

    Args:
        but_to: destinations that have their turn already.
    """
    lease = Lease(owner=owner, until=now + timedelta(seconds=lease_seconds))
    query = next_delivery(now, but_to=but_to)
    with database.read() as connection:
        # Look first without a lock: polling must not hold receivers up.
        if connection.execute(query.limit(1)).first() is None:
            return None
    with database.write() as connection:
        row = first(connection, query)
        if row is None or not breaker.take_turn(
            connection, row.destination, now=now, until=lease.until
        ):
            return None
        claimed = claim(connection, Kind.DELIVERY, row, lease, now=now)
        return _delivery(connection, claimed)


def extend(
    database: Database, work: AnyWork, *, now: datetime, lease_seconds: float
) -> AnyWork:
    """Prolong the lease of running work; return the work with its new lease.

    Raises:
        LostRace: the lease lapsed and somebody else has claimed the work.
    """
    until = now + timedelta(seconds=lease_seconds)
    table = TABLES[kind_of(work)]
    holder = held(work)
    with database.write() as connection:
        done = connection.execute(
            update(table)
            .where(
                table.c.id == id_of(work), table.c.state == WorkState.RUNNING, holder
            )
            .values(lease_until=until)
        )
    if work.lease is None or done.rowcount == 0:
        raise LostRace(f"the {kind_of(work)} has another holder")
    return replace(work, lease=Lease(owner=work.lease.owner, until=until))


def requeue(
    database: Database,
    work: Work,
    setback: Setback,
    *,
    not_before: datetime,
    now: datetime,
) -> None:
    """Put running work back for a later attempt.

    Raises:
        LostRace: somebody else holds the work; nothing was written.
    """
    step = _setback_step(work, setback, target=WorkState.QUEUED, at=now)
    _set_back(database, work, step, not_before=not_before)


def fail(database: Database, work: Work, setback: Setback, *, now: datetime) -> None:
    """Give running work up; `retry` puts it back.

    Raises:
        LostRace: somebody else holds the work; nothing was written.
    """
    step = _setback_step(work, setback, target=WorkState.FAILED, at=now)
    _set_back(database, work, step, settled_at=now)


def _setback_step(
    work: Work, setback: Setback, *, target: WorkState, at: datetime
) -> Move:
    return Move(
        kind=kind_of(work),
        work_id=id_of(work),
        source=WorkState.RUNNING,
        target=target,
        at=at,
        attempt=work.attempt,
        reason=setback.reason,
        status=setback.status,
    )


def _set_back(database: Database, work: Work, step: Move, **times: datetime) -> None:
    values: dict[str, Any] = {**NO_LEASE, **times, "reason": step.reason}
    if isinstance(work, Delivery) and work.stage != STAGE_SENT:
        # What this attempt was answered, if anything; of what was sent before, and
        # only waits for its proof, the status that took it stays.
        values["status"] = step.status
    with database.write() as connection:
        move(connection, step, values=values, only_if=held(work))


def _oldest(now: datetime) -> Query:
    return select(jobs).where(due_jobs(now)).order_by(jobs.c.queued_at, jobs.c.id)


def _most_urgent(now: datetime) -> Query:
    order = (jobs.c.priority, jobs.c.queued_at, jobs.c.id)
    return select(jobs).where(due_jobs(now)).order_by(*order)


def _job(claimed: Claimed) -> Job:
    row = claimed.row
    return Job(
        job_id=JobId(row.id),
        study_id=StudyId(row.study_id),
        revision=row.revision,
        model=row.model,
        route=row.route,
        destinations=tuple(row.destinations),
        state=WorkState.RUNNING,
        attempt=claimed.attempt,
        lease=claimed.lease,
        priority=Priority(row.priority),
        queued_at=row.queued_at,
    )


def _delivery(connection: Connection, claimed: Claimed) -> Delivery:
    row = claimed.row
    found = connection.execute(
        select(reports)
        .where(
            reports.c.job_id == row.job_id,
            reports.c.kind == row.kind,
            reports.c.destination.in_(("", row.destination)),
        )
        .order_by(reports.c.rank)
    )
    return Delivery(
        delivery_id=DeliveryId(row.id),
        job_id=JobId(row.job_id),
        destination=row.destination,
        state=WorkState.RUNNING,
        attempt=claimed.attempt,
        reports=tuple(report_of(item) for item in found),
        chosen=None if row.chosen is None else SOPInstanceUID(row.chosen),
        queued_at=row.queued_at,
        lease=claimed.lease,
        kind=ReportKind(row.kind),
        stage=row.stage,
        sent_at=row.sent_at,
        status=row.status,
    )
