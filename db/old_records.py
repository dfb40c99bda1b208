"""Rows that only tell what happened, removed when they are old."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, Table, and_, delete, or_, select

from db.desk_tables import audit
from db.engine import Database
from db.retention import STUDY_EVENT
from db.tables import associations, deliveries, jobs, work_events
from db.transitions import Kind
from dicom_node.core.states import WorkState

_ROWS_AT_ONCE: Final = 5000  # others write in between
_OPEN: Final = (WorkState.QUEUED, WorkState.RUNNING)


def count_records(database: Database, *, before: datetime) -> int:
    """Return how many associations and moves of settled work are older."""
    with database.read() as connection:
        queries = (_old_associations(before), _old_moves(before))
        return sum(len(connection.execute(query).all()) for query in queries)


def remove_records(database: Database, *, before: datetime) -> int:
    """Remove associations and moves of settled work that are older."""
    return _remove(database, associations, _old_associations(before)) + _remove(
        database, work_events, _old_moves(before)
    )


def remove_audit(database: Database, *, before: datetime) -> int:
    """Remove lines of the audit that are older."""
    return _remove(database, audit, select(audit.c.id).where(audit.c.at < before))


def _remove(
    database: Database, table: Table, chosen: "Select[*tuple[Any, ...]]"
) -> int:
    removed = 0
    while True:
        with database.write() as connection:
            some = connection.execute(chosen.limit(_ROWS_AT_ONCE)).scalars().all()
            if some:
                connection.execute(delete(table).where(table.c.id.in_(some)))
        removed += len(some)
        if len(some) < _ROWS_AT_ONCE:
            return removed


def _old_associations(before: datetime) -> "Select[*tuple[Any, ...]]":
    return select(associations.c.id).where(associations.c.at < before)


def _old_moves(before: datetime) -> "Select[*tuple[Any, ...]]":
    """Moves of work that may still go on are needed; what was pruned stays said."""
    return (
        select(work_events.c.id)
        .outerjoin(
            jobs,
            and_(work_events.c.kind == Kind.JOB, jobs.c.id == work_events.c.work_id),
        )
        .outerjoin(
            deliveries,
            and_(
                work_events.c.kind == Kind.DELIVERY,
                deliveries.c.id == work_events.c.work_id,
            ),
        )
        .where(
            work_events.c.at < before,
            work_events.c.kind != STUDY_EVENT,
            or_(jobs.c.state.is_(None), jobs.c.state.not_in(_OPEN)),
            or_(deliveries.c.state.is_(None), deliveries.c.state.not_in(_OPEN)),
        )
    )
