"""Transactions: durable, exclusive where they write, silent about values."""

import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text

from db.engine import Database
from db.errors import Collision
from db.tables import studies
from dicom_node.core.errors import DatabaseError
from tests import postgres
from tests.integration.db import samples

A_UID = "1.2.840.99999.777"


def _study_row(uid: str = A_UID, at: datetime = samples.T0) -> dict[str, object]:
    return {
        "study_instance_uid": uid,
        "accession_number": "",
        "state": "RECEIVING",
        "revision": 1,
        "revision_started_at": at,
        "first_instance_at": at,
        "last_instance_at": at,
    }


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    path = tmp_path / "own.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{path}", busy_seconds=0.2)
    yield database
    database.close()


def test_sqlite_keeps_what_it_committed_through_a_power_cut(
    sqlite_database: Database,
) -> None:
    """WAL with FULL (2) syncs the log at every commit; foreign keys are enforced."""
    with sqlite_database.write() as connection:
        pragmas = [
            connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]


def test_a_writer_takes_the_lock_at_its_first_moment(
    sqlite_database: Database, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "own.db", timeout=0, isolation_level=None)
    with (
        sqlite_database.write(),
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.execute("ROLLBACK")
    other.close()


def test_a_database_locked_by_another_process_is_an_error_with_its_cause(
    sqlite_database: Database, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "own.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with (
        pytest.raises(DatabaseError, match="another process holds it for too long"),
        sqlite_database.write(),
    ):
        pass
    other.execute("ROLLBACK")
    other.close()
    with sqlite_database.write() as connection:
        connection.execute(insert(studies), _study_row())


def test_a_full_disk_is_an_error_and_reception_goes_on_when_there_is_space(
    sqlite_database: Database,
) -> None:
    """F03 of the fault plan; SQLite's page limit stands in for the disk's."""

    def allow(pages: int) -> None:
        with sqlite_database.write() as connection:
            connection.execute(text(f"PRAGMA max_page_count = {pages}"))

    def fill() -> None:
        for number in range(1000):
            with sqlite_database.write() as connection:
                connection.execute(insert(studies), _study_row(f"1.8.{number}"))

    allow(1)  # SQLite takes the present size instead
    with pytest.raises(DatabaseError, match="the disk is full"):
        fill()
    allow(10**6)
    assert samples.enter(sqlite_database, samples.received("1.9")).revision


def test_a_thread_waits_no_longer_than_the_limit_for_another(
    sqlite_database: Database,
) -> None:
    errors: list[DatabaseError] = []

    def write() -> None:
        try:
            with sqlite_database.write():
                pass
        except DatabaseError as error:
            errors.append(error)

    with sqlite_database.write():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join(timeout=10)
    assert len(errors) == 1


def test_a_block_that_raises_writes_nothing(database: Database) -> None:
    def write_and_fail() -> None:
        with database.write() as connection:
            connection.execute(insert(studies), _study_row())
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    with database.read() as connection:
        assert connection.execute(select(studies)).all() == []


def test_a_reader_sees_one_moment_and_holds_no_writer_up(database: Database) -> None:
    with database.read() as reader:
        assert reader.execute(select(studies)).all() == []
        with database.write() as writer:
            writer.execute(insert(studies), _study_row())
        assert reader.execute(select(studies)).all() == []
    with database.read() as reader:
        assert len(reader.execute(select(studies)).all()) == 1


def test_a_key_that_is_taken_is_a_collision_without_the_key(
    database: Database,
) -> None:
    with database.write() as connection:
        connection.execute(insert(studies), _study_row())
    with pytest.raises(Collision) as caught, database.write() as connection:
        connection.execute(insert(studies), _study_row())
    assert A_UID not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_statement_that_fails_is_an_error_without_its_values(
    database: Database,
) -> None:
    with pytest.raises(DatabaseError) as caught, database.write() as connection:
        connection.execute(text("INSERT INTO nowhere VALUES (:uid)"), {"uid": A_UID})
    assert A_UID not in str(caught.value)


def test_a_time_without_zone_is_refused(database: Database) -> None:
    with pytest.raises(DatabaseError), database.write() as connection:
        connection.execute(insert(studies), _study_row(at=datetime(2026, 1, 1)))


def test_times_come_back_aware_and_in_utc(database: Database) -> None:
    seoul = timezone(timedelta(hours=9))
    at = datetime(2026, 3, 1, 21, 0, 0, 123456, tzinfo=seoul)
    samples.enter(database, samples.received(at=at))
    with database.read() as connection:
        stored = connection.execute(select(studies.c.last_instance_at)).scalar_one()
    assert stored == at
    assert stored.utcoffset() == timedelta(0)
    assert stored.replace(tzinfo=UTC).hour == 12


def test_a_database_that_is_gone_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'none.db'}")
    with pytest.raises(DatabaseError, match="dicom-node migrate"), database.read():
        pass
    assert not (tmp_path / "none.db").exists()
    database.close()


def test_a_postgresql_that_does_not_answer_is_an_error(tmp_path: Path) -> None:
    database = Database(f"postgresql://u:{A_UID}@/name?host={tmp_path}", busy_seconds=2)
    with pytest.raises(DatabaseError) as caught, database.read():
        pass
    assert A_UID not in str(caught.value)
    database.close()


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_postgresql_set_to_lose_commits_is_overruled(fresh_url: str) -> None:
    name = postgres.name_of(fresh_url)
    first = Database(fresh_url)
    with first.write() as connection:
        connection.execute(
            text(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
        )
    first.close()
    second = Database(fresh_url)
    with second.write() as connection:
        shown = connection.execute(text("SHOW synchronous_commit")).scalar()
        limit = connection.execute(text("SHOW lock_timeout")).scalar()
    assert (shown, limit) == ("on", "30s")
    second.close()


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_user_who_may_not_use_the_tables_is_told_so(fresh_url: str) -> None:
    """And not that the tables do not fit, which has another remedy."""
    database = Database(fresh_url)

    def look() -> None:
        with database.write() as connection:
            connection.execute(text("SET LOCAL ROLE pg_monitor"))
            connection.execute(select(studies))

    with pytest.raises(DatabaseError, match=r"42501.*denies access"):
        look()
    database.close()


@pytest.mark.parametrize("engine", ["postgresql"], indirect=True)
def test_a_connection_that_postgresql_closed_is_replaced(
    database: Database, url: str
) -> None:
    """As after a restart of the server: the next transaction works."""
    with database.read() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar()
    other = Database(url)
    with other.write() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    other.close()
    with database.write() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar() != pid
