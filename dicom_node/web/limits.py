"""How often somebody may try to log in: each failure makes the next wait longer."""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Protocol

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


# By key: how many failures, and the seconds since the last one.
Counts = Mapping[str, tuple[int, float]]


class Kept(Protocol):
    """Where the counts are."""

    def change(self, keys: Collection[str], decide: Callable[[Counts], Counts]) -> None:
        """Let `decide` say what becomes of these counts; nobody comes in between.

        Raises:
            DatabaseError: nothing was changed.
        """


class InMemory:
    """Counts of one process, which a restart forgets."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin with none.

        Args:
            monotonic: seconds that only grow.
        """
        self._monotonic = monotonic
        self._counts: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    def change(self, keys: Collection[str], decide: Callable[[Counts], Counts]) -> None:
        """Let `decide` say what becomes of these counts."""
        with self._lock:
            now = self._monotonic()
            known = {
                key: (failures, now - at)
                for key, (failures, at) in self._counts.items()
                if key in keys and now - at <= _FORGET_SECONDS
            }
            for key, (failures, age) in decide(known).items():
                self._counts[key] = failures, now - age
                self._counts.move_to_end(key)
            while len(self._counts) > _KEYS_MAX:
                self._counts.popitem(last=False)


class LoginLimits:
    """Counts failures by account, by address and by both.

    Args:
        kept: what all processes of the page share.
    """

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def begin(self, account: str, address: str) -> float:
        """Return how many seconds to wait, 0 to try now.

        An attempt counts as failed from its beginning, so that many at once, of
        whatever process, are not one; `succeeded` takes that back.

        Raises:
            DatabaseError: nobody can count, so nobody may try.
        """
        rules = dict(_keys(account, address))
        waits = [0.0]

        def decide(known: Counts) -> Counts:
            waits.extend(
                rule.wait(known[key][0]) - known[key][1]
                for key, rule in rules.items()
                if key in known
            )
            if max(waits) > 0:
                return {}
            return {key: (known.get(key, (0, 0.0))[0] + 1, 0.0) for key in rules}

        self._kept.change(rules, decide)
        return max(waits)

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures of this account; the address loses this attempt only."""
        rules = dict(_keys(account, address))

        def decide(known: Counts) -> Counts:
            return {
                key: (failures - 1 if rules[key] is _ADDRESS else 0, age)
                for key, (failures, age) in known.items()
            }

        self._kept.change(rules, decide)


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
