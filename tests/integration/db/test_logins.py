"""Who keeps guessing passwords waits as long after a restart of the page."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta

from db.engine import Database
from db.logins import LoginFailures
from dicom_node.web.limits import LoginLimits
from tests.integration.db.samples import T0


class Clocks:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return T0 + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        """Return the seconds that were set."""
        return self.seconds


def _limits(database: Database, clocks: Clocks) -> LoginLimits:
    return LoginLimits(LoginFailures(database, clocks))


def test_a_restart_does_not_let_anybody_guess_on(database: Database) -> None:
    clocks = Clocks()
    limits = _limits(database, clocks)
    while (wait := limits.begin("kim", "10.0.0.1")) < 4:
        clocks.seconds += wait
    again = _limits(database, clocks)
    assert again.begin("kim", "10.0.0.1") == wait
    clocks.seconds += wait / 2
    assert _limits(database, clocks).begin("kim", "10.0.0.1") == wait / 2
    assert _limits(database, clocks).begin("lee", "10.0.0.2") == 0.0


def test_a_login_is_forgotten_when_it_succeeds_and_after_an_hour(
    database: Database,
) -> None:
    clocks = Clocks()
    limits = _limits(database, clocks)
    for _ in range(5):
        assert limits.begin("kim", "10.0.0.1") == 0.0
    limits.succeeded("kim", "10.0.0.1")
    assert _limits(database, clocks).begin("kim", "10.0.0.1") == 0.0
    clocks.seconds += 3601
    assert LoginFailures(database, clocks).load() == {}


def test_what_is_kept_names_nobody(database: Database) -> None:
    clocks = Clocks()
    _limits(database, clocks).begin("kim", "10.0.0.1")
    for key in LoginFailures(database, clocks).load():
        assert len(key) == 64
        assert "kim" not in key


def test_attempts_of_several_processes_at_once_are_all_counted(
    database: Database, url: str
) -> None:
    clocks = Clocks()
    barrier = threading.Barrier(12)

    def attempt(number: int) -> float:
        # A database of its own, as each process has.
        with closing(Database(url)) as own:
            barrier.wait(20)
            return _limits(own, clocks).begin("kim", "10.0.0.1")

    with ThreadPoolExecutor(12) as pool:
        waits = list(pool.map(attempt, range(12)))
    assert sorted(waits) == [0.0] * 5 + [1.0] * 7  # five are free, whoever counts
    counted = LoginFailures(database, clocks).load().values()
    assert [failures for failures, _ in counted] == [5, 5, 5]


def test_successes_and_failures_of_several_processes_lose_no_count(
    database: Database, url: str
) -> None:
    clocks = Clocks()
    barrier = threading.Barrier(10)

    def log_in(number: int) -> None:
        with closing(Database(url)) as own:
            limits = _limits(own, clocks)
            barrier.wait(20)
            assert limits.begin(f"user{number}", "10.0.0.1") == 0.0
            if number % 2:
                limits.succeeded(f"user{number}", "10.0.0.1")

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(log_in, range(10)))
    # Of the address, of five accounts, and of both together.
    counted = LoginFailures(database, clocks).load().values()
    assert sorted(failures for failures, _ in counted) == [1] * 10 + [5]
