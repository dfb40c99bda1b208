"""Work that people put back: `dicom-node retry` and `dicom-node replay`."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, true

from db.engine import Database
from db.tables import deliveries, jobs, studies
from db.transitions import Kind, queue_again
from dicom_node.core.ids import StudyId
from dicom_node.core.states import WorkState


def retry(
    database: Database, *, study_instance_uid: str | None = None, now: datetime
) -> tuple[int, int]:
    """Queue FAILED jobs and deliveries with fresh attempts; return how many of each.

    A job that a later revision replaced stays as it is.

    Args:
        study_instance_uid: only this study's work; None for every study's.
    """
    chosen = _of_study(study_instance_uid)
    with database.write() as connection:
        job_rows = connection.execute(_failed_jobs(chosen)).all()
        for row in job_rows:
            queue_again(connection, Kind.JOB, row, now=now)
        delivery_rows = connection.execute(_failed_deliveries(chosen)).all()
        for row in delivery_rows:
            queue_again(connection, Kind.DELIVERY, row, now=now)
    return len(job_rows), len(delivery_rows)


def _of_study(study_instance_uid: str | None) -> ColumnElement[bool]:
    if study_instance_uid is None:
        return true()
    return studies.c.study_instance_uid == study_instance_uid


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
        select(deliveries)
        .join(jobs, deliveries.c.job_id == jobs.c.id)
        .join(studies, jobs.c.study_id == studies.c.id)
        .where(deliveries.c.state == WorkState.FAILED, chosen)
        .order_by(deliveries.c.id)
        .with_for_update(of=deliveries)
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
    return len(rows)
