"""Commands that look into the database leave no connection to it behind."""

import gc
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

import db.schema
from dicom_node.cli import main
from tests import postgres
from tests.peers import wait_until


@pytest.fixture
def url() -> str:
    """Return the URL of a database with the node's schema and no rows."""
    url = postgres.new_database()
    db.schema.create_if_new(url)
    return url


@pytest.fixture
def config(tmp_path: Path, url: str) -> Path:
    """Return the configuration of a node that has received nothing."""
    file = tmp_path / "node.toml"
    file.write_text(f'[node]\ndata_dir = "data"\n[database]\nurl = "{url}"\n')
    return file


@pytest.fixture
def _keep_garbage() -> Iterator[None]:
    """Let no garbage collection close what a command forgot."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _connections(server: psycopg.Connection[tuple[int]], url: str) -> int:
    row = server.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s",
        [postgres.name_of(url)],
    ).fetchone()
    return row[0] if row else 0


@pytest.mark.usefixtures("_keep_garbage")
@pytest.mark.parametrize(
    "command",
    [
        ["studies"],
        ["studies", "--json"],
        ["show", "--associations"],
        ["show", "1.2.3"],
        ["retry"],
        ["retry", "1.2.3"],
        ["replay", "1.2.3"],
        ["replay", "1.2.3", "--verify"],
        ["check"],
    ],
    ids=" ".join,
)
def test_a_command_closes_its_connections(
    config: Path, url: str, command: list[str]
) -> None:
    main([*command, "--config", str(config)])
    with psycopg.connect(
        f"host={postgres.require()} user=postgres dbname=postgres", autocommit=True
    ) as server:
        # The server notices the end of a connection a moment later.
        wait_until(
            lambda: _connections(server, url) == 0,
            what="no connection is left open",
            seconds=3,
        )
