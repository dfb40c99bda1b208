"""What was written of a study before."""

from collections.abc import Iterable

from sqlalchemy import func, or_, select

from db.columns import AnyRow
from db.engine import Database
from db.tables import deliveries, jobs, reports
from dicom_node.core.ids import (
    ReportId,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyId,
)
from dicom_node.core.states import ReportKind, WorkState
from dicom_node.core.types import Job, Report


def predecessors(
    database: Database,
    study_id: StudyId,
    *,
    revision: int,
    model: str,
    sop_class_uid: SOPClassUID,
) -> Report | None:
    """Return the latest report of an earlier revision, None if there is none.

    One that stayed in the node although its route has destinations does not
    count: the PACS would be pointed at a document it never saw.
    """
    query = (
        select(reports, jobs.c.destinations, func.count(deliveries.c.id).label("sends"))
        .join(jobs, reports.c.job_id == jobs.c.id)
        .outerjoin(deliveries, deliveries.c.job_id == jobs.c.id)
        .where(
            jobs.c.study_id == study_id,
            jobs.c.revision < revision,
            jobs.c.model == model,
            reports.c.kind == ReportKind.SR,
            reports.c.sop_class_uid == sop_class_uid,
        )
        .group_by(reports.c.id, jobs.c.id)
        .order_by(jobs.c.revision.desc())
    )
    with database.read() as connection:
        return _first_seen(connection.execute(query).all())


def earlier_report(
    database: Database, job: Job, *, kind: ReportKind, destination: str
) -> Report | None:
    """Return what the latest earlier revision wrote of this kind, None if nothing.

    A message that was given up before a byte of it left does not count: nobody has
    what a later one would correct.

    Args:
        destination: "" for objects, which are the same for everybody.
    """
    query = (
        select(reports)
        .join(jobs, reports.c.job_id == jobs.c.id)
        .outerjoin(
            deliveries,
            (deliveries.c.job_id == jobs.c.id)
            & (deliveries.c.kind == reports.c.kind)
            & (deliveries.c.destination == reports.c.destination),
        )
        .where(
            jobs.c.study_id == job.study_id,
            jobs.c.revision < job.revision,
            jobs.c.model == job.model,
            reports.c.kind == kind,
            reports.c.destination == destination,
            or_(
                deliveries.c.id.is_(None),
                deliveries.c.chosen.is_not(None),
                deliveries.c.state.not_in((WorkState.FAILED, WorkState.CANCELLED)),
            ),
        )
        .order_by(jobs.c.revision.desc())
        .limit(1)
    )
    with database.read() as connection:
        row = connection.execute(query).first()
    return None if row is None else report_of(row)


def _first_seen(rows: Iterable[AnyRow]) -> Report | None:
    for row in rows:
        if row.sends or not row.destinations:
            return report_of(row)
    return None


def report_of(row: AnyRow) -> Report:
    """Return the report that a row of `reports` holds."""
    return Report(
        sop_class_uid=SOPClassUID(row.sop_class_uid),
        sop_instance_uid=SOPInstanceUID(row.sop_instance_uid),
        series_instance_uid=SeriesInstanceUID(row.series_instance_uid),
        file_key=row.file_key,
        sha256=row.sha256,
        report_id=ReportId(row.id),
        kind=ReportKind(row.kind),
        destination=row.destination,
    )
