"""Who may call: AE titles, addresses, and how many at once."""

import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

_RESOLVE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an association is rejected (PS3.8 9.3.4)."""

    result: int
    source: int
    diagnostic: int
    reason: str


CALLING_UNKNOWN: Final = Rejection(1, 1, 3, "calling AE title not recognized")
CALLED_UNKNOWN: Final = Rejection(1, 1, 7, "called AE title not recognized")
TOO_MANY: Final = Rejection(2, 3, 2, "local limit of associations reached")
DRAINING: Final = Rejection(2, 3, 1, "the node is shutting down")


@dataclass(frozen=True, slots=True)
class Peer:
    """Who may call; without a host from anywhere."""

    ae_title: str
    host: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and whom."""

    calling_ae_title: str
    called_ae_title: str
    address: str


class Admission:
    """Lets associations in and counts them; safe for threads.

    AE titles and addresses are routing, not authentication: anyone can claim them.

    Args:
        peers: if there are none, everybody may call.
        limits: (associations in all, associations per address).
    """

    def __init__(
        self, ae_title: str, peers: tuple[Peer, ...], *, limits: tuple[int, int]
    ) -> None:
        self._ae_title = ae_title.strip()
        self._peers = peers
        self._limit, self._limit_per_address = limits
        self._lock = threading.Lock()
        self._open: Counter[str] = Counter()
        self._resolved: dict[str, tuple[float, frozenset[str]]] = {}
        self._closed = False

    def enter(self, caller: Caller) -> Rejection | None:
        """Let the caller in, to be followed by `leave`, or say why not."""
        if self._closed:
            return DRAINING
        if caller.called_ae_title.strip() != self._ae_title:
            return CALLED_UNKNOWN
        if not self._known(caller):
            return CALLING_UNKNOWN
        address = normalise(caller.address)
        with self._lock:
            if (
                self._open.total() >= self._limit
                or self._open[address] >= self._limit_per_address
            ):
                return TOO_MANY
            self._open[address] += 1
        return None

    def leave(self, caller: Caller) -> None:
        """Give the place back."""
        address = normalise(caller.address)
        with self._lock:
            self._open[address] -= 1
            if self._open[address] <= 0:
                del self._open[address]

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True

    def _known(self, caller: Caller) -> bool:
        if not self._peers:
            return True
        title, address = caller.calling_ae_title.strip(), normalise(caller.address)
        return any(
            peer.ae_title.strip() == title
            and (not peer.host or address in self._addresses(peer.host))
            for peer in self._peers
        )

    def _addresses(self, host: str) -> frozenset[str]:
        """Return the addresses of a host, asked again after a minute."""
        try:
            return frozenset({normalise(str(ip_address(host)))})
        except ValueError:
            pass
        until, known = self._resolved.get(host, (0.0, frozenset()))
        if time.monotonic() < until:
            return known
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            known = frozenset(normalise(str(item[4][0])) for item in found)
        except OSError:
            pass  # the last answer stays good; without one nobody has this host
        self._resolved[host] = (time.monotonic() + _RESOLVE_SECONDS, known)
        return known


def normalise(address: str) -> str:
    """Return one spelling of an address; IPv4 mapped into IPv6 becomes IPv4."""
    try:
        parsed = ip_address(address.split("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return str(parsed)
