"""Storage Commitment: what was asked of a destination, and what it answered."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, or_, select, update

from db.columns import AnyRow
from db.desk_tables import commitments
from db.engine import Database
from db.sending import STAGE_SENT
from db.tables import deliveries
from db.transitions import NO_LEASE, Kind, Move, held, move
from dicom_node.core.errors import LostRace
from dicom_node.core.states import Proof, WorkState
from dicom_node.core.types import Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentState:
    """Where the commitment of what a delivery has sent stands.

    Args:
        committed: the destination has taken responsibility.
        refused: it said that it has not.
        failure_reason: why (PS3.3 C.14, 0008,1197); None if it did not say.
        requests: how often it was asked since it was sent, or put back by `retry`.
        refusals: how often it refused since the delivery was queued.
    """

    committed: bool
    refused: bool
    failure_reason: int | None
    requests: int
    refusals: int


def request(
    database: Database, delivery: Delivery, transaction_uid: str, *, now: datetime
) -> None:
    """Record a transaction before it is asked for: its answer may come at once.

    Raises:
        LostRace: somebody else holds the delivery; nothing was written.
    """
    mine = select(deliveries.c.claims).where(
        deliveries.c.id == delivery.delivery_id, held(delivery)
    )
    with database.write() as connection:
        claim = connection.execute(mine).scalar_one_or_none()
        if claim is None:
            raise LostRace("the delivery has another holder")
        connection.execute(
            insert(commitments).values(
                transaction_uid=transaction_uid,
                delivery_id=delivery.delivery_id,
                claim=claim,
                requested_at=now,
            )
        )


def withdraw(database: Database, transaction_uid: str) -> None:
    """Forget a transaction that the destination never heard of, or refused."""
    with database.write() as connection:
        connection.execute(
            delete(commitments).where(
                commitments.c.transaction_uid == transaction_uid,
                commitments.c.answered_at.is_(None),
            )
        )


def answer(
    database: Database,
    transaction_uid: str,
    *,
    committed: Collection[str],
    failed: Mapping[str, int],
    now: datetime,
) -> bool:
    """Record an N-EVENT-REPORT, and let its delivery be settled at once.

    The first answer stands: one that comes again changes nothing. An object that the
    answer does not name is not committed.

    Args:
        committed: SOP Instance UIDs of the Referenced SOP Sequence.
        failed: Failure Reason by SOP Instance UID of the Failed SOP Sequence.

    Returns:
        False for a Transaction UID that this node did not ask with.

    Source: PS3.4 J.3.3.
    """
    with database.write() as connection:
        row = connection.execute(
            select(commitments)
            .where(commitments.c.transaction_uid == transaction_uid)
            .with_for_update()
        ).first()
        if row is None:
            return False
        if row.answered_at is not None:
            return True
        delivery = connection.execute(
            select(deliveries.c.chosen).where(deliveries.c.id == row.delivery_id)
        ).one()
        taken = delivery.chosen in committed and delivery.chosen not in failed
        connection.execute(
            update(commitments)
            .where(commitments.c.id == row.id)
            .values(
                answered_at=now,
                committed=taken,
                failure_reason=None if taken else failed.get(delivery.chosen),
            )
        )
        _wake(connection, row, taken=taken, now=now)
    return True


def is_answered(database: Database, transaction_uid: str) -> bool:
    """Say whether the answer to a transaction is here."""
    query = select(commitments.c.answered_at).where(
        commitments.c.transaction_uid == transaction_uid
    )
    with database.read() as connection:
        return connection.execute(query).scalar_one_or_none() is not None


def state(database: Database, delivery: Delivery) -> CommitmentState:
    """Return what is known about the commitment of what the delivery has sent."""
    query = select(commitments).where(
        commitments.c.delivery_id == delivery.delivery_id,
        commitments.c.requested_at >= delivery.sent_at,
    )
    refusals = select(func.count()).where(
        commitments.c.delivery_id == delivery.delivery_id,
        commitments.c.requested_at >= delivery.queued_at,
        commitments.c.committed.is_(False),
    )
    with database.read() as connection:
        rows = connection.execute(query.order_by(commitments.c.id)).all()
        refused_in_all = connection.execute(refusals).scalar_one()
    refused = [row for row in rows if row.committed is False]
    return CommitmentState(
        committed=any(row.committed for row in rows),
        refused=bool(refused),
        failure_reason=refused[-1].failure_reason if refused else None,
        requests=sum(row.requested_at >= delivery.queued_at for row in rows),
        refusals=refused_in_all,
    )


def await_answer(
    database: Database, delivery: Delivery, *, until: datetime, now: datetime
) -> None:
    """Put a delivery that was sent aside until its answer is here, or the wait ends.

    Raises:
        LostRace: somebody else holds the delivery; nothing was written.
    """
    step = Move(
        kind=Kind.DELIVERY,
        work_id=delivery.delivery_id,
        source=WorkState.RUNNING,
        target=WorkState.QUEUED,
        at=now,
        attempt=delivery.attempt,
        reason="sent; waits for the storage commitment",
    )
    values = {
        **NO_LEASE,
        "not_before": until,
        "reason": step.reason,
    }
    with database.write() as connection:
        # In this order: an answer writes its row first and looks at the delivery
        # afterwards, so that one of the two always sees the other.
        move(connection, step, values=values, only_if=held(delivery))
        here = connection.execute(_answered_since(delivery)).first()
        if here is not None:
            connection.execute(
                update(deliveries)
                .where(deliveries.c.id == delivery.delivery_id)
                .values(not_before=now)
            )


def _answered_since(delivery: Delivery) -> "Select[*tuple[Any, ...]]":
    return select(commitments.c.id).where(
        commitments.c.delivery_id == delivery.delivery_id,
        commitments.c.requested_at >= delivery.sent_at,
        commitments.c.answered_at.is_not(None),
    )


def _wake(connection: Connection, row: AnyRow, *, taken: bool, now: datetime) -> None:
    """Let the delivery be claimed, or strengthen the proof of one that is settled."""
    delivery = connection.execute(
        select(deliveries).where(deliveries.c.id == row.delivery_id).with_for_update()
    ).one()
    if delivery.sent_at is None or row.requested_at < delivery.sent_at:
        return  # it was sent again since, and is asked for again
    this = deliveries.c.id == delivery.id
    if delivery.state == WorkState.QUEUED and delivery.stage == STAGE_SENT:
        connection.execute(update(deliveries).where(this).values(not_before=now))
    elif taken and delivery.state == WorkState.DONE:
        weaker = or_(deliveries.c.proof.is_(None), deliveries.c.proof == Proof.SENT)
        connection.execute(
            update(deliveries)
            .where(this, weaker)
            .values(proof=Proof.COMMITTED, reason=None)
        )
    elif taken and delivery.state == WorkState.FAILED and delivery.stage == STAGE_SENT:
        _settle_late(connection, delivery, now=now)


def _settle_late(connection: Connection, delivery: AnyRow, *, now: datetime) -> None:
    """Queue a delivery that was given up before its commitment came."""
    step = Move(
        kind=Kind.DELIVERY,
        work_id=delivery.id,
        source=WorkState.FAILED,
        target=WorkState.QUEUED,
        at=now,
        attempt=delivery.attempt,
        reason="the storage commitment came after all",
    )
    values = {"not_before": now, "settled_at": None, "reason": step.reason}
    move(connection, step, values=values)
