"""The circuit breaker of each destination: whether anything is sent there at all.

`open_until` says it all: without it deliveries go out as they come; before it nothing
is claimed; after it one claim at a time is let through to try, which pushes it on, so
that two never try together.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from db.columns import AnyRow
from db.desk_tables import destination_states
from db.engine import Database
from db.tables import deliveries
from dicom_node.core.states import WorkState
from dicom_node.core.types import Delivery

# So long what failed while a destination was cut off still waits when it is back.
_SOON: Final = timedelta(seconds=5)
# Made once: an alias of a table is most of what a look for work costs.
_TRYING = deliveries.alias("trying")


class Breaker(StrEnum):
    """Whether deliveries to a destination go out."""

    CLOSED = "closed"  # they do
    OPEN = "open"  # none before `open_until`
    HALF_OPEN = "half-open"  # the next one tries


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerPolicy:
    """When deliveries to a destination stop, and for how long.

    Args:
        failures: in a row, until it opens.
        first: how long it is open then; doubles with each further failure.
        longest: it is never open for longer.
        jitter: share of that time that chance takes off, so that nodes spread out.
    """

    failures: int
    first: timedelta
    longest: timedelta
    jitter: float = 0.2

    def open_for(self, failures: int, chance: float) -> timedelta | None:
        """Return how long it is open after so many failures, None if it is not.

        Args:
            chance: 0..1, from a random source.
        """
        if failures < self.failures:
            return None
        doublings = min(failures - self.failures, 62)
        seconds = min(
            self.first.total_seconds() * 2**doublings, self.longest.total_seconds()
        )
        return timedelta(seconds=seconds * (1 - self.jitter * chance))


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationState:
    """How deliveries to a destination have gone.

    Args:
        failures: in a row, without an answer that took one.
        reason: of the last failure.
    """

    destination: str
    breaker: Breaker
    failures: int
    open_until: datetime | None
    failed_at: datetime | None
    succeeded_at: datetime | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An attempt that did not reach its destination.

    Args:
        reason: for people; no value from a data set.
        begun, at: when the attempt began, and when it failed.
    """

    destination: str
    reason: str
    begun: datetime
    at: datetime


def states(database: Database, *, now: datetime) -> tuple[DestinationState, ...]:
    """Return the state of every destination that was ever called, by name."""
    query = select(destination_states).order_by(destination_states.c.destination)
    with database.read() as connection:
        rows = connection.execute(query).all()
    return tuple(
        DestinationState(
            destination=row.destination,
            breaker=_breaker(row, now),
            failures=row.failures,
            open_until=row.open_until,
            failed_at=row.failed_at,
            succeeded_at=row.succeeded_at,
            reason=row.reason,
        )
        for row in rows
    )


def failed(
    database: Database, failure: Failure, policy: BreakerPolicy, *, chance: float
) -> datetime | None:
    """Count a delivery that did not reach its destination, or was put off there.

    Attempts that were under way together when it opened count as one: they tell of
    the same moment.

    Args:
        chance: 0..1, for the jitter.

    Returns:
        until when nothing is sent there; None while deliveries go out.
    """
    with database.write() as connection:
        row = _locked(connection, failure.destination)
        failures = 0 if row is None else row.failures
        until = None if row is None else row.open_until
        together = (
            row is not None
            and until is not None
            and row.failed_at is not None
            and row.failed_at > failure.begun
        )
        if not together:
            failures += 1
            pause = policy.open_for(failures, chance)
            until = None if pause is None else failure.at + pause
        values = {
            "failures": failures,
            "failed_at": failure.at,
            "reason": failure.reason,
            "open_until": until,
        }
        _write(connection, failure.destination, values)
    return until


def answered(connection: Connection, destination: str, *, now: datetime) -> None:
    """Close the breaker: the destination is there and does its work.

    What waits for long because it was not there goes out soon.
    """
    row = _locked(connection, destination)
    if row is not None and row.open_until is not None:
        soon = now + _SOON
        connection.execute(
            update(deliveries)
            .where(
                deliveries.c.destination == destination,
                deliveries.c.state == WorkState.QUEUED,
                deliveries.c.not_before > soon,
                deliveries.c.stage == "",
            )
            .values(not_before=soon)
        )
    values = {
        "failures": 0,
        "open_until": None,
        "succeeded_at": now,
        "reason": None,
    }
    _write(connection, destination, values)


def let_next_try(database: Database, delivery: Delivery, *, now: datetime) -> None:
    """Give the turn back that a delivery had, which told nothing of its destination."""
    with database.write() as connection:
        connection.execute(
            update(destination_states)
            .where(
                destination_states.c.destination == delivery.destination,
                destination_states.c.open_until.is_not(None),
            )
            .values(open_until=now)
        )


def close(connection: Connection, destinations: Iterable[str]) -> None:
    """Forget the failures of destinations at people's wish: they are tried at once."""
    connection.execute(
        update(destination_states)
        .where(destination_states.c.destination.in_(list(destinations)))
        .values(failures=0, open_until=None)
    )


def lets_through(now: datetime) -> ColumnElement[bool]:
    """Return the condition that a delivery's destination is not cut off."""
    tried = select(_TRYING.c.destination).where(
        _TRYING.c.state == WorkState.RUNNING, _TRYING.c.lease_until > now
    )
    state = destination_states.c
    cut_off = select(state.destination).where(
        or_(
            state.open_until > now,
            and_(state.open_until.is_not(None), state.destination.in_(tried)),
        )
    )
    return ~deliveries.c.destination.in_(cut_off)


def take_turn(
    connection: Connection, destination: str, *, now: datetime, until: datetime
) -> bool:
    """Take the one try that a half-open breaker gives; False if somebody else has.

    Args:
        until: the end of the claim's lease; who dies with the turn loses it then.
    """
    row = connection.execute(
        select(destination_states.c.open_until).where(
            destination_states.c.destination == destination
        )
    ).first()
    if row is None or row.open_until is None:
        return True
    taken = connection.execute(
        update(destination_states)
        .where(
            destination_states.c.destination == destination,
            destination_states.c.open_until == row.open_until,
            destination_states.c.open_until <= now,
        )
        .values(open_until=until)
    )
    return taken.rowcount > 0


def _breaker(row: AnyRow, now: datetime) -> Breaker:
    if row.open_until is None:
        return Breaker.CLOSED
    return Breaker.OPEN if row.open_until > now else Breaker.HALF_OPEN


def _locked(connection: Connection, destination: str) -> AnyRow | None:
    return connection.execute(
        select(destination_states)
        .where(destination_states.c.destination == destination)
        .with_for_update()
    ).first()


def _write(
    connection: Connection, destination: str, values: Mapping[str, object]
) -> None:
    """Change the destination's row, or make it: two processes may be first."""
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    added = make(destination_states).values(
        {"destination": destination, "failures": 0, **values}
    )
    connection.execute(
        added.on_conflict_do_update(index_elements=["destination"], set_=values)
    )
