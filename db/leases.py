"""How work is claimed: the first row that is due, with a lease that can lapse."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, Table, and_, or_

from db.columns import AnyRow
from db.tables import WORK_OPEN
from db.transitions import NO_LEASE, Kind, Move, move
from dicom_node.core.states import WorkState
from dicom_node.core.types import Lease

LAPSED: Final = "the lease lapsed"
_OWNER_LENGTH: Final = 200  # leaves room for the number of the claim
Query = Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A row as it was before the claim, and what the claim made of it."""

    row: AnyRow
    attempt: int
    lease: Lease


def due(table: Table, now: datetime) -> ColumnElement[bool]:
    """Say that work's time has come, or that its holder let its lease lapse."""
    return and_(
        WORK_OPEN,
        or_(
            and_(table.c.state == WorkState.QUEUED, table.c.not_before <= now),
            and_(table.c.state == WorkState.RUNNING, table.c.lease_until <= now),
        ),
    )


def first(connection: Connection, query: Query) -> AnyRow | None:
    """Return the first row that nobody else is about to claim."""
    locked = query.limit(1).with_for_update(skip_locked=True)
    return connection.execute(locked).first()


def claim(
    connection: Connection, kind: Kind, row: AnyRow, lease: Lease, *, now: datetime
) -> Claimed:
    """Give a row to the lease's owner, whose text ends with the claim's number."""
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
    return Claimed(
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
        reason=LAPSED,
    )
    move(connection, step, values=NO_LEASE)
