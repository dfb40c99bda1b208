"""How often somebody may try to log in: each failure makes the next wait longer."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

_KEYS_MAX: Final = 10_000
_FORGET_SECONDS: Final = 3600.0
_IPV6_PREFIX: Final = 64  # what one customer has


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """After `free` failures the wait is one second, and doubles up to the longest."""

    free: int
    longest_seconds: float

    def wait(self, failures: int) -> float:
        over = failures - self.free
        return (
            0.0 if over < 0 else float(min(2.0 ** min(over, 32), self.longest_seconds))
        )


# One account from everywhere is hardly slowed down: else whoever knows a name could
# keep its owner out.
_PAIR: Final = _Rule(free=5, longest_seconds=900.0)
_ADDRESS: Final = _Rule(free=20, longest_seconds=900.0)
_ACCOUNT: Final = _Rule(free=50, longest_seconds=30.0)


@dataclass(slots=True)
class _Count:
    failures: int
    at: float


class LoginLimits:
    """Counts failures by account, by address and by both, in this process.

    Args:
        monotonic: seconds that only grow.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._counts: OrderedDict[tuple[str, ...], _Count] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, account: str, address: str) -> float:
        """Return how many seconds to wait, 0 to try now.

        An attempt counts as failed from its beginning, so that many at once are not
        one; `succeeded` takes that back.
        """
        now = self._monotonic()
        with self._lock:
            wait = max(
                self._wait(key, rule, now) for key, rule in _keys(account, address)
            )
            if wait > 0:
                return wait
            for key, _ in _keys(account, address):
                count = self._counts.setdefault(key, _Count(0, now))
                count.failures, count.at = count.failures + 1, now
                self._counts.move_to_end(key)
            while len(self._counts) > _KEYS_MAX:
                self._counts.popitem(last=False)
        return 0.0

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of this account; the address loses this attempt only."""
        with self._lock:
            for key, rule in _keys(account, address):
                count = self._counts.get(key)
                if rule is _ADDRESS and count is not None and count.failures > 1:
                    count.failures -= 1
                else:
                    self._counts.pop(key, None)

    def _wait(self, key: tuple[str, ...], rule: _Rule, now: float) -> float:
        count = self._counts.get(key)
        if count is None:
            return 0.0
        if now - count.at > _FORGET_SECONDS:
            del self._counts[key]
            return 0.0
        return max(0.0, count.at + rule.wait(count.failures) - now)


def _keys(account: str, address: str) -> Iterator[tuple[tuple[str, ...], _Rule]]:
    place = _network(address)
    yield ("pair", account, place), _PAIR
    yield ("address", place), _ADDRESS
    yield ("account", account), _ACCOUNT


def _network(address: str) -> str:
    """Return an IPv6 address's network, whose owner has all of it."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ip_network((found, _IPV6_PREFIX), strict=False))
    return str(found)
