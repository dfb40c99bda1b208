"""What the models said of a study last."""

from dataclasses import dataclass

from sqlalchemy import func, select

from db.codec import decode_prediction
from db.engine import Database
from db.reports import report_of
from db.tables import jobs, predictions, reports
from dicom_node.core.ids import JobId, StudyId
from dicom_node.core.states import Priority, ReportKind, WorkState
from dicom_node.core.types import Job, Prediction, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResult:
    """A settled job, and what it came to.

    Args:
        report: the best structured report, None if none was written.
    """

    job: Job
    prediction: Prediction
    report: Report | None = None


def latest(database: Database, study_id: StudyId) -> tuple[StoredResult, ...]:
    """Return each model's latest result, in the order of the jobs.

    A job that was given up without a prediction has no result.
    """
    last = (
        select(jobs.c.model, func.max(jobs.c.revision).label("revision"))
        .join(predictions, predictions.c.job_id == jobs.c.id)
        .where(jobs.c.study_id == study_id)
        .group_by(jobs.c.model)
        .subquery()
    )
    query = (
        select(jobs, predictions.c.document)
        .join(predictions, predictions.c.job_id == jobs.c.id)
        .join(
            last,
            (last.c.model == jobs.c.model) & (last.c.revision == jobs.c.revision),
        )
        .where(jobs.c.study_id == study_id)
        .order_by(jobs.c.id, predictions.c.claim)
    )
    structured = (
        select(reports)
        .join(jobs, reports.c.job_id == jobs.c.id)
        .where(jobs.c.study_id == study_id, reports.c.kind == ReportKind.SR)
        .order_by(reports.c.rank.desc())
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
        best = {row.job_id: report_of(row) for row in connection.execute(structured)}
    found = {
        row.id: StoredResult(
            job=Job(
                job_id=JobId(row.id),
                study_id=StudyId(row.study_id),
                revision=row.revision,
                model=row.model,
                route=row.route,
                destinations=tuple(row.destinations),
                state=WorkState(row.state),
                attempt=row.attempt,
                priority=Priority(row.priority),
            ),
            prediction=decode_prediction(row.document),
            report=best.get(row.id),
        )
        for row in rows  # of several runs of a job the last one stays
    }
    return tuple(found.values())


def latest_of_model(
    database: Database, study_id: StudyId, model: str
) -> Prediction | None:
    """Return what a model said of a study last, None if it never said anything."""
    found = [one for one in latest(database, study_id) if one.job.model == model]
    return found[0].prediction if found else None
