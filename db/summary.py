"""The studies as `dicom-node studies --json` prints them."""

from collections import defaultdict
from typing import Final, TypedDict

from sqlalchemy import Connection, Select, func, select

from db.columns import AnyRow
from db.tables import deliveries, findings, instances, jobs, predictions, studies
from dicom_node.core.hl7 import ACKNOWLEDGEMENTS
from dicom_node.core.states import Outcome, Priority, ReportKind, WorkState

StudyIds = Select[tuple[int]]

# Statuses that HTTP has (RFC 9110 15) and DIMSE has not (PS3.7 C).
_HTTP_STATUSES: Final = frozenset({*range(200, 0x0100), *range(300, 0x0200)})


class FindingSummary(TypedDict):
    """What the model says of one target condition."""

    code: str
    scheme: str
    meaning: str
    present: bool | None
    probability: float
    value: float | None
    unit: str | None


class DeliverySummary(TypedDict):
    """One kind of report to one destination; `status` is the last one answered."""

    destination: str
    kind: str
    state: str
    stage: str
    proof: str | None
    attempts: int
    status: str | None
    sop_instance_uid: str | None


class JobSummary(TypedDict):
    """One model on one revision; without a route it only took back what was told."""

    revision: int
    model: str
    route: str
    model_version: str | None
    priority: str
    state: str
    outcome: str | None
    reason: str | None
    findings: list[FindingSummary]
    deliveries: list[DeliverySummary]


class StudySummary(TypedDict):
    """A study and everything that was done for it, oldest job first."""

    study_instance_uid: str
    accession_number: str
    state: str
    revision: int
    instances: int
    jobs: list[JobSummary]
    ignored_because: str | None


def summarise(connection: Connection, chosen: StudyIds) -> list[StudySummary]:
    """Return the summaries of the studies whose ids `chosen` selects, by id."""
    counted = _count_instances(connection, chosen)
    job_lists = summarise_jobs(connection, chosen)
    query = select(studies).where(studies.c.id.in_(chosen)).order_by(studies.c.id)
    return [
        StudySummary(
            study_instance_uid=row.study_instance_uid,
            accession_number=row.accession_number,
            state=row.state,
            revision=row.revision,
            instances=counted.get(row.id, 0),
            jobs=[summary for _, summary in job_lists[row.id]],
            ignored_because=row.ignored_because,
        )
        for row in connection.execute(query)
    ]


def summarise_jobs(
    connection: Connection, chosen: StudyIds
) -> dict[int, list[tuple[AnyRow, JobSummary]]]:
    """Return each study's jobs, oldest first, as rows and as summaries."""
    latest = _latest_predictions(connection, chosen)
    found = _findings(connection, chosen)
    sent = _deliveries(connection, chosen)
    query = select(jobs).where(jobs.c.study_id.in_(chosen))
    lists: dict[int, list[tuple[AnyRow, JobSummary]]] = defaultdict(list)
    for row in connection.execute(query.order_by(jobs.c.revision, jobs.c.id)):
        prediction = latest.get(row.id)
        summary = JobSummary(
            revision=row.revision,
            model=row.model,
            route=row.route,
            model_version=None if prediction is None else prediction.model_version,
            priority=Priority(row.priority).name.lower(),
            state=row.state,
            outcome=_outcome(row, prediction),
            reason=row.reason,
            findings=[] if prediction is None else found[prediction.id],
            deliveries=sent[row.id],
        )
        lists[row.study_id].append((row, summary))
    return lists


def _outcome(job: AnyRow, prediction: AnyRow | None) -> str | None:
    """A job given up without a prediction has failed as well as one with it."""
    if prediction is not None:
        return str(prediction.outcome)
    return Outcome.FAILED.value if job.state == WorkState.FAILED else None


def describe_status(status: int | None, kind: str = "") -> str | None:
    """Write a status as people do: 0x0000 of DIMSE, HTTP 200, AA of HL7.

    Args:
        kind: of the report that was answered with it.
    """
    if status is None:
        return None
    if kind == ReportKind.HL7 and 0 <= status < len(ACKNOWLEDGEMENTS):
        return ACKNOWLEDGEMENTS[status]
    return f"HTTP {status}" if status in _HTTP_STATUSES else f"0x{status:04X}"


def _count_instances(connection: Connection, chosen: StudyIds) -> dict[int, int]:
    query = (
        select(instances.c.study_id, func.count())
        .where(instances.c.study_id.in_(chosen))
        .group_by(instances.c.study_id)
    )
    return {study_id: count for study_id, count in connection.execute(query)}


def _latest_predictions(connection: Connection, chosen: StudyIds) -> dict[int, AnyRow]:
    query = (
        select(
            predictions.c.id,
            predictions.c.job_id,
            predictions.c.model_version,
            predictions.c.outcome,
        )
        .join(jobs, predictions.c.job_id == jobs.c.id)
        .where(jobs.c.study_id.in_(chosen))
        .order_by(predictions.c.claim)
    )
    return {row.job_id: row for row in connection.execute(query)}


def _findings(
    connection: Connection, chosen: StudyIds
) -> dict[int, list[FindingSummary]]:
    query = (
        select(findings)
        .join(predictions, findings.c.prediction_id == predictions.c.id)
        .join(jobs, predictions.c.job_id == jobs.c.id)
        .where(jobs.c.study_id.in_(chosen))
        .order_by(findings.c.id)
    )
    lists: dict[int, list[FindingSummary]] = defaultdict(list)
    for row in connection.execute(query):
        lists[row.prediction_id].append(
            FindingSummary(
                code=row.code,
                scheme=row.scheme,
                meaning=row.meaning,
                present=row.present,
                probability=row.probability,
                value=row.value,
                unit=row.unit,
            )
        )
    return lists


def _deliveries(
    connection: Connection, chosen: StudyIds
) -> dict[int, list[DeliverySummary]]:
    query = (
        select(deliveries)
        .join(jobs, deliveries.c.job_id == jobs.c.id)
        .where(jobs.c.study_id.in_(chosen))
        .order_by(deliveries.c.id)
    )
    lists: dict[int, list[DeliverySummary]] = defaultdict(list)
    for row in connection.execute(query):
        lists[row.job_id].append(summarise_delivery(row))
    return lists


def summarise_delivery(row: AnyRow) -> DeliverySummary:
    """Return a delivery; attempts count over its whole life, retries included."""
    return DeliverySummary(
        destination=row.destination,
        kind=row.kind,
        state=row.state,
        stage=row.stage,
        proof=row.proof,
        attempts=row.claims,
        status=describe_status(row.status, row.kind),
        sop_instance_uid=row.chosen,
    )
