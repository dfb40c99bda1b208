"""A report, found by its number."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from db.engine import Database
from db.tables import jobs, reports, studies
from dicom_node.core.states import ReportKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportLine:
    """A report and the study that it is of."""

    report_id: int
    study_instance_uid: str
    accession_number: str
    model: str
    revision: int
    kind: ReportKind
    sop_instance_uid: str
    file_key: str
    created_at: datetime


def find_report(database: Database, report_id: int) -> ReportLine | None:
    """Return the report with this number, None if there is none."""
    query = (
        select(
            reports,
            jobs.c.model,
            jobs.c.revision,
            studies.c.study_instance_uid,
            studies.c.accession_number,
        )
        .join(jobs, reports.c.job_id == jobs.c.id)
        .join(studies, jobs.c.study_id == studies.c.id)
        .where(reports.c.id == report_id)
    )
    with database.read() as connection:
        row = connection.execute(query).first()
    if row is None:
        return None
    return ReportLine(
        report_id=row.id,
        study_instance_uid=row.study_instance_uid,
        accession_number=row.accession_number,
        model=row.model,
        revision=row.revision,
        kind=ReportKind(row.kind),
        sop_instance_uid=row.sop_instance_uid,
        file_key=row.file_key,
        created_at=row.created_at,
    )
