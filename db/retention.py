"""Which studies' files may go, and what the rows say of it.

A study is marked before its files are removed: whoever comes late is then told that
they are gone, and what a crash leaves behind is known to be removed still. Rows stay.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Select,
    func,
    insert,
    select,
    tuple_,
    update,
)

from db.columns import new_id
from db.engine import Database
from db.prunable import Prunable as Prunable
from db.prunable import Scope as Scope
from db.prunable import became, came_after_pruning, may_go
from db.tables import (
    instances,
    jobs,
    reports,
    studies,
    versions,
    work_events,
)
from dicom_node.core.ids import StudyId

# A line of `work_events` about a study's files, and how it ends.
STUDY_EVENT: Final = "study"
PRUNING: Final = "PRUNING"
PRUNED: Final = "PRUNED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A study whose files may go.

    Args:
        size_bytes: of its data sets.
    """

    study_id: StudyId
    state: Prunable
    last_instance_at: datetime
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Files that are to be removed of a study that is marked."""

    event_id: int
    study_id: StudyId
    instance_keys: tuple[str, ...]
    report_keys: tuple[str, ...]


def candidates(
    database: Database, scope: Scope, *, after: Candidate | None = None, limit: int
) -> tuple[Candidate, ...]:
    """Return studies whose files may go, those first whose last instance is oldest.

    Args:
        after: the last one of the page before.
    """
    query = (
        select(studies.c.id, studies.c.last_instance_at, became().label("became"))
        .where(*may_go(scope))
        .order_by(studies.c.last_instance_at, studies.c.id)
        .limit(limit)
    )
    if after is not None:
        place = tuple_(studies.c.last_instance_at, studies.c.id)
        query = query.where(place > (after.last_instance_at, after.study_id))
    with database.read() as connection:
        rows = connection.execute(query).all()
        sizes = _sizes(connection, [row.id for row in rows])
    return tuple(
        Candidate(
            study_id=StudyId(row.id),
            state=Prunable(row.became),
            last_instance_at=row.last_instance_at,
            files=sizes.get(row.id, (0, 0))[0],
            size_bytes=sizes.get(row.id, (0, 0))[1],
        )
        for row in rows
    )


def mark(
    database: Database, study_id: StudyId, scope: Scope, *, reason: str, now: datetime
) -> Removal | None:
    """Say that a study's files go; None if it is not a candidate any more."""
    with database.write() as connection:
        # Whoever adds an instance locks the study first.
        connection.execute(
            select(studies.c.id).where(studies.c.id == study_id).with_for_update()
        )
        marked = connection.execute(
            update(studies)
            .where(studies.c.id == study_id, *may_go(scope))
            .values(pruned_at=now)
        )
        if marked.rowcount == 0:
            return None
        added = connection.execute(
            insert(work_events).values(
                at=now,
                kind=STUDY_EVENT,
                work_id=study_id,
                to_state=PRUNING,
                attempt=0,
                reason=reason,
            )
        )
        return _removal(connection, new_id(added), study_id)


def unfinished(database: Database) -> tuple[Removal, ...]:
    """Return what a crash left of earlier removals."""
    query = select(work_events.c.id, work_events.c.work_id).where(
        work_events.c.kind == STUDY_EVENT, work_events.c.to_state == PRUNING
    )
    with database.read() as connection:
        rows = connection.execute(query.order_by(work_events.c.id)).all()
        return tuple(_removal(connection, row.id, StudyId(row.work_id)) for row in rows)


def finish(database: Database, removal: Removal, *, what: str, now: datetime) -> None:
    """Say that the files are gone.

    Args:
        what: was removed, for people.
    """
    with database.write() as connection:
        connection.execute(
            update(work_events)
            .where(
                work_events.c.id == removal.event_id,
                work_events.c.to_state == PRUNING,
            )
            .values(
                to_state=PRUNED,
                at=now,
                reason=func.coalesce(work_events.c.reason, "") + f": {what}",
            )
        )


def pruned_keys(database: Database) -> Iterator[str]:
    """Yield the keys of instances whose files are gone on purpose, or soon will be."""
    query = (
        select(versions.c.file_key)
        .join(instances, versions.c.instance_id == instances.c.id)
        .join(studies, instances.c.study_id == studies.c.id)
        .where(studies.c.pruned_at.is_not(None), ~came_after_pruning())
        .execution_options(yield_per=1000)
    )
    with database.read() as connection:
        yield from connection.execute(query).scalars()


def _sizes(
    connection: Connection, study_ids: Collection[int]
) -> dict[int, tuple[int, int]]:
    query = (
        select(
            instances.c.study_id,
            func.count().label("files"),
            func.sum(versions.c.size_bytes).label("size_bytes"),
        )
        .join(versions, versions.c.instance_id == instances.c.id)
        .where(instances.c.study_id.in_(study_ids))
        .group_by(instances.c.study_id)
    )
    return {
        row.study_id: (int(row.files), int(row.size_bytes))
        for row in connection.execute(query)
    }


def _removal(connection: Connection, event_id: int, study_id: StudyId) -> Removal:
    came = (
        select(versions.c.file_key)
        .join(instances, versions.c.instance_id == instances.c.id)
        .join(studies, instances.c.study_id == studies.c.id)
        # What came since is not meant.
        .where(studies.c.id == study_id, ~came_after_pruning())
    )
    written = (
        select(reports.c.file_key)
        .join(jobs, reports.c.job_id == jobs.c.id)
        .join(studies, jobs.c.study_id == studies.c.id)
        .where(studies.c.id == study_id, reports.c.created_at <= studies.c.pruned_at)
    )
    return Removal(
        event_id=event_id,
        study_id=study_id,
        instance_keys=_keys(connection, came),
        report_keys=_keys(connection, written),
    )


def _keys(connection: Connection, query: "Select[*tuple[Any, ...]]") -> tuple[str, ...]:
    return tuple(dict.fromkeys(connection.execute(query).scalars()))
