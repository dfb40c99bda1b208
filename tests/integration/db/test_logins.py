"""Who keeps guessing passwords waits as long after a restart of the page."""

from datetime import datetime, timedelta

from db.engine import Database
from db.logins import LoginFailures
from dicom_node.web.limits import LoginLimits
from tests.integration.db.samples import T0


class Clocks:
    """A clock and a stop watch that go together."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return T0 + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


def _limits(database: Database, clocks: Clocks) -> LoginLimits:
    return LoginLimits(clocks.monotonic, kept=LoginFailures(database, clocks))


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
