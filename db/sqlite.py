"""SQLite: connections whose commits last, and that share one write lock fairly."""

import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, cast
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event

from db import deadline
from db.columns import to_json
from db.errors import code_of
from dicom_node.core.errors import DatabaseError

# SQLite's own waiting looks again after up to 100 ms: whoever looks more often
# would always come first.
_FIRST_PAUSE_SECONDS: Final = 0.0002
_LONGEST_PAUSE_SECONDS: Final = 0.002
# A checkpoint syncs twice: every 16 MiB of log instead of every 4.
_CHECKPOINT_PAGES: Final = 4000


class Turn:
    """One thread of this process writes at a time."""

    def __init__(self, busy_seconds: float) -> None:
        self._lock = threading.Lock()
        self._busy_seconds = busy_seconds

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=deadline.remaining(self._busy_seconds)):
            raise DatabaseError(f"the database is busy for {self._busy_seconds:g} s")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()


class SQLiteConnection(sqlite3.Connection):
    """A connection that says how durable its transactions are."""

    _durable: bool | None = None

    def begin_write(self, *, durable: bool, busy_seconds: float) -> None:
        """Begin a transaction that holds the write lock from its first moment.

        SQLite must not wait by itself (`busy_timeout = 0`).

        Raises:
            sqlite3.OperationalError: SQLITE_BUSY, the lock is not free in time.
        """
        if durable is not self._durable:
            # WAL without FULL loses commits in a power cut (sqlite.org/wal.html).
            self.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        try:
            self.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if not code_of(error).startswith("SQLITE_BUSY"):
                raise
            self._begin_later(time.monotonic() + deadline.remaining(busy_seconds))

    def _begin_later(self, until: float) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while True:
            time.sleep(pause)
            pause = min(pause * 1.25, _LONGEST_PAUSE_SECONDS)
            try:
                self.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                late = time.monotonic() >= until
                if late or not code_of(error).startswith("SQLITE_BUSY"):
                    raise
            else:
                return


def connect(
    path: Path, *, busy_seconds: float, create: bool = False, foreign_keys: bool = True
) -> SQLiteConnection:
    """Open the file in WAL mode; the caller begins and ends transactions.

    Args:
        create: make the file if there is none.
    """
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={'rwc' if create else 'rw'}",
        uri=True,
        timeout=deadline.remaining(busy_seconds),
        isolation_level=None,  # the driver begins nothing by itself
        check_same_thread=False,  # one thread at a time has it
        factory=SQLiteConnection,
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        connection.execute("PRAGMA busy_timeout = 0")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def make_engine(
    open_connection: Callable[[], SQLiteConnection], *, busy_seconds: float
) -> Engine:
    """Make the engine of a file; `dicom_node_write` begins with the write lock."""
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=open_connection,
        poolclass=QueuePool,
        pool_timeout=busy_seconds,
        hide_parameters=True,
        json_serializer=to_json,
    )
    event.listen(engine, "begin", partial(_begin, busy_seconds=busy_seconds))
    return engine


def _begin(connection: Connection, *, busy_seconds: float) -> None:
    # A deferred transaction that turns to writing fails with BUSY at once when
    # another has written meanwhile; an IMMEDIATE one waits its turn instead.
    options = connection.get_execution_options()
    raw = cast("SQLiteConnection", connection.connection.driver_connection)
    if options.get("dicom_node_write", False):
        raw.execute("PRAGMA busy_timeout = 0")
        raw.begin_write(
            durable=options.get("dicom_node_durable", True), busy_seconds=busy_seconds
        )
    else:
        wait_ms = round(deadline.remaining(busy_seconds) * 1000)
        raw.execute(f"PRAGMA busy_timeout = {wait_ms}")
        raw.execute("BEGIN")
