"""What the models said of a study last."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from db.codec import decode_prediction
from db.columns import AnyRow
from db.desk_tables import suggestions
from db.engine import Database
from db.reports import report_of
from db.tables import jobs, predictions, reports
from dicom_node.core.ids import JobId, StudyId
from dicom_node.core.states import (
    Outcome,
    Priority,
    ReportKind,
    Urgency,
    WorkState,
)
from dicom_node.core.types import Job, Prediction, Report, Suggestion

_WITHOUT_RESULT: Final = (Outcome.NOT_EVALUATED, Outcome.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResult:
    """A job, and what it came to.

    Args:
        report: the best structured report, None if none was written.
    """

    job: Job
    prediction: Prediction
    report: Report | None = None
    suggestion: Suggestion | None = None


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


def kept(database: Database, job: Job) -> StoredResult | None:
    """Return the result that a job in hand has kept already; the rest is to write.

    A run that ended without a result does not count: it is to be run again.
    """
    query = (
        select(predictions.c.document, suggestions)
        .outerjoin(suggestions, suggestions.c.job_id == predictions.c.job_id)
        .where(
            predictions.c.job_id == job.job_id,
            predictions.c.outcome.not_in(_WITHOUT_RESULT),
        )
        .order_by(predictions.c.claim.desc())
        .limit(1)
    )
    structured = (
        select(reports)
        .where(reports.c.job_id == job.job_id, reports.c.kind == ReportKind.SR)
        .order_by(reports.c.rank)
        .limit(1)
    )
    with database.read() as connection:
        row = connection.execute(query).first()
        if row is None:
            return None
        best = connection.execute(structured).first()
    return StoredResult(
        job=job,
        prediction=decode_prediction(row.document),
        report=None if best is None else report_of(best),
        suggestion=None if row.priority is None else _suggestion(row),
    )


def _suggestion(row: AnyRow) -> Suggestion:
    return Suggestion(
        urgency=Urgency(row.priority),
        reason=row.reason,
        expires_at=row.expires_at,
    )
