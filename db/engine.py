"""One database per process: transactions that are durable when they return."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    SQLAlchemyError,
)

from dicom_node.core.errors import ConfigError, DatabaseError

_POSTGRESQL_DRIVERS: Final = ("postgresql", "postgres", "postgresql+psycopg")
_SQLITE_DRIVERS: Final = ("sqlite", "sqlite+pysqlite")
# PostgreSQL Appendix A: serialization_failure, deadlock_detected.
_COLLISIONS: Final = ("40001", "40P01")
_REMEDIES: Final = {
    "SQLITE_BUSY": "another process holds it for too long",
    "SQLITE_CANTOPEN": "there is none: run `dicom-node serve` or `dicom-node migrate`",
    "SQLITE_CORRUPT": "the file is damaged: restore it from a backup",
    "SQLITE_FULL": "the disk is full: free some space",
    "SQLITE_IOERR": "the disk reports an error",
    "SQLITE_NOTADB": "the file is not a SQLite database: correct database.url",
    "SQLITE_PERM": "access is denied: correct the file's owner",
    "SQLITE_READONLY": "the file or its folder is read-only",
    "28": "PostgreSQL refuses the login: correct database.url",
    "3D": "PostgreSQL has no such database: create it or correct database.url",
    "42": "the tables do not fit: run `dicom-node migrate`",
    "53": "PostgreSQL is out of resources: connections, disk or memory",
    "55": "another transaction holds a lock for too long",
    "57": "PostgreSQL is shutting down or starting up",
}


class Collision(DatabaseError):
    """Another transaction came first; the same call may work now."""


class Database:
    """A process's way to the database; threads share it, a fork must not.

    A `with database.write()` block is one transaction: committed, on stable
    storage, when the block ends, rolled back when it raises.

    Args:
        busy_seconds: how long to wait for a lock before DatabaseError.
    """

    def __init__(self, url: str, *, busy_seconds: float = 30.0) -> None:
        self._engine = open_engine(url, busy_seconds=busy_seconds)
        self._busy_seconds = busy_seconds
        # SQLite has one writer, and its own waiting is unfair: queue up here.
        self._writer = (
            threading.Lock() if self._engine.dialect.name == "sqlite" else None
        )

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._engine.dispose()

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """Open a transaction that may write; SQLite begins it IMMEDIATE.

        Args:
            durable: False leaves the moment of the sync to the operating system: the
                commit survives the end of the process, not a power cut.
        """
        with self._turn(), wrapped_errors(), self._engine.connect() as connection:
            connection.execution_options(
                dicom_node_write=True, dicom_node_durable=durable
            )
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction whose statements all see the same moment."""
        with wrapped_errors(), self._engine.connect() as connection:
            if self._writer is None:
                connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            with connection.begin():
                yield connection

    def _turn(self) -> AbstractContextManager[object]:
        return nullcontext() if self._writer is None else self._locked(self._writer)

    @contextmanager
    def _locked(self, writer: threading.Lock) -> Iterator[None]:
        if not writer.acquire(timeout=self._busy_seconds):
            raise DatabaseError(f"the database is busy for {self._busy_seconds:g} s")
        try:
            yield
        finally:
            writer.release()


def open_engine(
    url: str,
    *,
    busy_seconds: float = 30.0,
    create: bool = False,
    foreign_keys: bool = True,
) -> Engine:
    """Make an engine for a SQLite or PostgreSQL URL.

    Args:
        create: make the SQLite file if there is none.
        foreign_keys: False only for a migration, which may rebuild tables.

    Raises:
        ConfigError: another URL, or the driver is not installed.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        connect = partial(
            _connect_sqlite,
            Path(str(parsed.database)).absolute(),
            busy_seconds=busy_seconds,
            create=create,
            foreign_keys=foreign_keys,
        )
        return _sqlite_engine(connect, busy_seconds)
    return _postgresql_engine(parsed, busy_seconds)


def parse_url(url: str) -> URL:
    """Return the URL with the driver this node uses.

    Raises:
        ConfigError: not a URL for SQLite in a file or for PostgreSQL.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigError(
            "database.url is not a database URL: write sqlite:///path/node.db or "
            "postgresql://user:password@host/name"
        ) from None
    if parsed.drivername in _SQLITE_DRIVERS:
        if not parsed.database or parsed.database == ":memory:":
            raise ConfigError(
                "database.url names no file: write sqlite:///path/node.db"
            )
        return parsed.set(drivername="sqlite+pysqlite")
    if parsed.drivername in _POSTGRESQL_DRIVERS:
        return parsed.set(drivername="postgresql+psycopg")
    raise ConfigError(
        f"database.url begins with '{parsed.drivername}': "
        "this node takes sqlite:// and postgresql://"
    )


