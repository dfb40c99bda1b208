"""Who may call: AE titles, addresses, certificates, identities, and how many at once.

AE titles and addresses are routing, not authentication: anyone can claim them. Only a
certificate subject or a user identity, both over TLS, tells who somebody is.
"""

import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Final

from config.settings import PeerTable
from dicom_node.receive.identity import Identity, Passcode
from dicom_node.receive.slots import Slots

_RESOLVE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why an association is rejected (PS3.8 9.3.4)."""

    result: int
    source: int
    diagnostic: int
    reason: str


CALLED_UNKNOWN: Final = Rejection(1, 1, 7, "called AE title not recognized")
CALLING_UNKNOWN: Final = Rejection(1, 1, 3, "calling AE title not recognized")
# The sender hears no more than that its title is not recognized; the record says why.
WRONG_ADDRESS: Final = Rejection(
    1, 1, 3, "calling AE title not recognized: not from this address"
)
WRONG_CERTIFICATE: Final = Rejection(
    1, 1, 3, "calling AE title not recognized: not with this TLS certificate"
)
NEEDS_TLS: Final = Rejection(
    1, 1, 3, "calling AE title not recognized: not without TLS"
)
# PS3.7 D.3.3.7 leaves the codes open. These are those of pynetdicom (acse.py,
# _negotiate_as_acceptor): rejected-transient, ACSE related, no-reason-given.
IDENTITY_REFUSED: Final = Rejection(2, 2, 1, "user identity not accepted")
TOO_MANY: Final = Rejection(2, 3, 2, "local limit of associations reached")
DRAINING: Final = Rejection(2, 3, 1, "the node is shutting down")
_CONGESTED: Final = (2, 3, 1)


class _Match(IntEnum):
    """How far a caller gets with a peer's entry."""

    TITLE = 1
    ADDRESS = 2
    TLS = 3
    CERTIFICATE = 4
    ALL = 5


_REFUSALS: Final = {
    _Match.TITLE: WRONG_ADDRESS,
    _Match.ADDRESS: NEEDS_TLS,
    _Match.TLS: WRONG_CERTIFICATE,
    _Match.CERTIFICATE: IDENTITY_REFUSED,
}


