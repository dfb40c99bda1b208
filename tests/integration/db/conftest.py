"""Every test in this folder runs on SQLite and on PostgreSQL."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from db import schema
from db.desk_tables import metadata
from db.engine import Database
from tests import postgres

ENGINES = ("sqlite", "postgresql")


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Return the name of the engine this run of the test is on."""
    return str(request.param)


@pytest.fixture
def empty_url(engine: str, tmp_path: Path) -> str:
    """Return the URL of a database that holds nothing yet."""
    if engine == "sqlite":
        return f"sqlite:///{tmp_path / 'node.db'}"
    return postgres.new_database()


@pytest.fixture
def fresh_url(empty_url: str) -> str:
    """Return the URL of a database of its own, with the node's schema."""
    schema.create_if_new(empty_url)
    return empty_url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a SQLite file with the schema, to be copied."""
    path = tmp_path_factory.mktemp("template") / "node.db"
    schema.create_if_new(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def shared(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], tuple[str, Database]]]:
    """Open one database per engine for the session; each test empties it.

    Statements compile once per engine: a database per test takes three times as
    long.
    """
    opened: dict[str, tuple[str, Database]] = {}

    def share(engine: str) -> tuple[str, Database]:
        if engine not in opened:
            folder = tmp_path_factory.mktemp("shared")
            url = f"sqlite:///{folder / 'node.db'}"
            if engine == "postgresql":
                url = postgres.new_database()
            schema.create_if_new(url)
            opened[engine] = (url, Database(url, busy_seconds=20))
        return opened[engine]

    yield share
    for _, database in opened.values():
        database.close()


@pytest.fixture
def url(engine: str, shared: Callable[[str], tuple[str, Database]]) -> str:
    """Return the URL of a database with the node's schema and no rows."""
    url, database = shared(engine)
    with database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
    return url


@pytest.fixture
def database(
    url: str, engine: str, shared: Callable[[str], tuple[str, Database]]
) -> Database:
    """Return an open database without rows."""
    return shared(engine)[1]
