"""Every test in this folder that takes a database runs on SQLite and PostgreSQL."""

import tempfile
from pathlib import Path

import pytest

from tests.integration.db.conftest import (
    database,
    engine,
    shared,
    sqlite_template,
    url,
)

__all__ = ["database", "engine", "shared", "sqlite_template", "url"]


@pytest.fixture(autouse=True)
def _temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the reports of each desk where pytest clears up."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
