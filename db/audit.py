"""Who looked at what and who changed what; never a value from a data set."""

from collections.abc import Collection
from dataclasses import asdict
from typing import Final

from sqlalchemy import Connection, insert, select

from db.columns import AnyRow
from db.desk_tables import audit
from db.engine import Database
from db.tables import studies
from dicom_node.core.people import AuditEntry

# What people had done to a study: a part of its story, other than who looked at it.
ASKED: Final = ("retry", "replay", "sent again")


def record(database: Database, *entries: AuditEntry) -> None:
    """Write lines; they are on stable storage when this returns."""
    if not entries:
        return
    with database.write() as connection:
        connection.execute(insert(audit), [asdict(entry) for entry in entries])


def latest(
    database: Database, *, limit: int, before: int | None = None
) -> tuple[tuple[int, AuditEntry], ...]:
    """Return the latest lines with their numbers, the latest first.

    Args:
        before: only lines with a lower number.
    """
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(audit.c.id < before)
    with database.read() as connection:
        rows = connection.execute(query).all()
    return tuple((row.id, _entry(row)) for row in rows)


def asked_of(connection: Connection, study_id: int) -> tuple[AuditEntry, ...]:
    """Return who had a study sent or run again, the first first."""
    query = (
        select(audit)
        .where(audit.c.study_id == study_id, audit.c.action.in_(ASKED))
        .order_by(audit.c.id)
    )
    return tuple(_entry(row) for row in connection.execute(query))


def _entry(row: AnyRow) -> AuditEntry:
    return AuditEntry(
        at=row.at,
        who=row.who,
        action=row.action,
        study_id=row.study_id,
        detail=row.detail,
    )


def name_studies(
    database: Database, study_ids: Collection[int]
) -> dict[int, tuple[str, str]]:
    """Return the Study Instance UID and Accession Number of studies by their id."""
    query = select(
        studies.c.id, studies.c.study_instance_uid, studies.c.accession_number
    ).where(studies.c.id.in_(study_ids))
    with database.read() as connection:
        rows = connection.execute(query).all()
    return {row.id: (row.study_instance_uid, row.accession_number) for row in rows}
