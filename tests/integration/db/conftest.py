"""Every test in this folder runs on SQLite and on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from db import schema
from db.engine import Database
from tests import postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database that holds nothing yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'node.db'}"
    return postgres.new_database()


@pytest.fixture
def url(empty_url: str) -> str:
    """Return the URL of a database with the node's schema."""
    schema.create_if_new(empty_url)
    return empty_url


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """Return an open database."""
    opened = Database(url, busy_seconds=20)
    yield opened
    opened.close()
