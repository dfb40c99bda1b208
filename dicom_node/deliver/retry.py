"""When to try a delivery again, and when to give up."""

from datetime import datetime, timedelta
from random import Random
from typing import Protocol

from config.settings import WorkTable

_JITTER = 0.2  # share of a delay that is left to chance, so that nodes spread out
_MOST_DOUBLINGS = 62


class RandomSource(Protocol):
    """Where jitter comes from."""

    def random(self) -> float:
        """Return a number in [0, 1)."""


class ExponentialBackoff:
    """Doubles the delay up to a longest one, for a bounded time.

    A delay is shortened by up to a fifth. The last attempt falls on the end of the
    bounded time, so that all of it is used.

    Args:
        first: delay after the first attempt.
        longest: no delay is longer.
        give_up_after: counted from when the work was first queued.
        random: tests inject a seeded one.
    """

    def __init__(
        self,
        *,
        first: timedelta,
        longest: timedelta,
        give_up_after: timedelta,
        random: RandomSource | None = None,
    ) -> None:
        self._first = first
        self._longest = longest
        self._give_up_after = give_up_after
        self._random = random or Random()  # noqa: S311 - spreads load, keeps no secret

    @classmethod
    def from_settings(
        cls, work: WorkTable, random: RandomSource | None = None
    ) -> "ExponentialBackoff":
        """Make the policy that the [work] table asks for."""
        return cls(
            first=timedelta(seconds=work.retry_first_seconds),
            longest=timedelta(seconds=work.retry_longest_seconds),
            give_up_after=timedelta(hours=work.give_up_after_hours),
            random=random,
        )

    def next_attempt(
        self, *, attempt: int, queued_at: datetime, now: datetime
    ) -> datetime | None:
        """Return the earliest time of the next attempt, None to give up.

        Args:
            attempt: the one that has just failed, from 1.
        """
        last = queued_at + self._give_up_after
        if now >= last:
            return None
        doublings = min(max(attempt - 1, 0), _MOST_DOUBLINGS)
        seconds = min(
            self._first.total_seconds() * 2**doublings, self._longest.total_seconds()
        )
        seconds *= 1 - _JITTER * self._random.random()
        return min(now + timedelta(seconds=seconds), last)