@dataclass(frozen=True, slots=True)
class Peer:
    """Who may call.

    Args:
        host: a name, an address or a range (10.1.0.0/16); "" is anywhere.
        certificate_subject: glob over the subject, see `tls.write_subject`; it may be
            in the order of the certificate or, as RFC 4514 has it, from its end. "" is
            any, also none.
        username: of the user identity to present over TLS, "" is none.
        passcode_file: of the user identity.
    """

    ae_title: str
    host: str = ""
    certificate_subject: str = ""
    username: str = ""
    passcode_file: Path | None = None

    @classmethod
    def from_table(cls, table: PeerTable) -> "Peer":
        """Read a table of [[peers]]."""
        return cls(
            table.ae_title,
            table.host,
            table.certificate_subject,
            table.username,
            table.passcode_file,
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and whom.

    Args:
        tls_version: "" without TLS.
        certificate_subject: of a verified certificate, "" without one.
    """

    calling_ae_title: str
    called_ae_title: str
    address: str
    tls_version: str = ""
    certificate_subject: str = ""
    identity: Identity | None = None


def _not_congested() -> str:
    return ""


class Admission:
    """Lets associations in and counts them; safe for threads and over processes.

    Args:
        called: the AE titles of this node.
        peers: if there are none, everybody may call.
        slots: counts the associations of all receiver processes.
        congested: why nobody can be let in for now; "" when all is well.
    """

    def __init__(
        self,
        called: Iterable[str],
        peers: Iterable[Peer],
        *,
        slots: Slots,
        congested: Callable[[], str] = _not_congested,
    ) -> None:
        self._called = frozenset(title.strip(" ") for title in called)
        self._entries = tuple(_Entry(peer) for peer in peers)
        self._slots = slots
        self._congested = congested
        self._closed = False

    def enter(self, caller: Caller) -> Rejection | None:
        """Let the caller in, to be followed by `leave`, or say why not.

        It may wait for the name service when a peer's host is a name.
        """
        if self._closed:
            return DRAINING
        if caller.called_ae_title.strip(" ") not in self._called:
            return CALLED_UNKNOWN
        if (stranger := self._recognise(caller)) is not None:
            return stranger
        if reason := self._congested():
            return Rejection(*_CONGESTED, reason)
        if not self._slots.take(normalise(caller.address)):
            return TOO_MANY
        return None

    def leave(self, caller: Caller) -> None:
        """Give the place back."""
        self._slots.give_back(normalise(caller.address))

    def identified(self, caller: Caller) -> bool:
        """Tell whether the caller's user identity was asked for, and is right."""
        return any(
            entry.peer.username and entry.match(caller) is _Match.ALL
            for entry in self._entries_of(caller)
        )

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True

    def _recognise(self, caller: Caller) -> Rejection | None:
        """Return None for a caller that an entry knows, else the nearest miss."""
        if not self._entries:
            return None
        matches = [entry.match(caller) for entry in self._entries_of(caller)]
        if not matches:
            return CALLING_UNKNOWN
        return _REFUSALS.get(max(matches))

    def _entries_of(self, caller: Caller) -> list["_Entry"]:
        title = caller.calling_ae_title.strip(" ")
        return [entry for entry in self._entries if entry.title == title]


class _Entry:
    """A peer, with what its host and its passcode file say now."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.title = peer.ae_title.strip(" ")
        self._network = _network(peer.host)
        self._until = 0.0
        self._resolved: frozenset[str] = frozenset()
        self._passcode = (
            Passcode(peer.username, peer.passcode_file)
            if peer.username and peer.passcode_file
            else None
        )

    def match(self, caller: Caller) -> _Match:
        """Tell how far a caller with this AE title gets."""
        peer = self.peer
        if not self._is_at(normalise(caller.address)):
            return _Match.TITLE
        if (peer.certificate_subject or peer.username) and not caller.tls_version:
            return _Match.ADDRESS
        if peer.certificate_subject and not _subject_matches(
            peer.certificate_subject, caller.certificate_subject
        ):
            return _Match.TLS
        if peer.username and not (
            self._passcode and self._passcode.accepts(caller.identity)
        ):
            return _Match.CERTIFICATE
        return _Match.ALL

    def _is_at(self, address: str) -> bool:
        if not self.peer.host:
            return True
        if self._network is None:
            return address in self._addresses()
        try:
            return ip_address(address) in self._network
        except ValueError:
            return False

    def _addresses(self) -> frozenset[str]:
        """Return the addresses of the host's name, asked again after a minute."""
        if time.monotonic() < self._until:
            return self._resolved
        try:
            found = socket.getaddrinfo(self.peer.host, None, type=socket.SOCK_STREAM)
            self._resolved = frozenset(normalise(str(item[4][0])) for item in found)
        except (OSError, UnicodeError):
            pass  # the last answer stays good; without one nobody has this host
        self._until = time.monotonic() + _RESOLVE_SECONDS
        return self._resolved


def normalise(address: str) -> str:
    """Return one spelling of an address; IPv4 mapped into IPv6 becomes IPv4."""
    try:
        parsed = ip_address(address.split("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return str(parsed)


def _network(host: str) -> IPv4Network | IPv6Network | None:
    """Return the range that a host's text is, None when it is a name."""
    try:
        network = ip_network(host.split("%")[0], strict=False)
    except ValueError:
        return None
    first = network.network_address
    if isinstance(first, IPv6Address) and first.ipv4_mapped and network.prefixlen >= 96:
        return IPv4Network((first.ipv4_mapped, network.prefixlen - 96))
    return network


def _subject_matches(pattern: str, subject: str) -> bool:
    """Compare with regard to case, in the certificate's order or from its end."""
    if not subject:
        return False
    backwards = ",".join(reversed(_split(subject)))
    return fnmatchcase(subject, pattern) or fnmatchcase(backwards, pattern)


def _split(subject: str) -> list[str]:
    """Split a subject at the commas that are not escaped."""
    parts, current, escaped = [], "", False
    for character in subject:
        if character == "," and not escaped:
            parts.append(current)
            current = ""
        else:
            current += character
        escaped = character == "\\" and not escaped
    return [*parts, current]
