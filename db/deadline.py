"""How long the calling thread may still wait for the database."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class _Limit(threading.local):
    until: float | None = None


_limit = _Limit()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Bound all waiting of this block together; an outer, shorter limit stays."""
    before = _limit.until
    until = time.monotonic() + seconds
    _limit.until = until if before is None else min(before, until)
    try:
        yield
    finally:
        _limit.until = before


def remaining(default: float) -> float:
    """Return the seconds left of the limit, at least 0; `default` without one."""
    if _limit.until is None:
        return default
    return max(0.0, _limit.until - time.monotonic())
