"""Events of a study's story beside its way: priorities, people, retention."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, select

from db.audit import asked_of
from db.desk_tables import suggestions
from db.retention import PRUNED, STUDY_EVENT
from db.tables import work_events
from dicom_node.core.types import TimelineEvent

ASKED_EVENT: Final = "asked"  # of the events of a study


def suggestion_events(connection: Connection, study_id: int) -> Iterator[TimelineEvent]:
    """Yield an event for each priority that was suggested."""
    query = select(suggestions).where(suggestions.c.study_id == study_id)
    for row in connection.execute(query.order_by(suggestions.c.id)):
        yield TimelineEvent(
            at=row.created_at,
            what="suggested",
            detail={
                "urgency": row.priority,
                "reason": row.reason,
                "model": row.model,
            },
        )


def pruning_events(connection: Connection, study_id: int) -> Iterator[TimelineEvent]:
    """Yield what retention did."""
    query = select(work_events).where(
        work_events.c.kind == STUDY_EVENT, work_events.c.work_id == study_id
    )
    for row in connection.execute(query.order_by(work_events.c.id)):
        what = "pruned" if row.to_state == PRUNED else "being pruned"
        yield TimelineEvent(at=row.at, what=what, detail={"because": row.reason})


def asked_events(connection: Connection, study_id: int) -> Iterator[TimelineEvent]:
    """Yield an event for each time that somebody had it sent or run again."""
    for entry in asked_of(connection, study_id):
        yield TimelineEvent(
            at=entry.at,
            what=ASKED_EVENT,
            detail={
                "who": entry.who,
                "action": entry.action,
                "detail": entry.detail,
            },
        )
