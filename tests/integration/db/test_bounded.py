"""No receiver waits for a database longer than `busy_seconds`, whatever befell it."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from db import associations, deadline, instances, schema, sqlite
from db.direct import arrival
from db.direct_sqlite import SQLiteDirect
from db.engine import Database
from dicom_node.core.errors import DatabaseError
from dicom_node.core.states import Receipt
from tests.faults.postgres_server import PostgresServer, running_postgres
from tests.integration.db import samples
from tests.integration.db.samples import enter, received

BUSY_SECONDS = 1.0
# A connection is given at least 2 s (libpq), a busy machine some more.
SLACK_SECONDS = 3.0


@contextmanager
def _fails_in_time(match: str = "the database") -> Iterator[None]:
    begun = time.monotonic()
    with pytest.raises(DatabaseError, match=match):
        yield
    assert time.monotonic() - begun < BUSY_SECONDS + SLACK_SECONDS


@pytest.fixture
def path(tmp_path: Path, sqlite_template: Path) -> Path:
    path = tmp_path / "node.db"
    path.write_bytes(sqlite_template.read_bytes())
    return path


@pytest.fixture
def on_sqlite(path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{path}", busy_seconds=BUSY_SECONDS)
    yield database
    database.close()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def test_many_threads_before_a_locked_file_wait_no_longer_than_one(
    on_sqlite: Database, path: Path
) -> None:
    enter(on_sqlite, received())

    def record(number: int) -> None:
        with _fails_in_time("busy|for too long"):
            enter(on_sqlite, received(number=number))
        with _fails_in_time("busy|for too long"):
            associations.record(on_sqlite, samples.association())

    with _locked(path), ThreadPoolExecutor(12) as pool:
        list(pool.map(record, range(12)))
    assert enter(on_sqlite, received(number=99)).receipt is Receipt.NEW


def test_a_lock_that_is_given_back_in_time_is_only_a_delay(
    on_sqlite: Database, path: Path
) -> None:
    enter(on_sqlite, received())
    entered: list[Receipt] = []

    def record() -> None:
        entered.append(enter(on_sqlite, received(number=2)).receipt)

    with _locked(path):
        thread = threading.Thread(target=record)
        thread.start()
        thread.join(timeout=BUSY_SECONDS / 4)
        assert not entered
    thread.join(timeout=10)
    assert entered == [Receipt.NEW]


def test_a_file_that_is_away_is_an_error_until_it_is_there(
    on_sqlite: Database, path: Path
) -> None:
    """As on a volume that is mounted late."""
    away = path.with_name("away.db")
    path.rename(away)
    for number in (2, 3):
        with _fails_in_time("there is none"):
            enter(on_sqlite, received(number=number))
    away.rename(path)
    assert enter(on_sqlite, received(number=4)).receipt is Receipt.NEW


def test_a_full_disk_refuses_until_there_is_space(path: Path) -> None:
    """SQLite's page limit of the first connection stands in for the disk's."""
    limits = iter([1])

    def connect() -> sqlite.SQLiteConnection:
        connection = sqlite.connect(path, busy_seconds=BUSY_SECONDS)
        for pages in limits:  # SQLite takes the present size instead
            connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    direct = SQLiteDirect(connect, sqlite.Turn(BUSY_SECONDS), busy_seconds=BUSY_SECONDS)
    arrivals = [one for n in range(200) if (one := arrival(received("1.8", n)))]
    with _fails_in_time("the disk is full"):
        direct.enter(arrivals, durable=True)
    entered = direct.enter(arrivals, durable=True)
    assert entered is not None
    assert len(entered) == len(arrivals) == 200
    direct.close()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def on_postgresql(server: PostgresServer) -> Iterator[Database]:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    schema.create_if_new(server.url)
    database = Database(server.url, busy_seconds=BUSY_SECONDS)
    yield database
    database.close()


def test_a_frozen_server_is_an_error_in_time_and_serves_again(
    on_postgresql: Database, server: PostgresServer
) -> None:
    enter(on_postgresql, received(number=1))
    associations.record(on_postgresql, samples.association())
    with server.frozen():
        for number in (2, 3):  # the second finds no connection left
            with _fails_in_time():
                enter(on_postgresql, received(number=number))
        with _fails_in_time():
            associations.record(on_postgresql, samples.association())
        with _fails_in_time():
            instances.recorded_keys(on_postgresql, ["key"])
    assert enter(on_postgresql, received(number=4)).receipt is Receipt.NEW
    associations.record(on_postgresql, samples.association())


def test_a_server_that_crashed_is_an_error_and_serves_again_at_once(
    on_postgresql: Database, server: PostgresServer
) -> None:
    enter(on_postgresql, received(number=1))
    server.stop_at_once()
    with _fails_in_time():
        enter(on_postgresql, received(number=2))
    server.start()
    assert enter(on_postgresql, received(number=3)).receipt is Receipt.NEW


def test_a_restart_between_two_instances_is_not_noticed(
    on_postgresql: Database, server: PostgresServer
) -> None:
    with ThreadPoolExecutor(3) as pool:  # several connections lie idle
        list(pool.map(lambda n: enter(on_postgresql, received(number=n)), range(9)))
    server.stop_at_once()
    server.start()
    group = [received(number=n) for n in range(20, 25)]
    assert enter(on_postgresql, received(number=10)).receipt is Receipt.NEW
    assert len(samples.enter_all(on_postgresql, *group)) == len(group)


def test_a_table_that_another_locked_is_an_error_in_time(
    on_postgresql: Database, server: PostgresServer
) -> None:
    enter(on_postgresql, received(number=1))
    with psycopg.connect(server.url) as other:
        other.execute("LOCK TABLE versions IN ACCESS EXCLUSIVE MODE")
        with _fails_in_time("holds a lock for too long|too slow"):
            enter(on_postgresql, received(number=2))
    assert enter(on_postgresql, received(number=3)).receipt is Receipt.NEW


def test_a_server_without_free_connections_is_an_error_in_time(
    on_postgresql: Database, server: PostgresServer
) -> None:
    taken = []
    try:
        with pytest.raises(psycopg.OperationalError):  # noqa: PT012 - whichever is too many
            while True:
                taken.append(psycopg.connect(server.url))
        with _fails_in_time():
            enter(on_postgresql, received(number=1))
    finally:
        for connection in taken:
            connection.close()
    assert enter(on_postgresql, received(number=2)).receipt is Receipt.NEW


def test_limits_within_limits_never_wait_longer() -> None:
    assert deadline.remaining(5) == 5
    with deadline.Within(2), deadline.Within(60):
        assert 0 < deadline.remaining(99) <= 2
        with deadline.Within(0):
            assert deadline.remaining(99) == 0
        assert deadline.remaining(99) > 1
    assert deadline.remaining(5) == 5
