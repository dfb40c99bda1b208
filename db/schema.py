"""Bring a database's schema to what this version of the node needs.

Alembic is only imported to change a schema: every role looks at it when it starts, and
that should cost no more than a query.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from db.engine import Database, open_engine, parse_url
from db.errors import wrapped_errors
from dicom_node.core.errors import DatabaseError

MIGRATIONS: Final = Path(__file__).parent / "migrations"
# Any number that no other application on the server uses for the same purpose.
_ADVISORY_LOCK: Final = 0x6469636F


def create_if_new(url: str) -> bool:
    """Create the schema in an empty or missing database; say whether it did.

    Two processes may call this at once: one creates, the other finds it done.
    """
    with _alone(url, create=True) as connection:
        if inspect(connection).get_table_names():
            return False
        upgrade(connection)
        return True


def check(url: str) -> None:
    """Make sure that the schema is this version's.

    Raises:
        DatabaseError: too old, too new or none; the text names the remedy.
    """
    with _alone(url, create=False) as connection:
        current = _current(connection)
    _known(current)
    if current != head():
        raise DatabaseError("the database has an old schema: run `dicom-node migrate`")


def is_current(database: Database) -> bool:
    """Say whether the schema is this version's; `check` without its lock."""
    with database.read() as connection:
        return _current(connection) == head()


def open_checked(url: str, *, busy_seconds: float = 30.0) -> Database:
    """Open a database whose schema is this version's.

    Args:
        busy_seconds: how long to wait for one that is locked or does not answer.

    Raises:
        DatabaseError: too old, too new or none; the text names the remedy.
    """
    check(url)
    return Database(url, busy_seconds=busy_seconds)


def migrate(url: str) -> tuple[str, str]:
    """Upgrade the schema in one transaction; return the revisions from and to.

    An empty or missing database starts from "".

    Raises:
        DatabaseError: the schema is newer than this version of the node.
    """
    with _alone(url, create=True) as connection:
        before = _current(connection)
        _known(before)
        upgrade(connection)
        return before, _current(connection)


def _known(revision: str) -> None:
    if revision and revision not in revisions():
        raise DatabaseError(
            "the database has a newer schema than this version knows: "
            "upgrade dicom-node, then run `dicom-node migrate`"
        )


@contextmanager
def _alone(url: str, *, create: bool) -> Iterator[Connection]:
    """Open one transaction that excludes every other caller of this module."""
    parsed = parse_url(url)
    if create and parsed.get_backend_name() == "sqlite":
        folder = Path(str(parsed.database)).absolute().parent
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = open_engine(url, create=create, foreign_keys=False)
    try:
        with wrapped_errors(), engine.connect() as connection:
            connection.execution_options(dicom_node_write=True)
            with connection.begin():
                if engine.dialect.name == "postgresql":
                    connection.execute(
                        text("SELECT pg_advisory_xact_lock(:key)"),
                        {"key": _ADVISORY_LOCK},
                    )
                yield connection
    finally:
        engine.dispose()


@cache
def revisions() -> tuple[str, ...]:
    """Return the revisions that this version knows, the first one first."""
    files = (MIGRATIONS / "versions").glob("r[0-9][0-9][0-9][0-9]_*.py")
    return tuple(sorted(file.name[1:5] for file in files))


def head() -> str:
    """Return the revision this version of the node needs."""
    return revisions()[-1]


def _current(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(found or "")


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the schema to a revision, in the transaction that is open.

    Raises:
        DatabaseError: a row would lose its parent.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if broken is not None:
            raise DatabaseError("the migration left a row without its parent")
