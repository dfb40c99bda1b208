"""A destination that does not answer is left alone, and tried by one at a time."""

from datetime import timedelta

from db import breaker, sending, work
from db.breaker import Breaker, BreakerPolicy, Failure
from db.engine import Database
from dicom_node.core.types import Setback
from tests.integration.db.samples import (
    CHEST,
    SENT,
    after,
    claim,
    claim_delivery,
    queue_job,
    settlement,
)

POLICY = BreakerPolicy(
    failures=3, first=timedelta(seconds=10), longest=timedelta(seconds=60)
)


def _queue(database: Database, study: str, *destinations: str) -> None:
    queue_job(database, study, route=CHEST)
    settled = settlement(destinations=destinations or ("pacs",))
    work.settle_job(database, claim(database), settled, now=after(3))


def _fail(database: Database, *, at: float, begun: float | None = None) -> None:
    failure = Failure(
        destination="pacs",
        reason="nothing listens there",
        begun=after(at - 1 if begun is None else begun),
        at=after(at),
    )
    breaker.failed(database, failure, POLICY, chance=0.0)


def _state(database: Database, *, at: float) -> breaker.DestinationState:
    (state,) = breaker.states(database, now=after(at))
    return state


def _claimed(database: Database, *, at: float) -> str | None:
    found = work.claim_delivery(database, owner="w", now=after(at), lease_seconds=20)
    return None if found is None else found.destination


def test_it_opens_after_failures_in_a_row_for_a_time_that_doubles() -> None:
    pauses = [POLICY.open_for(count, 0.0) for count in (2, 3, 4, 5, 6, 1000)]
    assert pauses == [None, *(timedelta(seconds=s) for s in (10, 20, 40, 60, 60))]


def test_chance_takes_off_up_to_a_fifth() -> None:
    assert POLICY.open_for(3, 1.0) == timedelta(seconds=8)


def test_an_open_breaker_holds_its_deliveries_and_no_others(
    database: Database,
) -> None:
    _queue(database, "1.2.3", "pacs", "archive")
    for second in (10, 11, 12):
        _fail(database, at=second)
    state = _state(database, at=21.9)
    assert (state.breaker, state.failures) == (Breaker.OPEN, 3)
    assert state.open_until == after(22)
    assert _claimed(database, at=15) == "archive"
    assert _claimed(database, at=15) is None


def test_no_attempt_is_counted_while_it_is_open(database: Database) -> None:
    _queue(database, "1.2.3")
    for second in (10, 11, 12):
        _fail(database, at=second)
    for moment in (13, 14, 21.9):
        assert _claimed(database, at=moment) is None
    assert claim_delivery(database, at=22).attempt == 1


def test_a_half_open_one_lets_one_delivery_through_and_a_success_closes_it(
    database: Database,
) -> None:
    for study in ("1.1", "1.2", "1.3"):
        _queue(database, study)
    for second in (10, 11, 12):
        _fail(database, at=second)
    assert _state(database, at=22).breaker is Breaker.HALF_OPEN
    trying = claim_delivery(database, at=22)
    assert _claimed(database, at=22) is None
    assert _claimed(database, at=50) is None  # its lease is of a minute
    sending.settle_delivery(database, trying, SENT, now=after(51))
    state = _state(database, at=51)
    assert (state.breaker, state.failures) == (Breaker.CLOSED, 0)
    assert (state.succeeded_at, state.reason) == (after(51), None)
    assert [_claimed(database, at=51) for _ in range(3)] == ["pacs", "pacs", None]


def test_what_failed_while_it_was_open_goes_out_soon_after_it_closed(
    database: Database,
) -> None:
    _queue(database, "1.1")
    _queue(database, "1.2")
    _queue(database, "1.3", "elsewhere")
    for number in range(2):
        found = claim_delivery(database, at=10)
        setback, later = Setback(reason="x"), after(900 + number)
        work.requeue(database, found, setback, not_before=later, now=after(10))
    for second in (10, 11, 12):
        _fail(database, at=second)
    _queue(database, "1.4")
    elsewhere = claim_delivery(database, at=20)
    assert elsewhere.destination == "elsewhere"
    work.requeue(
        database, elsewhere, Setback(reason="x"), not_before=after(900), now=after(20)
    )
    sending.settle_delivery(
        database, claim_delivery(database, at=22), SENT, now=after(23)
    )
    assert _claimed(database, at=27.9) is None
    assert [_claimed(database, at=28) for _ in range(3)] == ["pacs", "pacs", None]


def test_one_delivery_that_fails_waits_its_time_whatever_becomes_of_others(
    database: Database,
) -> None:
    _queue(database, "1.1")
    _queue(database, "1.2")
    found = claim_delivery(database, at=10)
    work.requeue(
        database, found, Setback(reason="x"), not_before=after(900), now=after(10)
    )
    _fail(database, at=10)
    sending.settle_delivery(
        database, claim_delivery(database, at=22), SENT, now=after(23)
    )
    assert _claimed(database, at=899) is None


def test_a_try_that_fails_opens_it_for_longer(database: Database) -> None:
    _queue(database, "1.2.3")
    for second in (10, 11, 12):
        _fail(database, at=second)
    trying = claim_delivery(database, at=22)
    work.requeue(
        database, trying, Setback(reason="x"), not_before=after(25), now=after(25)
    )
    _fail(database, at=25, begun=22)
    assert _state(database, at=25).open_until == after(45)


def test_who_dies_with_the_try_gives_it_to_the_next(database: Database) -> None:
    _queue(database, "1.1")
    _queue(database, "1.2")
    for second in (10, 11, 12):
        _fail(database, at=second)
    claim_delivery(database, at=22)
    assert _claimed(database, at=81) is None
    assert _claimed(database, at=82) == "pacs"


def test_attempts_that_fail_together_count_once_when_it_is_open(
    database: Database,
) -> None:
    for second in (10, 11, 12):
        _fail(database, at=second)
    for moment in (12.1, 12.2, 12.3):
        _fail(database, at=moment, begun=9)
    state = _state(database, at=13)
    assert (state.failures, state.open_until) == (3, after(22))


def test_people_can_close_it(database: Database) -> None:
    _queue(database, "1.2.3")
    for second in (10, 11, 12):
        _fail(database, at=second)
    with database.write() as connection:
        breaker.close(connection, ["elsewhere"])
    assert _claimed(database, at=13) is None
    with database.write() as connection:
        breaker.close(connection, ["pacs"])
    assert _claimed(database, at=13) == "pacs"


def test_a_try_that_tells_nothing_gives_its_turn_back(database: Database) -> None:
    _queue(database, "1.1")
    _queue(database, "1.2")
    for second in (10, 11, 12):
        _fail(database, at=second)
    trying = claim_delivery(database, at=22)
    breaker.let_next_try(database, trying, now=after(23))
    work.fail(database, trying, Setback(reason="quarantined"), now=after(23))
    assert _state(database, at=23).failures == 3
    assert _claimed(database, at=23) == "pacs"
