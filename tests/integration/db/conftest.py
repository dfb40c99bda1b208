"""Every test in this folder runs on SQLite and on PostgreSQL."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from db import schema
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


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return where databases with a schema are kept, to be copied."""
    folder = tmp_path_factory.mktemp("migrated")
    schema.create_if_new(f"sqlite:///{folder / 'node.db'}")
    templates = {"sqlite": str(folder / "node.db")}
    if isinstance(postgres.server(), Path):
        url = postgres.new_database()
        schema.create_if_new(url)
        templates["postgresql"] = postgres.name_of(url)
    return templates


@pytest.fixture
def url(engine: str, migrated: dict[str, str], tmp_path: Path) -> str:
    """Return the URL of a database with the node's schema."""
    if engine == "sqlite":
        shutil.copy(migrated["sqlite"], tmp_path / "node.db")
        return f"sqlite:///{tmp_path / 'node.db'}"
    postgres.require()
    return postgres.new_database(migrated["postgresql"])


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """Return an open database."""
    opened = Database(url, busy_seconds=20)
    yield opened
    opened.close()
