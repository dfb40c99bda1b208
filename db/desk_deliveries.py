"""What the page and its API read of deliveries, and one that is sent again."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from db import revive
from db.columns import AnyRow
from db.desk_tables import destination_states
from db.engine import Database
from db.summary import describe_status
from db.tables import deliveries, jobs, studies
from dicom_node.core.errors import LostRace
from dicom_node.core.ids import DeliveryId, StudyId
from dicom_node.core.states import Proof, ReportKind, WorkState


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLine:
    """One kind of report to one destination.

    Args:
        model, revision: of the job whose result it is.
        status: what the destination answered, such as "0xA700": to the last attempt,
            or once it has it to the one that it took.
        stage: "sent" while its proof is waited for.
        not_before: when it is tried next, while it is QUEUED.
    """

    delivery_id: DeliveryId
    study_id: StudyId
    study_instance_uid: str
    accession_number: str
    model: str
    revision: int
    destination: str
    kind: ReportKind
    state: WorkState
    stage: str
    proof: Proof | None
    attempts: int
    status: str | None
    reason: str | None
    queued_at: datetime
    not_before: datetime
    settled_at: datetime | None
    sent_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryQuery:
    """Which deliveries are wanted, the latest first."""

    state: WorkState | None = None
    destination: str = ""
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationLine:
    """What became of a destination's deliveries.

    Args:
        deliveries: how many are in which state.
        oldest_at: since when the oldest QUEUED one waits.
        failures: in a row.
        open_until: nothing is sent before, for too many failures in a row.
    """

    name: str
    deliveries: Mapping[WorkState, int] = field(default_factory=dict)
    oldest_at: datetime | None = None
    failures: int = 0
    open_until: datetime | None = None
    failed_at: datetime | None = None
    succeeded_at: datetime | None = None
    reason: str | None = None


def list_deliveries(
    database: Database, query: DeliveryQuery
) -> tuple[tuple[DeliveryLine, ...], bool]:
    """Return the deliveries, and whether there are more after them."""
    chosen = _select().order_by(deliveries.c.id.desc())
    if query.state is not None:
        chosen = chosen.where(deliveries.c.state == query.state)
    if query.destination:
        chosen = chosen.where(deliveries.c.destination == query.destination)
    chosen = chosen.limit(query.limit + 1).offset(query.offset)
    with database.read() as connection:
        rows = connection.execute(chosen).all()
    return tuple(_line(row) for row in rows[: query.limit]), len(rows) > query.limit


def deliveries_of(connection: Connection, study_id: int) -> tuple[DeliveryLine, ...]:
    """Return the deliveries of a study in the order in which they were queued."""
    query = _select().where(jobs.c.study_id == study_id).order_by(deliveries.c.id)
    return tuple(_line(row) for row in connection.execute(query))


def find_delivery(database: Database, delivery_id: DeliveryId) -> DeliveryLine | None:
    """Return one delivery, None if there is none with this number."""
    query = _select().where(deliveries.c.id == delivery_id)
    with database.read() as connection:
        row = connection.execute(query).first()
    return None if row is None else _line(row)


def retry_delivery(
    database: Database, delivery_id: DeliveryId, *, now: datetime
) -> None:
    """Queue one FAILED delivery with fresh attempts.

    Raises:
        LostRace: it has not failed, or there is none.
    """
    if not revive.retry_delivery(database, delivery_id, now=now):
        raise LostRace(
            "the delivery has not failed, or its object is quarantined or was removed "
            "by retention: there is nothing to retry"
        )


def list_destinations(database: Database) -> tuple[DestinationLine, ...]:
    """Return the destinations that something was ever delivered to, by name."""
    counted = select(
        deliveries.c.destination, deliveries.c.state, func.count()
    ).group_by(deliveries.c.destination, deliveries.c.state)
    oldest = (
        select(deliveries.c.destination, func.min(deliveries.c.queued_at))
        .where(deliveries.c.state == WorkState.QUEUED)
        .group_by(deliveries.c.destination)
    )
    with database.read() as connection:
        counts: dict[str, dict[WorkState, int]] = defaultdict(dict)
        for name, state, count in connection.execute(counted):
            counts[name][WorkState(state)] = count
        waiting = {name: at for name, at in connection.execute(oldest)}
        states = {
            row.destination: row
            for row in connection.execute(select(destination_states))
        }
    return tuple(
        _destination(name, counts[name], waiting.get(name), states.get(name))
        for name in sorted({*counts, *states})
    )


def _destination(
    name: str,
    counts: Mapping[WorkState, int],
    oldest_at: datetime | None,
    row: AnyRow | None,
) -> DestinationLine:
    if row is None:
        return DestinationLine(name=name, deliveries=counts, oldest_at=oldest_at)
    return DestinationLine(
        name=name,
        deliveries=counts,
        oldest_at=oldest_at,
        failures=row.failures,
        open_until=row.open_until,
        failed_at=row.failed_at,
        succeeded_at=row.succeeded_at,
        reason=row.reason,
    )


def _select() -> "Select[*tuple[Any, ...]]":
    return (
        select(
            deliveries,
            jobs.c.study_id,
            jobs.c.model,
            jobs.c.revision,
            studies.c.study_instance_uid,
            studies.c.accession_number,
        )
        .join(jobs, deliveries.c.job_id == jobs.c.id)
        .join(studies, jobs.c.study_id == studies.c.id)
    )


def _line(row: AnyRow) -> DeliveryLine:
    return DeliveryLine(
        delivery_id=DeliveryId(row.id),
        study_id=StudyId(row.study_id),
        study_instance_uid=row.study_instance_uid,
        accession_number=row.accession_number,
        model=row.model,
        revision=row.revision,
        destination=row.destination,
        kind=ReportKind(row.kind),
        state=WorkState(row.state),
        stage=row.stage,
        proof=None if row.proof is None else Proof(row.proof),
        attempts=row.claims,
        status=describe_status(row.status, row.kind),
        reason=row.reason,
        queued_at=row.queued_at,
        not_before=row.not_before,
        settled_at=row.settled_at,
        sent_at=row.sent_at,
    )
