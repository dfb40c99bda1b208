"""The one place where a job or a delivery changes its state."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, and_, insert, update

from db.columns import AnyRow
from db.tables import deliveries, jobs, work_events
from dicom_node.core.errors import DatabaseError, LostRace
from dicom_node.core.states import WORK_MOVES, WorkState
from dicom_node.core.types import Delivery, Job

Work = Job | Delivery


class Kind(StrEnum):
    """What kind of work a row of `work_events` speaks of."""

    JOB = "job"
    DELIVERY = "delivery"


TABLES: Final[Mapping[Kind, Table]] = {Kind.JOB: jobs, Kind.DELIVERY: deliveries}
NO_LEASE: Final[Mapping[str, None]] = {"lease_owner": None, "lease_until": None}
# Of a delivery: what was sent before proves nothing of what is sent next.
NOT_SENT: Final[Mapping[str, str | None]] = {
    "stage": "",
    "status": None,
    "proof": None,
    "sent_at": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One change of state and its line in the timeline.

    Args:
        source: the state the row must be in; None for a row just inserted.
        attempt: the attempt the line is about.
    """

    kind: Kind
    work_id: int
    source: WorkState | None
    target: WorkState
    at: datetime
    attempt: int
    reason: str | None = None
    status: int | None = None


def permitted(kind: Kind, source: WorkState, target: WorkState) -> bool:
    """Say whether this kind of work may go from one state to the other."""
    if kind is Kind.JOB and source is WorkState.DONE:
        return False  # a study runs again as a new revision, never as the old job
    return (source, target) in WORK_MOVES


def move(
    connection: Connection,
    step: Move,
    *,
    values: Mapping[str, Any],
    only_if: ColumnElement[bool] | None = None,
) -> None:
    """Change the state, write `values` beside it, and record the event.

    Raises:
        LostRace: the row is in another state or does not satisfy `only_if`.
        DatabaseError: no work may ever move like this.
    """
    if step.source is None or not permitted(step.kind, step.source, step.target):
        raise DatabaseError(
            f"a {step.kind} cannot go from {step.source} to {step.target}"
        )
    table = TABLES[step.kind]
    expected = and_(table.c.id == step.work_id, table.c.state == step.source)
    if only_if is not None:
        expected = and_(expected, only_if)
    done = connection.execute(
        update(table).where(expected).values(state=step.target, **values)
    )
    if done.rowcount == 0:
        raise LostRace(f"the {step.kind} is not {step.source} or has another holder")
    note(connection, step)


def note(connection: Connection, *steps: Move) -> None:
    """Record events whose states are written already."""
    if steps:
        connection.execute(
            insert(work_events),
            [
                {
                    "at": step.at,
                    "kind": step.kind,
                    "work_id": step.work_id,
                    "from_state": step.source,
                    "to_state": step.target,
                    "attempt": step.attempt,
                    "reason": step.reason,
                    "status": step.status,
                }
                for step in steps
            ],
        )


def queue_again(
    connection: Connection, kind: Kind, row: AnyRow, *, now: datetime
) -> None:
    """Put settled work back with fresh attempts; its events stay."""
    step = Move(
        kind=kind,
        work_id=row.id,
        source=WorkState(row.state),
        target=WorkState.QUEUED,
        at=now,
        attempt=row.attempt,
        reason="put back",
    )
    fresh: dict[str, Any] = {"attempt": 0, "queued_at": now, "not_before": now}
    if kind is Kind.DELIVERY and row.sent_at is None:
        fresh["status"] = None  # nobody has answered this attempt yet
    move(connection, step, values={**fresh, "settled_at": None, "reason": None})


def kind_of(work: Work) -> Kind:
    """Return the kind of a job or a delivery."""
    return Kind.JOB if isinstance(work, Job) else Kind.DELIVERY


def id_of(work: Work) -> int:
    """Return the row id of a job or a delivery."""
    return work.job_id if isinstance(work, Job) else work.delivery_id


def held(work: Work) -> ColumnElement[bool]:
    """Return the condition that this claim still holds the lease.

    The owner's text ends with the number of the claim, so a worker that slept
    through its lease is refused even if it is the same worker that claimed again.

    Raises:
        LostRace: the work was never claimed.
    """
    if work.lease is None:
        raise LostRace("only work that was claimed can be settled")
    table = TABLES[kind_of(work)]
    return table.c.lease_owner == work.lease.owner
