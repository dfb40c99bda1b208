"""Jobs and deliveries: claimed with a lease, settled by its holder alone."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    or_,
    select,
    update,
)

from db.columns import AnyRow
from db.engine import Database
from db.outbox import choose, settle_delivery, settle_job
from db.reports import predecessors, report_of
from db.revive import resend, retry
from db.tables import WORK_OPEN, deliveries, jobs, reports
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

_OWNER_LENGTH: Final = 200  # leaves room for the number of the claim
AnyWork = TypeVar("AnyWork", Job, Delivery)
Query = Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claimed:
    """A row as it was before the claim, and what the claim made of it."""

    row: AnyRow
    attempt: int
    lease: Lease


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
    if not _something_is_due(database, Kind.JOB, now):
        return None
    with database.write() as connection:
        row = None
        if starved_before is not None:
            starved = jobs.c.queued_at <= starved_before
            row = _first(connection, _oldest(jobs, now).where(starved))
        row = row or _first(connection, _most_urgent(now))
        if row is None:
            return None
        return _job(_claim(connection, Kind.JOB, row, lease, now=now))


def claim_delivery(
    database: Database, *, owner: str, now: datetime, lease_seconds: float
) -> Delivery | None:
    """Take the oldest delivery that is due, as `claim_job` takes a job."""
    lease = Lease(owner=owner, until=now + timedelta(seconds=lease_seconds))
    if not _something_is_due(database, Kind.DELIVERY, now):
        return None
    with database.write() as connection:
        row = _first(connection, _oldest(deliveries, now))
        if row is None:
            return None
        claimed = _claim(connection, Kind.DELIVERY, row, lease, now=now)
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
    if step.kind is Kind.DELIVERY and step.status is not None:
        values["status"] = step.status
    with database.write() as connection:
        move(connection, step, values=values, only_if=held(work))


def _due(table: Table, now: datetime) -> ColumnElement[bool]:
    return and_(
        WORK_OPEN,
        or_(
            and_(table.c.state == WorkState.QUEUED, table.c.not_before <= now),
            and_(table.c.state == WorkState.RUNNING, table.c.lease_until <= now),
        ),
    )


def _something_is_due(database: Database, kind: Kind, now: datetime) -> bool:
    """Look first without a lock: polling must not hold receivers up."""
    table = TABLES[kind]
    with database.read() as connection:
        query = select(table.c.id).where(_due(table, now)).limit(1)
        return connection.execute(query).first() is not None


def _oldest(table: Table, now: datetime) -> Query:
    return select(table).where(_due(table, now)).order_by(table.c.queued_at, table.c.id)


def _most_urgent(now: datetime) -> Query:
    order = (jobs.c.priority, jobs.c.queued_at, jobs.c.id)
    return select(jobs).where(_due(jobs, now)).order_by(*order)


def _first(connection: Connection, query: Query) -> AnyRow | None:
    """Return the first row that nobody else is about to claim."""
    locked = query.limit(1).with_for_update(skip_locked=True)
    return connection.execute(locked).first()


def _claim(
    connection: Connection, kind: Kind, row: AnyRow, lease: Lease, *, now: datetime
) -> _Claimed:
    if row.state == WorkState.RUNNING:
        _lapse(connection, kind, row, now=now)
    start = Move(
        kind=kind,
        work_id=row.id,
        source=WorkState.QUEUED,
        target=WorkState.RUNNING,
        at=now,
        attempt=row.attempt + 1,
    )
    owner = f"{lease.owner[:_OWNER_LENGTH]}#{row.claims + 1}"
    values = {
        "attempt": row.attempt + 1,
        "claims": row.claims + 1,
        "lease_owner": owner,
        "lease_until": lease.until,
    }
    move(connection, start, values=values)
    return _Claimed(
        row=row,
        attempt=start.attempt,
        lease=Lease(owner=owner, until=lease.until),
    )


def _lapse(connection: Connection, kind: Kind, row: AnyRow, *, now: datetime) -> None:
    step = Move(
        kind=kind,
        work_id=row.id,
        source=WorkState.RUNNING,
        target=WorkState.QUEUED,
        at=now,
        attempt=row.attempt,
        reason="the lease lapsed",
    )
    move(connection, step, values=NO_LEASE)


def _job(claimed: _Claimed) -> Job:
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
    )


def _delivery(connection: Connection, claimed: _Claimed) -> Delivery:
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
    )
