"""When a delivery is tried again."""

from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from config.settings import WorkTable
from dicom_node.deliver.retry import ExponentialBackoff

QUEUED = datetime(2026, 1, 1, tzinfo=UTC)


class NoJitter:
    def random(self) -> float:
        return 0.0


def _policy(random: object = None) -> ExponentialBackoff:
    return ExponentialBackoff(
        first=timedelta(seconds=5),
        longest=timedelta(seconds=900),
        give_up_after=timedelta(hours=72),
        random=NoJitter() if random is None else Random(7),
    )


def _delay(attempt: int, now: datetime = QUEUED) -> float:
    due = _policy().next_attempt(attempt=attempt, queued_at=QUEUED, now=now)
    assert due is not None
    return (due - now).total_seconds()


def test_the_delay_doubles_from_the_first_to_the_longest() -> None:
    delays = [_delay(attempt) for attempt in range(1, 11)]

    assert delays == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900]


def test_a_thousand_attempts_do_not_overflow() -> None:
    assert _delay(1000) == 900


def test_the_last_attempt_falls_on_the_end_of_the_bounded_time() -> None:
    now = QUEUED + timedelta(hours=72) - timedelta(seconds=3)

    due = _policy().next_attempt(attempt=400, queued_at=QUEUED, now=now)

    assert due == QUEUED + timedelta(hours=72)


def test_it_gives_up_when_the_bounded_time_is_over() -> None:
    now = QUEUED + timedelta(hours=72)

    assert _policy().next_attempt(attempt=2, queued_at=QUEUED, now=now) is None


def test_the_same_random_source_gives_the_same_times() -> None:
    first, second = (
        [
            policy.next_attempt(attempt=n, queued_at=QUEUED, now=QUEUED)
            for n in range(1, 9)
        ]
        for policy in (_policy("seeded"), _policy("seeded"))
    )

    assert first == second


@given(attempt=st.integers(1, 10_000), seed=st.integers(0, 1000))
def test_jitter_only_shortens_and_by_a_fifth_at_most(attempt: int, seed: int) -> None:
    policy = ExponentialBackoff(
        first=timedelta(seconds=5),
        longest=timedelta(seconds=900),
        give_up_after=timedelta(hours=72),
        random=Random(seed),
    )

    due = policy.next_attempt(attempt=attempt, queued_at=QUEUED, now=QUEUED)

    assert due is not None
    full = _delay(attempt)
    assert 0.8 * full <= (due - QUEUED).total_seconds() <= full


def test_the_work_table_names_the_limits() -> None:
    work = WorkTable(
        retry_first_seconds=1, retry_longest_seconds=2, give_up_after_hours=1
    )
    policy = ExponentialBackoff.from_settings(work, NoJitter())

    due = [
        policy.next_attempt(attempt=n, queued_at=QUEUED, now=QUEUED) for n in (1, 2, 3)
    ]

    assert due == [QUEUED + timedelta(seconds=s) for s in (1, 2, 2)]
