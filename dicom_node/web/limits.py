"""How often somebody may try to log in: each failure makes the next wait longer."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Protocol

from dicom_node.core.errors import DatabaseError

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


class Kept(Protocol):
    """Where the counts outlive this process.

    Each is a number of failures and the seconds since the last one.
    """

    def load(self) -> Mapping[str, tuple[int, float]]:
        """Return the counts, those of the oldest failures first."""

    def save(self, counts: Mapping[str, tuple[int, float]]) -> None:
        """Keep counts; one of 0 failures is forgotten."""


class LoginLimits:
    """Counts failures by account, by address and by both.

    Args:
        monotonic: seconds that only grow.
        kept: what a restart does not forget; while it does not answer, this process
            alone counts.
    """

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        kept: Kept | None = None,
    ) -> None:
        self._monotonic = monotonic
        self._kept = kept
        self._loaded = kept is None
        self._counts: OrderedDict[str, _Count] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, account: str, address: str) -> float:
        """Return how many seconds to wait, 0 to try now.

        An attempt counts as failed from its beginning, so that many at once are not
        one; `succeeded` takes that back.
        """
        keys = list(_keys(account, address))
        with self._lock:
            self._load()
            now = self._monotonic()
            wait = max(self._wait(key, rule, now) for key, rule in keys)
            if wait > 0:
                return wait
            for key, _ in keys:
                count = self._counts.setdefault(key, _Count(0, now))
                count.failures, count.at = count.failures + 1, now
                self._counts.move_to_end(key)
            while len(self._counts) > _KEYS_MAX:
                self._counts.popitem(last=False)
            self._save(keys, now)
        return 0.0

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of this account; the address loses this attempt only."""
        keys = list(_keys(account, address))
        with self._lock:
            for key, rule in keys:
                count = self._counts.get(key)
                if rule is _ADDRESS and count is not None and count.failures > 1:
                    count.failures -= 1
                else:
                    self._counts.pop(key, None)
            self._save(keys, self._monotonic())

    def _load(self) -> None:
        if self._loaded or self._kept is None:
            return
        with suppress(DatabaseError):
            now = self._monotonic()
            for key, (failures, age) in self._kept.load().items():
                self._counts.setdefault(key, _Count(failures, now - age))
            self._loaded = True

    def _save(self, keys: "list[tuple[str, _Rule]]", now: float) -> None:
        if self._kept is None:
            return
        counts = {}
        for key, _ in keys:
            found = self._counts.get(key)
            counts[key] = (found.failures, now - found.at) if found else (0, 0.0)
        with suppress(DatabaseError):  # who logs in is told so right after
            self._kept.save(counts)

    def _wait(self, key: str, rule: _Rule, now: float) -> float:
        count = self._counts.get(key)
        if count is None:
            return 0.0
        if now - count.at > _FORGET_SECONDS:
            del self._counts[key]
            return 0.0
        return max(0.0, count.at + rule.wait(count.failures) - now)


def _keys(account: str, address: str) -> Iterator[tuple[str, _Rule]]:
    """Yield a digest for each rule: what is kept says neither name nor address."""
    place = _network(address)
    yield _digest("pair", account, place), _PAIR
    yield _digest("address", place), _ADDRESS
    yield _digest("account", account), _ACCOUNT


def _digest(*parts: str) -> str:
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()


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
