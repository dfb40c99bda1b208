"""Failed logins that a restart does not forget, by digests that name nobody."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from sqlalchemy import delete, insert, select

from db.desk_tables import login_failures
from db.engine import Database
from dicom_node.core.clock import Clock

_FORGOTTEN: Final = timedelta(hours=1)


class LoginFailures:
    """Counts of failed logins in the database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def load(self) -> dict[str, tuple[int, float]]:
        """Return the counts with the seconds since the last failure, oldest first."""
        now, table = self._clock.now(), login_failures
        query = select(table).where(table.c.at > now - _FORGOTTEN).order_by(table.c.at)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return {
            row.key: (row.failures, max(0.0, (now - row.at).total_seconds()))
            for row in rows
        }

    def save(self, counts: Mapping[str, tuple[int, float]]) -> None:
        """Keep counts with the seconds since the last failure.

        One of 0 is forgotten, and so is what is long past.
        """
        now, table = self._clock.now(), login_failures
        rows = [
            {"key": key, "failures": failures, "at": now - timedelta(seconds=age)}
            for key, (failures, age) in counts.items()
            if failures
        ]
        with self._database.write() as connection:
            connection.execute(
                delete(table).where(
                    table.c.key.in_(counts) | (table.c.at <= now - _FORGOTTEN)
                )
            )
            if rows:
                connection.execute(insert(table), rows)
