"""What people and monitors ask: every study, one study's story, the counts."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import Column, Connection, func, select

from db.desk_tables import destination_states
from db.engine import Database
from db.story import StudyStory
from db.studies import identify
from db.summary import StudySummary, summarise
from db.tables import STUDY_OPEN, deliveries, instances, jobs, versions
from db.tables import studies as study_table
from db.timeline import tell
from dicom_node.core.states import Receipt, StudyState, WorkState

State = TypeVar("State", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much of everything there is; every state has an entry.

    Args:
        receipts: versions kept, by what receiving them changed.
        repeats: how often bytes came again that were there.
        oldest_job_at: since when the oldest QUEUED job waits; None without one.
        oldest_delivery_at: the same of deliveries.
    """

    instances: int
    receipts: Mapping[Receipt, int]
    repeats: int
    studies: Mapping[StudyState, int]
    jobs: Mapping[WorkState, int]
    deliveries: Mapping[WorkState, int]
    oldest_job_at: datetime | None
    oldest_delivery_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationBacklog:
    """What waits for one destination.

    Args:
        waiting: deliveries QUEUED or RUNNING.
        dead: deliveries FAILED.
        cut_off: nothing is sent for now since it does not answer.
    """

    waiting: int = 0
    dead: int = 0
    cut_off: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """The work there is; every state has an entry.

    Args:
        receiving: studies that are not complete yet.
        oldest_job_at: since when the oldest QUEUED job waits; None without one.
        oldest_delivery_at: the same of deliveries.
    """

    receiving: int
    jobs: Mapping[WorkState, int]
    deliveries: Mapping[WorkState, int]
    oldest_job_at: datetime | None
    oldest_delivery_at: datetime | None
    destinations: Mapping[str, DestinationBacklog] = field(default_factory=dict)


def studies(database: Database, *, limit: int | None = None) -> list[StudySummary]:
    """Return the studies as `dicom-node studies --json` prints them.

    In the order of arrival; with `limit` the latest ones alone.
    """
    chosen = select(study_table.c.id)
    if limit is not None:
        chosen = chosen.order_by(study_table.c.id.desc()).limit(limit)
    with database.read() as connection:
        return summarise(connection, chosen)


def timeline(database: Database, key: str) -> tuple[StudyStory, ...]:
    """Return the stories of the studies with this UID or Accession Number."""
    found = identify(database, key)
    with database.read() as connection:
        return tuple(tell(connection, study_id) for study_id in found)


def counts(database: Database) -> Counts:
    """Return the counts for health and metrics."""
    with database.read() as connection:
        total = select(func.count()).select_from(instances)
        repeated = select(func.coalesce(func.sum(versions.c.repeats), 0))
        return Counts(
            instances=int(connection.execute(total).scalar_one()),
            receipts=_by_state(connection, versions.c.receipt, Receipt),
            repeats=int(connection.execute(repeated).scalar_one()),
            studies=_by_state(connection, study_table.c.state, StudyState),
            jobs=_by_state(connection, jobs.c.state, WorkState),
            deliveries=_by_state(connection, deliveries.c.state, WorkState),
            oldest_job_at=_oldest(connection, jobs.c.queued_at, jobs.c.state),
            oldest_delivery_at=_oldest(
                connection, deliveries.c.queued_at, deliveries.c.state
            ),
        )


def backlog(database: Database) -> Backlog:
    """Return the work there is, from indexes alone."""
    receiving = select(func.count()).select_from(study_table).where(STUDY_OPEN)
    with database.read() as connection:
        return Backlog(
            receiving=int(connection.execute(receiving).scalar_one()),
            jobs=_by_state(connection, jobs.c.state, WorkState),
            deliveries=_by_state(connection, deliveries.c.state, WorkState),
            oldest_job_at=_oldest(connection, jobs.c.queued_at, jobs.c.state),
            oldest_delivery_at=_oldest(
                connection, deliveries.c.queued_at, deliveries.c.state
            ),
            destinations=_destinations(connection),
        )


def _destinations(connection: Connection) -> dict[str, DestinationBacklog]:
    """Count what is not delivered; that is little, and has an index."""
    unsent = (WorkState.QUEUED, WorkState.RUNNING, WorkState.FAILED)
    query = (
        select(deliveries.c.destination, deliveries.c.state, func.count().label("n"))
        .where(deliveries.c.state.in_(unsent))
        .group_by(deliveries.c.destination, deliveries.c.state)
    )
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for row in connection.execute(query):
        counted[row.destination][row.state] += row.n
    breakers = select(destination_states.c.destination, destination_states.c.open_until)
    cut_off = {row.destination: row.open_until for row in connection.execute(breakers)}
    return {
        name: DestinationBacklog(
            waiting=counted[name][WorkState.QUEUED] + counted[name][WorkState.RUNNING],
            dead=counted[name][WorkState.FAILED],
            # Until somebody got through, whether or not the time of a try has come.
            cut_off=cut_off.get(name) is not None,
        )
        for name in sorted({*counted, *cut_off})
    }


def _by_state(
    connection: Connection, column: Column[str], states: type[State]
) -> dict[State, int]:
    query = select(column, func.count()).group_by(column)
    found = {name: count for name, count in connection.execute(query)}
    return {state: found.get(state.value, 0) for state in states}


def _oldest(
    connection: Connection, queued_at: Column[datetime], state: Column[str]
) -> datetime | None:
    query = select(func.min(queued_at)).where(state == WorkState.QUEUED)
    return connection.execute(query).scalar_one()
