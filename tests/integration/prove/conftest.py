"""Every test in this folder that takes a database runs on SQLite and PostgreSQL."""

from tests.integration.db.conftest import (
    database,
    engine,
    shared,
    sqlite_template,
    url,
)

__all__ = ["database", "engine", "shared", "sqlite_template", "url"]
