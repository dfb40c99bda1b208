"""What becomes of a delivery in hand: chosen, sent, to be sent again, settled."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import func, or_, select, update

from db import breaker
from db.engine import Database
from db.leases import LAPSED
from db.tables import deliveries, work_events
from db.transitions import NO_LEASE, Kind, Move, held, move
from dicom_node.core.errors import DatabaseError, LostRace
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.states import WorkState
from dicom_node.core.types import Delivery, Sent, Setback

# A delivery that its destination has taken, and whose proof is waited for.
STAGE_SENT: Final = "sent"
# One whose object is not what it has to be: `retry` leaves it alone.
STAGE_QUARANTINED: Final = "quarantined"


def settle_delivery(
    database: Database, delivery: Delivery, sent: Sent, *, now: datetime
) -> None:
    """Record that the destination took the report, with the status it answered.

    Raises:
        LostRace: somebody else holds the delivery; nothing was written.
    """
    step = Move(
        kind=Kind.DELIVERY,
        work_id=delivery.delivery_id,
        source=WorkState.RUNNING,
        target=WorkState.DONE,
        at=now,
        attempt=delivery.attempt,
        reason=sent.note or None,
        status=sent.status,
    )
    values = {
        **NO_LEASE,
        "settled_at": now,
        "reason": step.reason,
        "status": sent.status,
        "chosen": sent.sop_instance_uid,
        "proof": sent.proof,
        "stage": "",
        "sent_at": delivery.sent_at or now,
    }
    with database.write() as connection:
        move(connection, step, values=values, only_if=held(delivery))
        breaker.answered(connection, delivery.destination, now=now)


def mark_sent(
    database: Database, delivery: Delivery, sent: Sent, *, now: datetime
) -> Delivery:
    """Record that the destination took the report, whose proof is still to come.

    Raises:
        LostRace: somebody else holds the delivery; nothing was written.
    """
    with database.write() as connection:
        done = connection.execute(
            update(deliveries)
            .where(
                deliveries.c.id == delivery.delivery_id,
                deliveries.c.state == WorkState.RUNNING,
                held(delivery),
            )
            .values(
                stage=STAGE_SENT,
                sent_at=now,
                status=sent.status,
                chosen=sent.sop_instance_uid,
            )
        )
        if done.rowcount == 0:
            raise LostRace("the delivery has another holder")
        breaker.answered(connection, delivery.destination, now=now)
    return replace(
        delivery,
        stage=STAGE_SENT,
        sent_at=now,
        chosen=sent.sop_instance_uid,
        status=sent.status,
    )


def send_again(
    database: Database,
    delivery: Delivery,
    setback: Setback,
    *,
    not_before: datetime,
    now: datetime,
) -> None:
    """Queue a delivery that was sent, and that its destination has not kept.

    Raises:
        LostRace: somebody else holds the delivery; nothing was written.
    """
    step = _setback(delivery, setback, WorkState.QUEUED, now=now)
    values = {
        **NO_LEASE,
        "not_before": not_before,
        "reason": step.reason,
        "status": step.status,
        "stage": "",
        "sent_at": None,
    }
    with database.write() as connection:
        move(connection, step, values=values, only_if=held(delivery))


def quarantine(
    database: Database, delivery: Delivery, setback: Setback, *, now: datetime
) -> None:
    """Give a delivery up whose object must not leave, until it is written anew.

    Raises:
        LostRace: somebody else holds the delivery; nothing was written.
    """
    step = _setback(delivery, setback, WorkState.FAILED, now=now)
    values = {
        **NO_LEASE,
        "settled_at": now,
        "reason": step.reason,
        "status": step.status,
        "stage": STAGE_QUARANTINED,
    }
    with database.write() as connection:
        move(connection, step, values=values, only_if=held(delivery))


def _setback(
    delivery: Delivery, setback: Setback, target: WorkState, *, now: datetime
) -> Move:
    return Move(
        kind=Kind.DELIVERY,
        work_id=delivery.delivery_id,
        source=WorkState.RUNNING,
        target=target,
        at=now,
        attempt=delivery.attempt,
        reason=setback.reason,
        status=setback.status,
    )


def choose(
    database: Database, delivery: Delivery, sop_instance_uid: SOPInstanceUID
) -> None:
    """Pin the report that is about to be sent, so that a retry sends the same.

    It takes the place of the one that the delivery was claimed with.

    Raises:
        LostRace: somebody else holds the delivery, or pinned another report.
    """
    if sop_instance_uid not in {item.sop_instance_uid for item in delivery.reports}:
        raise DatabaseError("only a report of this delivery can be chosen")
    with database.write() as connection:
        done = connection.execute(
            update(deliveries)
            .where(
                deliveries.c.id == delivery.delivery_id,
                deliveries.c.state == WorkState.RUNNING,
                held(delivery),
                or_(
                    deliveries.c.chosen.is_(None),
                    deliveries.c.chosen == sop_instance_uid,
                    deliveries.c.chosen == delivery.chosen,
                ),
            )
            .values(chosen=sop_instance_uid)
        )
    if done.rowcount == 0:
        raise LostRace("the delivery has another holder or another report")


def setbacks(database: Database, delivery: Delivery) -> int:
    """Count the attempts that failed since the delivery was queued.

    One that ended with its process tells nothing of the destination.
    """
    query = select(func.count()).where(
        work_events.c.kind == Kind.DELIVERY,
        work_events.c.work_id == delivery.delivery_id,
        work_events.c.from_state == WorkState.RUNNING,
        work_events.c.reason != LAPSED,
        work_events.c.at >= delivery.queued_at,
    )
    with database.read() as connection:
        return int(connection.execute(query).scalar_one())


def last_answer(database: Database, delivery: Delivery) -> int | None:
    """Return the latest status that a destination answered; None if never one."""
    query = (
        select(work_events.c.status)
        .where(
            work_events.c.kind == Kind.DELIVERY,
            work_events.c.work_id == delivery.delivery_id,
            work_events.c.status.is_not(None),
        )
        .order_by(work_events.c.id.desc())
        .limit(1)
    )
    with database.read() as connection:
        return connection.execute(query).scalar_one_or_none()
