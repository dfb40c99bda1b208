"""Every test in this folder runs on SQLite and on PostgreSQL."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from db import schema
from db.engine import Database, open_engine
from db.tables import metadata
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
def shared_postgresql() -> str:
    """Return a PostgreSQL database with the schema, to be emptied by each test."""
    url = postgres.new_database()
    schema.create_if_new(url)
    return url


@pytest.fixture
def url(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Return the URL of a database with the node's schema and no rows."""
    if engine == "sqlite":
        template: Path = request.getfixturevalue("sqlite_template")
        shutil.copy(template, tmp_path / "node.db")
        return f"sqlite:///{tmp_path / 'node.db'}"
    shared: str = request.getfixturevalue("shared_postgresql")
    _empty(shared)
    return shared


def _empty(url: str) -> None:
    """Delete every row; far quicker than a database for each test."""
    engine = open_engine(url)
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
    engine.dispose()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """Return an open database."""
    opened = Database(url, busy_seconds=20)
    yield opened
    opened.close()
