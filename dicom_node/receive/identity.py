"""User identity negotiation: username and passcode, over TLS only.

Nothing of an identity is logged or recorded.

Source: PS3.7 D.3.3.7.
"""

import hmac
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pynetdicom.pdu_primitives import UserIdentityNegotiation

from dicom_node.core.errors import ConfigError
from dicom_node.core.tls import check_private

log = logging.getLogger("dicom_node.receive")

_USERNAME: Final = 1
_USERNAME_AND_PASSCODE: Final = 2
_MAX_PASSCODE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who somebody claims to be.

    Args:
        kind: User-Identity-Type, 1 to 5; this node checks 2.
        response_requested: whether the requestor wants to hear that it is accepted.
    """

    kind: int
    username: bytes = field(repr=False)
    passcode: bytes = field(repr=False)
    response_requested: bool = False


def identity_of(user_information: Iterable[object]) -> Identity | None:
    """Return the identity in the user information of an A-ASSOCIATE-RQ, if any."""
    for item in user_information:
        if isinstance(item, UserIdentityNegotiation):
            return Identity(
                kind=int(item.user_identity_type or 0),
                username=bytes(item.primary_field or b""),
                passcode=bytes(item.secondary_field or b""),
                response_requested=bool(item.positive_response_requested),
            )
    return None


def response_items(
    identity: Identity | None, *, verified: bool
) -> tuple[UserIdentityNegotiation, ...]:
    """Return the User Identity item of the A-ASSOCIATE-AC, if one has to be there.

    An identity that nobody checked gets no positive response: the association is
    accepted without one, as by an acceptor that does not know user identities.
    """
    if identity is None or not identity.response_requested or not verified:
        return ()
    item = UserIdentityNegotiation()
    item.server_response = b""  # of types 1 and 2 it has no content
    return (item,)


class Passcode:
    """A username and the file of its passcode, which is read again when it changes."""

    def __init__(self, username: str, path: Path) -> None:
        self._username = username.encode()
        self._path = path
        self._signature: tuple[int, int, int, int] | None = None
        self._passcode = b""

    def accepts(self, identity: Identity | None) -> bool:
        """Tell whether this is the identity, in a time that does not depend on it."""
        self._refresh()
        if identity is None or identity.kind != _USERNAME_AND_PASSCODE:
            return False
        names = hmac.compare_digest(identity.username, self._username)
        codes = hmac.compare_digest(identity.passcode, self._passcode)
        return names and codes and bool(self._passcode)

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
            signature = (
                found.st_mtime_ns,
                found.st_size,
                found.st_ino,
                found.st_mode,
            )
        except OSError:
            signature = (0, 0, 0, 0)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self._passcode = read_passcode(self._path, "peers: passcode_file")
        except ConfigError:  # its text has a path
            self._passcode = b""
            log.error("a passcode file cannot be used, its peer is refused")


def read_passcode(path: Path, setting: str) -> bytes:
    """Return the first line of a file that this user alone may read.

    Raises:
        ConfigError: it is not there, empty, too long, or readable by others.
    """
    check_private(path, setting)
    with path.open("rb") as file:
        content = file.read(_MAX_PASSCODE_BYTES + 1)
    passcode = content.split(b"\n", 1)[0].removesuffix(b"\r")
    if not passcode or len(content) > _MAX_PASSCODE_BYTES:
        raise ConfigError(
            f"{setting}: {path} has to hold a passcode of 1 to "
            f"{_MAX_PASSCODE_BYTES} bytes in its first line"
        )
    return passcode
