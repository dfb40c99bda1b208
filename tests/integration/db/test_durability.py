"""What a commit waits for: the disk, or only the operating system."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from db import associations, instances
from db.engine import Database
from dicom_node.core.types import Recorded
from tests.faults.tracing import require_ptrace
from tests.integration.db import samples
from tests.integration.db.committer import COMMITS
from tests.integration.db.samples import KeyCompare, received
from tests.peers import PROJECT, require_tool


def _trace(url: str, output: Path, *options: str) -> list[str]:
    """Return the system calls of a program that commits and says so each time."""
    require_ptrace()
    tracer = [str(require_tool("strace")), "-f", "-y", "-o", str(output)]
    tracer += ["-e", "trace=write,fsync,fdatasync,sync_file_range"]
    program = [sys.executable, "-m", "tests.integration.db.committer", url, *options]
    subprocess.run([*tracer, *program], check=True, cwd=PROJECT, timeout=120)
    return output.read_text(errors="replace").splitlines()


def _syncs_before_each_word(lines: list[str]) -> list[list[str]]:
    """Return what was synced between one "committed" and the next."""
    rounds: list[list[str]] = [[]]
    for line in lines:
        if synced := re.search(r"f(?:data)?sync\(\d+<([^>]*)>", line):
            rounds[-1].append(Path(synced[1]).name)
        elif "write(1<" in line and "committed" in line:
            rounds.append([])
    return rounds[1:-1]  # the first one opens the database


@pytest.mark.parametrize("way", ["short", "complete"])
def test_sqlite_syncs_its_log_before_a_durable_commit_returns(
    sqlite_url: str, tmp_path: Path, way: str
) -> None:
    lines = _trace(sqlite_url, tmp_path / "strace", way, "durable")
    rounds = _syncs_before_each_word(lines)
    assert len(rounds) == COMMITS
    assert all("node.db-wal" in synced for synced in rounds)


@pytest.mark.parametrize("way", ["short", "complete"])
def test_sqlite_syncs_nothing_before_another_commit_returns(
    sqlite_url: str, tmp_path: Path, way: str
) -> None:
    lines = _trace(sqlite_url, tmp_path / "strace", way)
    assert _syncs_before_each_word(lines) == [[]] * COMMITS


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    path = tmp_path / "node.db"
    path.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def witness(fresh_url: str) -> Iterator[Database]:
    """A PostgreSQL database that notes at what level each version is committed."""
    with psycopg.connect(fresh_url) as connection:
        connection.execute("CREATE TABLE seen (level text)")
        connection.execute(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "INSERT INTO seen VALUES (current_setting('synchronous_commit')); "
            "RETURN NULL; END $$"
        )
        for table in ("versions", "associations"):
            connection.execute(
                f"CREATE TRIGGER note AFTER INSERT ON {table} "
                "FOR EACH STATEMENT EXECUTE FUNCTION note()"
            )
    database = Database(fresh_url)
    yield database
    database.close()


def _levels(database: Database) -> set[str]:
    with database.write() as connection:
        found = connection.execute(text("DELETE FROM seen RETURNING level"))
        return set(found.scalars())


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_postgresql_waits_for_its_disk_only_where_it_should(witness: Database) -> None:
    for number, durable in enumerate([True, False, True, False, False, True]):
        level = {"on" if durable else "off"}
        one, group = (
            [received(f"1.{number}")],
            [received(f"1.{number}", n) for n in range(2, 5)],
        )
        mixed = [received(f"1.{number}", n) for n in (4, 5)]
        for items in (one, group, mixed):
            outcomes = instances.record_all(
                witness, items, compare=KeyCompare(), durable=durable
            )
            assert all(isinstance(item, Recorded) for item in outcomes)
            assert _levels(witness) == level
        associations.record(witness, samples.association(), durable=durable)
        assert _levels(witness) == level
