"""Work that people put back: `dicom-node retry` and `dicom-node replay`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    func,
    or_,
    select,
    true,
    update,
)

from db import breaker
from db.desk_tables import destination_states
from db.engine import Database
from db.prunable import report_gone
from db.sending import STAGE_QUARANTINED
from db.tables import deliveries, jobs, studies
from db.transitions import NOT_SENT, Kind, queue_again
from dicom_node.core.ids import DeliveryId, StudyId
from dicom_node.core.states import ReportKind, WorkState


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which failed work is put back; what is None chooses nothing.

    Args:
        destination, kind: of deliveries; naming one leaves jobs alone.
    """

    study_instance_uid: str | None = None
    destination: str | None = None
    kind: ReportKind | None = None

    @property
    def of_deliveries(self) -> bool:
        """Whether only deliveries can be meant."""
        return self.destination is not None or self.kind is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """How much was put back.

    Args:
        quarantined: deliveries that stay, for their object must not leave.
        gone: deliveries that stay, for retention has removed their object.
        hurried: deliveries that waited for their next attempt and go at once.
    """

    jobs: int
    deliveries: int
    quarantined: int
    gone: int = 0
    hurried: int = 0


def retry(
    database: Database, *, study_instance_uid: str | None = None, now: datetime
) -> tuple[int, int]:
    """Put back as `put_back` does; return how many jobs and deliveries."""
    choice = Choice(study_instance_uid=study_instance_uid)
    done = put_back(database, choice, now=now)
    return done.jobs, done.deliveries


def put_back(database: Database, chosen: Choice, *, now: datetime) -> PutBack:
    """Queue FAILED jobs and deliveries with fresh attempts.

    A job that a later revision replaced stays as it is, and so does a delivery whose
    object is quarantined or gone. The destinations are tried at once, even those that
    did not answer, and what waits for its next attempt there goes as well.
    """
    with database.write() as connection:
        job_rows = []
        if not chosen.of_deliveries:
            job_rows = list(connection.execute(_failed_jobs(_of_study(chosen))))
        for row in job_rows:
            queue_again(connection, Kind.JOB, row, now=now)
        rows = connection.execute(_failed_deliveries(_of_delivery(chosen))).all()
        quarantined = sum(row.stage == STAGE_QUARANTINED for row in rows)
        sound = [r for r in rows if r.stage != STAGE_QUARANTINED and not r.gone]
        for row in sound:
            queue_again(connection, Kind.DELIVERY, row, now=now)
        waiting = connection.execute(_waiting_deliveries(chosen, now)).all()
        for row in waiting:
            _hurry(connection, row.id, now=now)
        breaker.close(connection, {row.destination for row in (*sound, *waiting)})
    return PutBack(
        jobs=len(job_rows),
        deliveries=len(sound),
        quarantined=quarantined,
        gone=len(rows) - len(sound) - quarantined,
        hurried=len(waiting),
    )


def retry_delivery(
    database: Database, delivery_id: DeliveryId, *, now: datetime
) -> bool:
    """Queue one FAILED delivery; False if it is not one, is quarantined or gone."""
    query = _failed_deliveries(deliveries.c.id == delivery_id)
    with database.write() as connection:
        row = connection.execute(query).first()
        if row is None or row.stage == STAGE_QUARANTINED or row.gone:
            return False
        queue_again(connection, Kind.DELIVERY, row, now=now)
        breaker.close(connection, [row.destination])
    return True


def _of_study(choice: Choice) -> ColumnElement[bool]:
    if choice.study_instance_uid is None:
        return true()
    return studies.c.study_instance_uid == choice.study_instance_uid


def _of_delivery(choice: Choice) -> ColumnElement[bool]:
    found = _of_study(choice)
    if choice.destination is not None:
        found = and_(found, deliveries.c.destination == choice.destination)
    if choice.kind is not None:
        found = and_(found, deliveries.c.kind == choice.kind)
    return found


def _failed_jobs(chosen: ColumnElement[bool]) -> "Select[*tuple[Any, ...]]":
    later = jobs.alias("later")
    replaced = (
        select(later.c.id)
        .where(
            later.c.study_id == jobs.c.study_id,
            later.c.model == jobs.c.model,
            later.c.revision > jobs.c.revision,
        )
        .exists()
    )
    return (
        select(jobs)
        .join(studies, jobs.c.study_id == studies.c.id)
        .where(jobs.c.state == WorkState.FAILED, ~replaced, chosen)
        .order_by(jobs.c.id)
        .with_for_update(of=jobs)
    )


def _failed_deliveries(chosen: ColumnElement[bool]) -> "Select[*tuple[Any, ...]]":
    return (
        select(deliveries, report_gone().label("gone"))
        .join(jobs, deliveries.c.job_id == jobs.c.id)
        .join(studies, jobs.c.study_id == studies.c.id)
        .where(deliveries.c.state == WorkState.FAILED, chosen)
        .order_by(deliveries.c.id)
        .with_for_update(of=deliveries)
    )


def _waiting_deliveries(choice: Choice, now: datetime) -> "Select[*tuple[Any, ...]]":
    """Choose what failed and waits to be sent again, or for its destination."""
    state = destination_states.c
    cut_off = select(state.destination).where(state.open_until > now)
    return (
        select(deliveries.c.id, deliveries.c.destination)
        .join(jobs, deliveries.c.job_id == jobs.c.id)
        .join(studies, jobs.c.study_id == studies.c.id)
        .where(
            deliveries.c.state == WorkState.QUEUED,
            deliveries.c.stage == "",
            or_(
                deliveries.c.not_before > now,
                deliveries.c.destination.in_(cut_off),
            ),
            _of_delivery(choice),
        )
        .order_by(deliveries.c.id)
        .with_for_update(of=deliveries)
    )


def _hurry(connection: Connection, delivery_id: int, *, now: datetime) -> None:
    connection.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery_id, deliveries.c.state == WorkState.QUEUED)
        .values(not_before=now)
    )


def resend(database: Database, study_id: StudyId, *, now: datetime) -> int:
    """Queue the settled deliveries of the study's latest jobs; return how many."""
    latest = (
        select(func.max(jobs.c.revision))
        .where(jobs.c.study_id == study_id)
        .scalar_subquery()
    )
    query = (
        select(deliveries)
        .join(jobs, deliveries.c.job_id == jobs.c.id)
        .where(
            jobs.c.study_id == study_id,
            jobs.c.revision == latest,
            deliveries.c.state.in_((WorkState.DONE, WorkState.FAILED)),
        )
        .order_by(deliveries.c.id)
        .with_for_update(of=deliveries)
    )
    with database.write() as connection:
        rows = connection.execute(query).all()
        for row in rows:
            queue_again(connection, Kind.DELIVERY, row, now=now)
            connection.execute(
                update(deliveries).where(deliveries.c.id == row.id).values(**NOT_SENT)
            )
    return len(rows)