def _sqlite_engine(connect: Callable[[], Any], busy_seconds: float) -> Engine:
    engine = create_engine(
        "sqlite+pysqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_timeout=busy_seconds,
        hide_parameters=True,
        json_serializer=_to_json,
    )
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _connect_sqlite(
    path: Path, *, busy_seconds: float, create: bool, foreign_keys: bool
) -> sqlite3.Connection:
    mode = "rwc" if create else "rw"
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        timeout=busy_seconds,
        isolation_level=None,  # the driver begins nothing: `_begin_sqlite` does
        check_same_thread=False,  # the pool hands a connection to one thread a time
    )
    try:
        # WAL without FULL loses committed rows in a power cut (sqlite.org/wal.html).
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that turns to writing fails with BUSY at once when
    # another has written meanwhile; an IMMEDIATE one waits its turn instead.
    options = connection.get_execution_options()
    if options.get("dicom_node_write", False):
        level = "FULL" if options.get("dicom_node_durable", True) else "NORMAL"
        connection.exec_driver_sql(f"PRAGMA synchronous = {level}")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("BEGIN")


def _postgresql_engine(url: URL, busy_seconds: float) -> Engine:
    try:
        engine = create_engine(
            url,
            pool_pre_ping=True,
            pool_timeout=busy_seconds,
            hide_parameters=True,
            json_serializer=_to_json,
            connect_args={"connect_timeout": max(2, round(busy_seconds))},
        )
    except (ImportError, NoSuchModuleError):
        raise ConfigError(
            "database.url is PostgreSQL, whose driver is not installed: "
            "pip install 'dicom-node[postgresql]'"
        ) from None
    lock_timeout = f"{round(busy_seconds * 1000)}ms"

    def prepare(connection: Any, _record: object) -> None:
        connection.execute(
            "SELECT set_config('lock_timeout', %s, false)", [lock_timeout]
        )
        # A server set to lose the last commits would break "stored means kept".
        connection.execute(
            "SELECT set_config('synchronous_commit', 'on', false) "
            "WHERE current_setting('synchronous_commit') = 'off'"
        )
        connection.commit()

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", _begin_postgresql)
    return engine


def _begin_postgresql(connection: Connection) -> None:
    if not connection.get_execution_options().get("dicom_node_durable", True):
        connection.exec_driver_sql("SET LOCAL synchronous_commit = off")


_to_json = partial(json.dumps, allow_nan=False, separators=(",", ":"))


@contextmanager
def wrapped_errors() -> Iterator[None]:
    """Turn what SQLAlchemy raises into DatabaseError, without any value.

    Raises:
        Collision: a unique key is taken, or PostgreSQL chose this one to give up.
        DatabaseError: everything else, with its remedy where there is one.
    """
    try:
        yield
    except IntegrityError:
        raise Collision("a row with this key exists, or its parent does not") from None
    except DBAPIError as error:
        code = _code(error.orig)
        if code in _COLLISIONS:
            raise Collision("two transactions waited for each other") from None
        remedy = next(
            (text for key, text in _REMEDIES.items() if code.startswith(key)),
            "it cannot be reached or refuses the statement",
        )
        raise DatabaseError(
            f"the database failed ({code or type(error).__name__}): {remedy}"
        ) from None
    except SQLAlchemyError as error:
        raise DatabaseError(f"the database failed: {type(error).__name__}") from None


def _code(error: BaseException | None) -> str:
    name = getattr(error, "sqlite_errorname", None) or getattr(error, "sqlstate", None)
    return name if isinstance(name, str) else ""
