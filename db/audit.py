"""Who looked at what and who changed what; never a value from a data set."""

from sqlalchemy import insert, select

from db.desk_tables import audit
from db.engine import Database
from dicom_node.core.people import AuditEntry


def record(database: Database, entry: AuditEntry) -> None:
    """Write one line; it is on stable storage when this returns."""
    with database.write() as connection:
        connection.execute(
            insert(audit).values(
                at=entry.at,
                who=entry.who,
                action=entry.action,
                study_id=entry.study_id,
                detail=entry.detail,
            )
        )


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
    return tuple(
        (
            row.id,
            AuditEntry(
                at=row.at,
                who=row.who,
                action=row.action,
                study_id=row.study_id,
                detail=row.detail,
            ),
        )
        for row in rows
    )
