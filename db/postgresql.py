"""PostgreSQL: connections that never wait longer than they may.

Only what serves a PostgreSQL URL imports this module: psycopg is optional.
"""

import math
import time
from collections.abc import Generator
from functools import partial
from typing import Any, Final, TypeVar

import psycopg
from psycopg.waiting import Ready
from sqlalchemy import URL, Connection, Engine, create_engine, event

from db import deadline
from db.columns import to_json

# libpq takes whole seconds, at least 2.
_SHORTEST_CONNECT_SECONDS: Final = 2
# The server's own limits answer first, and leave a connection that still works.
_GRACE_SECONDS: Final = 0.5

Result = TypeVar("Result")


class BoundedConnection(psycopg.Connection[Any]):
    """A connection whose every wait for the server ends in time.

    A server that is frozen, or behind a dead network, cannot enforce its own limits;
    then the connection is closed and the statement fails.
    """

    busy_seconds: float = 30.0
    _durable_level: str = "on"
    _durable: bool = True

    def set_durable(self, durable: bool) -> None:
        """Let the following commits wait for the disk, or not."""
        if durable is not self._durable:
            level = self._durable_level if durable else "off"
            self.execute("SELECT set_config('synchronous_commit', %s, false)", [level])
            self._durable = durable

    def set_limits(self, *, busy_seconds: float, bounded: bool) -> None:
        """Let the server give up in time, and never lose what it committed."""
        self.busy_seconds = busy_seconds if bounded else math.inf
        limit_ms = max(1, round(busy_seconds * 1000))  # 0 would be no limit
        # A server set to lose the last commits would break "stored means kept".
        row = self.execute(
            "SELECT set_config('lock_timeout', %s, false), "
            "set_config('statement_timeout', %s, false), "
            "set_config('synchronous_commit', CASE "
            "current_setting('synchronous_commit') WHEN 'off' THEN 'on' "
            "ELSE current_setting('synchronous_commit') END, false)",
            [f"{limit_ms}ms", f"{limit_ms if bounded else 0}ms"],
        ).fetchone()
        self.commit()
        if row is not None:
            self._durable_level = row[2]

    def wait(
        self, gen: Generator[Any, Any, Result], *args: Any, **kwargs: Any
    ) -> Result:
        """Wait as psycopg does, but not beyond the thread's deadline."""
        seconds = deadline.remaining(self.busy_seconds) + _GRACE_SECONDS
        return super().wait(
            self._until(gen, time.monotonic() + seconds), *args, **kwargs
        )

    def _until(
        self, gen: Generator[Any, Any, Result], until: float
    ) -> Generator[Any, Any, Result]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                if ready == Ready.NONE and time.monotonic() >= until:
                    self.pgconn.finish()
                    raise psycopg.OperationalError("the server does not answer")
                wanted = gen.send(ready)
        except StopIteration as end:
            result: Result = end.value
            return result


def connect(
    url: URL, *, busy_seconds: float, bounded: bool = True
) -> BoundedConnection:
    """Open a connection to the server.

    Args:
        bounded: False lets a statement take any time: a migration may.

    Raises:
        psycopg.OperationalError: it does not answer in time, or refuses.
    """
    seconds = deadline.remaining(busy_seconds)
    if seconds <= 0:
        raise psycopg.OperationalError("no time is left to connect")
    _, arguments = url.get_dialect()().create_connect_args(url)
    arguments["connect_timeout"] = max(_SHORTEST_CONNECT_SECONDS, math.ceil(seconds))
    connection = BoundedConnection.connect(**arguments)
    try:
        connection.set_limits(busy_seconds=busy_seconds, bounded=bounded)
    except BaseException:
        connection.close()
        raise
    return connection


def make_engine(url: URL, *, busy_seconds: float, bounded: bool = True) -> Engine:
    """Make the engine of a database; see `connect`."""
    engine = create_engine(
        url,
        creator=partial(connect, url, busy_seconds=busy_seconds, bounded=bounded),
        pool_pre_ping=True,
        pool_timeout=busy_seconds,
        hide_parameters=True,
        json_serializer=to_json,
    )
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    if not connection.get_execution_options().get("dicom_node_durable", True):
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
