"""Failed logins that all processes count together, by digests that name nobody."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from db.desk_tables import login_failures
from db.engine import Database
from dicom_node.core.clock import Clock

_FORGOTTEN: Final = timedelta(hours=1)
_CLEANED: Final = 1000  # at once
# By key: how many failures, and the seconds since the last one.
Counts = Mapping[str, tuple[int, float]]


class LoginFailures:
    """Counts of failed logins in the database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def change(self, keys: Collection[str], decide: Callable[[Counts], Counts]) -> None:
        """Let `decide` say what becomes of these counts, in one transaction.

        No other process sees or changes them between the look and the change.

        Args:
            decide: gets the counts that are not forgotten; what it returns is kept,
                and a count of 0 is forgotten.

        Raises:
            DatabaseError: nothing was changed.
        """
        now = self._clock.now()
        with self._database.write() as connection:
            _hold(connection, sorted(keys), now)
            counts = decide(_read(connection, keys, now))
            for key, (failures, age) in counts.items():
                values = {"failures": failures, "at": now - timedelta(seconds=age)}
                connection.execute(
                    update(login_failures)
                    .where(login_failures.c.key == key)
                    .values(values)
                )
            _clean(connection, now)

    def load(self) -> dict[str, tuple[int, float]]:
        """Return all counts."""
        with self._database.read() as connection:
            return _read(connection, None, self._clock.now())


def _hold(connection: Connection, keys: Collection[str], now: datetime) -> None:
    """Lock the rows of these keys; in one order, so that two processes only wait."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    for key in keys:
        connection.execute(
            dialect.insert(login_failures)
            .values(key=key, failures=0, at=now)
            # An update that changes nothing: it locks a row that is there already.
            .on_conflict_do_update(index_elements=["key"], set_={"key": key})
        )


def _read(
    connection: Connection, keys: Collection[str] | None, now: datetime
) -> dict[str, tuple[int, float]]:
    table = login_failures
    query = select(table).where(table.c.failures > 0, table.c.at > now - _FORGOTTEN)
    if keys is not None:
        query = query.where(table.c.key.in_(keys))
    return {
        row.key: (row.failures, max(0.0, (now - row.at).total_seconds()))
        for row in connection.execute(query)
    }


def _clean(connection: Connection, now: datetime) -> None:
    """Remove what is forgotten, except what another process has in hand."""
    table = login_failures
    old = (
        select(table.c.key)
        .where((table.c.at <= now - _FORGOTTEN) | (table.c.failures == 0))
        .limit(_CLEANED)
        .with_for_update(skip_locked=True)
    )
    keys = connection.execute(old).scalars().all()
    connection.execute(delete(table).where(table.c.key.in_(keys)))
