"""How long the calling thread may still wait for the database."""

import threading
import time
from types import TracebackType


class _Limit(threading.local):
    until: float | None = None


_limit = _Limit()


class Within:
    """Bound all waiting of a `with` block together; an outer, shorter limit stays."""

    __slots__ = ("_before", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._before: float | None = None

    def __enter__(self) -> None:
        before = self._before = _limit.until
        until = time.monotonic() + self._seconds
        _limit.until = until if before is None else min(before, until)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _limit.until = self._before


class Paused:
    """Let the time of a `with` block not count: it waits for something else."""

    __slots__ = ("_at",)

    def __enter__(self) -> None:
        self._at = time.monotonic()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if _limit.until is not None:
            _limit.until += time.monotonic() - self._at


def remaining(default: float) -> float:
    """Return the seconds left of the limit, at least 0; `default` without one."""
    if _limit.until is None:
        return default
    return max(0.0, _limit.until - time.monotonic())
