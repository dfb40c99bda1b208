"""What was delivered, sent once more: the same object under the same UID."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, select, update

from db import breaker
from db.columns import AnyRow
from db.engine import Database
from db.prunable import report_gone
from db.revive import Choice
from db.tables import deliveries, jobs, studies
from db.transitions import NOT_SENT, Kind, queue_again
from dicom_node.core.ids import DeliveryId
from dicom_node.core.states import WorkState

NOT_DONE: Final = "only what was delivered can be sent again"
REPLACED: Final = "a later revision replaced this result: send that of the later one"
GONE: Final = "the study's files were removed by retention: there is nothing to send"


@dataclass(frozen=True, slots=True, kw_only=True)
class SentAgain:
    """How much was queued once more, and why the rest was not."""

    deliveries: int
    refused: tuple[str, ...] = ()


def resend_delivery(
    database: Database, delivery_id: DeliveryId, *, now: datetime
) -> SentAgain:
    """Queue one delivery that is DONE; nothing where it is not, or has no object."""
    return _resend(database, _select().where(deliveries.c.id == delivery_id), now)


def resend_delivered(database: Database, chosen: Choice, *, now: datetime) -> SentAgain:
    """Queue the deliveries of a study that are DONE; those of its latest results.

    Args:
        chosen: names the study, and perhaps destination and kind.
    """
    query = _select().where(
        studies.c.study_instance_uid == chosen.study_instance_uid,
        deliveries.c.state == WorkState.DONE,
        ~_replaced(),
    )
    if chosen.destination is not None:
        query = query.where(deliveries.c.destination == chosen.destination)
    if chosen.kind is not None:
        query = query.where(deliveries.c.kind == chosen.kind)
    return _resend(database, query, now)


def is_gone(database: Database, delivery_id: DeliveryId) -> bool:
    """Say whether retention has removed what a delivery would send."""
    query = (
        select(report_gone())
        .select_from(deliveries)
        .join(jobs, deliveries.c.job_id == jobs.c.id)
        .join(studies, jobs.c.study_id == studies.c.id)
        .where(deliveries.c.id == delivery_id)
    )
    with database.read() as connection:
        return bool(connection.execute(query).scalar_one_or_none())


def _select() -> "Select[*tuple[Any, ...]]":
    return (
        select(deliveries, report_gone().label("gone"), _replaced().label("replaced"))
        .join(jobs, deliveries.c.job_id == jobs.c.id)
        .join(studies, jobs.c.study_id == studies.c.id)
        .order_by(deliveries.c.id)
        .with_for_update(of=deliveries)
    )


def _replaced() -> Any:
    """Say that the model has a job of a later revision: its word counts."""
    later = jobs.alias("later")
    return (
        select(later.c.id)
        .where(
            later.c.study_id == jobs.c.study_id,
            later.c.model == jobs.c.model,
            later.c.revision > jobs.c.revision,
        )
        .exists()
    )


def _resend(
    database: Database, query: "Select[*tuple[Any, ...]]", now: datetime
) -> SentAgain:
    with database.write() as connection:
        rows = connection.execute(query).all()
        faults = [_fault(row) for row in rows]
        sound = [row for row, fault in zip(rows, faults, strict=True) if not fault]
        for row in sound:
            _queue(connection, row, now)
        breaker.close(connection, {row.destination for row in sound})
    refused = dict.fromkeys(filter(None, faults)) if rows else {NOT_DONE: None}
    return SentAgain(deliveries=len(sound), refused=tuple(refused))


def _fault(row: AnyRow) -> str:
    if row.state != WorkState.DONE:
        return NOT_DONE
    if row.replaced:
        return REPLACED
    return GONE if row.gone else ""


def _queue(connection: Connection, row: AnyRow, now: datetime) -> None:
    queue_again(connection, Kind.DELIVERY, row, now=now)
    connection.execute(
        update(deliveries).where(deliveries.c.id == row.id).values(**NOT_SENT)
    )
