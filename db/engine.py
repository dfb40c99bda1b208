"""One database per process: transactions that are durable when they return."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from db import deadline, sqlite
from db.direct import Direct
from db.direct_sqlite import SQLiteDirect
from db.errors import wrapped_errors
from dicom_node.core.errors import ConfigError

_POSTGRESQL_DRIVERS: Final = ("postgresql", "postgres", "postgresql+psycopg")
_SQLITE_DRIVERS: Final = ("sqlite", "sqlite+pysqlite")


class Database:
    """A process's way to the database; threads share it, a fork must not.

    A `with database.write()` block is one transaction: committed, on stable
    storage, when the block ends, rolled back when it raises.

    Args:
        busy_seconds: how long a transaction may wait for locks, for a connection and
            for a server that does not answer, all together, before DatabaseError.
    """

    def __init__(self, url: str, *, busy_seconds: float = 30.0) -> None:
        parsed = parse_url(url)
        self.busy_seconds = busy_seconds
        self._turn: AbstractContextManager[None] = nullcontext()
        self._engine, self.direct = self._open(parsed)

    def close(self) -> None:
        """Close every connection that is not in use."""
        self.direct.close()
        self._engine.dispose()

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """Open a transaction that may write; SQLite begins it IMMEDIATE.

        Args:
            durable: False leaves the moment of the sync to the operating system: the
                commit survives the end of the process, not a power cut.
        """
        with (
            deadline.Within(self.busy_seconds),
            self._turn,
            wrapped_errors(),
            self._engine.connect() as connection,
        ):
            connection.execution_options(
                dicom_node_write=True, dicom_node_durable=durable
            )
            with connection.begin():
                yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Open a transaction whose statements all see the same moment."""
        with wrapped_errors(), self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            with connection.begin():
                yield connection

    def _open(self, url: URL) -> tuple[Engine, Direct]:
        busy_seconds = self.busy_seconds
        if _is_sqlite(url):
            open_file = partial(sqlite.connect, _path(url), busy_seconds=busy_seconds)
            # SQLite has one writer, and its own waiting is unfair: queue up here.
            self._turn = sqlite.Turn(busy_seconds)
            return (
                sqlite.make_engine(open_file, busy_seconds=busy_seconds),
                SQLiteDirect(open_file, self._turn, busy_seconds=busy_seconds),
            )
        _require_driver()
        from db import postgresql
        from db.direct_postgresql import PostgreSQLDirect

        return (
            postgresql.make_engine(url, busy_seconds=busy_seconds),
            PostgreSQLDirect(
                partial(postgresql.connect, url, busy_seconds=busy_seconds)
            ),
        )


def open_engine(
    url: str,
    *,
    busy_seconds: float = 30.0,
    create: bool = False,
    foreign_keys: bool = True,
) -> Engine:
    """Make an engine for a schema's changes, whose statements may take any time.

    Args:
        busy_seconds: how long to wait for a lock or a connection.
        create: make the SQLite file if there is none.
        foreign_keys: False only for a migration, which may rebuild tables.

    Raises:
        ConfigError: another URL, or the driver is not installed.
    """
    parsed = parse_url(url)
    if _is_sqlite(parsed):
        connect = partial(
            sqlite.connect,
            _path(parsed),
            busy_seconds=busy_seconds,
            create=create,
            foreign_keys=foreign_keys,
        )
        return sqlite.make_engine(connect, busy_seconds=busy_seconds)
    _require_driver()
    from db import postgresql

    return postgresql.make_engine(parsed, busy_seconds=busy_seconds, bounded=False)


def _require_driver() -> None:
    try:
        import psycopg  # noqa: F401 - optional: only a PostgreSQL URL needs it
    except ImportError:
        raise ConfigError(
            "database.url is PostgreSQL, whose driver is not installed: "
            "pip install 'dicom-node[postgresql]'"
        ) from None


def _is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def _path(url: URL) -> Path:
    return Path(str(url.database)).absolute()


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
