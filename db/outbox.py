"""What a job came to and what waits for its destinations, committed together."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from db.codec import encode_prediction
from db.columns import AnyRow, new_id
from db.desk_tables import suggestions
from db.engine import Database
from db.queueing import queue_late_withdrawal
from db.sending import choose as choose
from db.sending import settle_delivery as settle_delivery
from db.tables import deliveries, findings, jobs, predictions, reports
from db.transitions import (
    NO_LEASE,
    NOT_SENT,
    Kind,
    Move,
    held,
    move,
    note,
    queue_again,
)
from dicom_node.core.errors import DatabaseError, LostRace
from dicom_node.core.ids import (
    SOPInstanceUID,
)
from dicom_node.core.states import MESSAGE_KINDS, WorkState
from dicom_node.core.types import (
    Addressee,
    Job,
    Prediction,
    Report,
    Settlement,
)

_SETTLED = (WorkState.DONE, WorkState.FAILED)


def settle_job(
    database: Database, job: Job, settlement: Settlement, *, now: datetime
) -> None:
    """Commit prediction, reports, deliveries and the job's end in one transaction.

    A job that `retry` brought back replaces its reports, and asks its
    destinations for another delivery; its earlier predictions are kept.

    Raises:
        LostRace: somebody else holds the job; nothing was written.
        DatabaseError: not a settled state, or a delivery without a report.
    """
    if settlement.state not in _SETTLED:
        raise DatabaseError("a job is settled as DONE or as FAILED")
    _require_reports(settlement)
    with database.write() as connection:
        _end(connection, job, settlement, now=now)
        _keep_prediction(connection, job, settlement.prediction)
        _keep_suggestion(connection, job, settlement, now=now)
        _keep_written(connection, job, settlement, now=now)


def keep_result(
    database: Database, job: Job, settlement: Settlement, *, now: datetime
) -> None:
    """Commit what `settle_job` does of a job that has more to write, and goes on.

    What is queued may leave at once; `finish_job` ends the job, by whoever holds it
    then.

    Raises:
        LostRace: somebody else holds the job; nothing was written.
        DatabaseError: a delivery without a report.
    """
    _require_reports(settlement)
    holding = select(jobs.c.id).where(
        jobs.c.id == job.job_id, jobs.c.state == WorkState.RUNNING, held(job)
    )
    with database.write() as connection:
        if connection.execute(holding.with_for_update()).first() is None:
            raise LostRace("the job has another holder")
        _keep_prediction(connection, job, settlement.prediction)
        _keep_suggestion(connection, job, settlement, now=now)
        _keep_written(connection, job, settlement, now=now)


def finish_job(
    database: Database, job: Job, settlement: Settlement, *, now: datetime
) -> None:
    """Commit what was written after `keep_result`, and the job's end.

    Raises:
        LostRace: somebody else holds the job; nothing was written.
    """
    with database.write() as connection:
        _end(connection, job, settlement, now=now)
        kinds = {report.kind for report in settlement.reports}
        before = connection.execute(
            select(func.count())
            .select_from(reports)
            .where(reports.c.job_id == job.job_id, reports.c.kind.not_in(kinds))
        ).scalar_one()
        _keep_written(connection, job, settlement, now=now, first_rank=before)


def _require_reports(settlement: Settlement) -> None:
    if settlement.addressees and not settlement.reports:
        raise DatabaseError("there is no report to deliver")


def _end(
    connection: Connection, job: Job, settlement: Settlement, *, now: datetime
) -> None:
    step = Move(
        kind=Kind.JOB,
        work_id=job.job_id,
        source=WorkState.RUNNING,
        target=settlement.state,
        at=now,
        attempt=job.attempt,
        reason=settlement.prediction.reason or None,
    )
    values = {**NO_LEASE, "settled_at": now, "reason": step.reason}
    move(connection, step, values=values, only_if=held(job))


def _keep_written(
    connection: Connection,
    job: Job,
    settlement: Settlement,
    *,
    now: datetime,
    first_rank: int = 0,
) -> None:
    """Keep reports, and queue what they are delivered by.

    Messages that a later routing could not know of are taken back behind them.
    """
    for rank, report in enumerate(settlement.reports, start=first_rank):
        _keep_report(connection, job, report, rank=rank, now=now)
    written = {report.sop_instance_uid for report in settlement.reports}
    for addressee in dict.fromkeys(settlement.addressees):
        before = _delivery_before(connection, job, addressee)
        if before is None:
            _queue_delivery(connection, job, addressee, now=now)
        else:
            _deliver_again(connection, before, written, now=now)
    if any(report.kind in MESSAGE_KINDS for report in settlement.reports):
        queue_late_withdrawal(connection, job, now=now)


def _keep_prediction(connection: Connection, job: Job, prediction: Prediction) -> None:
    claim = connection.execute(
        select(jobs.c.claims).where(jobs.c.id == job.job_id)
    ).scalar_one()
    added = connection.execute(
        insert(predictions).values(
            job_id=job.job_id,
            claim=claim,
            outcome=prediction.outcome,
            model_version=prediction.model_version,
            weights_sha256=prediction.weights_sha256,
            document=encode_prediction(prediction),
        )
    )
    if prediction.findings:
        connection.execute(
            insert(findings),
            [
                {
                    "prediction_id": new_id(added),
                    "code": finding.concept.value,
                    "scheme": finding.concept.scheme,
                    "meaning": finding.concept.meaning,
                    "present": finding.present,
                    "probability": finding.probability,
                    "threshold": finding.threshold,
                    "value": finding.value,
                    "unit": finding.unit.value if finding.unit else None,
                }
                for finding in prediction.findings
            ],
        )


def _keep_report(
    connection: Connection, job: Job, report: Report, *, rank: int, now: datetime
) -> None:
    content = {
        "rank": rank,
        "sop_instance_uid": report.sop_instance_uid,
        "series_instance_uid": report.series_instance_uid,
        "file_key": report.file_key,
        "sha256": report.sha256,
        "created_at": now,
    }
    key = {
        "job_id": job.job_id,
        "kind": report.kind,
        "destination": report.destination,
        "sop_class_uid": report.sop_class_uid,
    }
    replaced = connection.execute(
        update(reports)
        .where(*(reports.c[name] == value for name, value in key.items()))
        .values(**content)
    )
    if replaced.rowcount == 0:
        connection.execute(insert(reports).values(**key, **content))


def _keep_suggestion(
    connection: Connection, job: Job, settlement: Settlement, *, now: datetime
) -> None:
    """Keep what the reading list shows; a job that ran again replaces its own."""
    suggestion, prediction = settlement.suggestion, settlement.prediction
    connection.execute(delete(suggestions).where(suggestions.c.job_id == job.job_id))
    if suggestion is not None:
        connection.execute(
            insert(suggestions).values(
                job_id=job.job_id,
                study_id=job.study_id,
                priority=suggestion.urgency,
                reason=suggestion.reason,
                model=prediction.model,
                model_version=prediction.model_version,
                created_at=now,
                expires_at=suggestion.expires_at,
            )
        )


def _delivery_before(
    connection: Connection, job: Job, addressee: Addressee
) -> AnyRow | None:
    """Return the delivery that an earlier run of the job has queued."""
    return connection.execute(
        select(deliveries)
        .where(
            deliveries.c.job_id == job.job_id,
            deliveries.c.destination == addressee.destination,
            deliveries.c.kind == addressee.kind,
        )
        .with_for_update()
    ).first()


def _deliver_again(
    connection: Connection,
    before: AnyRow,
    written: Collection[SOPInstanceUID],
    *,
    now: datetime,
) -> None:
    """Send what this run has written, whatever the delivery had sent or pinned."""
    if before.state in _SETTLED:
        queue_again(connection, Kind.DELIVERY, before, now=now)
    elif before.state == WorkState.RUNNING:
        # On its way is the replaced report: its sender shall settle nothing.
        step = Move(
            kind=Kind.DELIVERY,
            work_id=before.id,
            source=WorkState.RUNNING,
            target=WorkState.QUEUED,
            at=now,
            attempt=before.attempt,
            reason="the job ran again",
        )
        move(connection, step, values={**NO_LEASE, "not_before": now})
    # What was sent before proves nothing of what is sent now.
    values = dict(NOT_SENT)
    if before.chosen is not None and before.chosen not in written:
        values["chosen"] = None
    connection.execute(
        update(deliveries).where(deliveries.c.id == before.id).values(**values)
    )


def _queue_delivery(
    connection: Connection, job: Job, addressee: Addressee, *, now: datetime
) -> None:
    added = connection.execute(
        insert(deliveries).values(
            job_id=job.job_id,
            destination=addressee.destination,
            kind=addressee.kind,
            state=WorkState.QUEUED,
            attempt=0,
            claims=0,
            queued_at=now,
            not_before=now,
        )
    )
    queued = Move(
        kind=Kind.DELIVERY,
        work_id=new_id(added),
        source=None,
        target=WorkState.QUEUED,
        at=now,
        attempt=0,
    )
    note(connection, queued)
