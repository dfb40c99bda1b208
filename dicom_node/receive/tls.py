"""TLS for those who call: mutual, renewed without a restart.

Source: PS3.15 B.12.
"""

import logging
import socket
import ssl
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from config.settings import TLSTable
from dicom_node.core.errors import ConfigError
from dicom_node.core.tls import (
    EXPIRY_WARNING_DAYS,
    TLSFiles,
    apply_profile,
    expiries,
    load_files,
    reason_of,
)

log = logging.getLogger("dicom_node.receive")

_REMIND_SECONDS: Final = 86400.0
_MAX_SUBJECT: Final = 1024
# RFC 4514 section 3; what is not there keeps the name that OpenSSL has for it.
_SHORT_NAMES: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}

_Signature = tuple[tuple[int, int, int], ...]


class ServerTLS:
    """The TLS of a listening port; its files are read again when they change.

    A new context serves new connections, those in progress keep theirs. Files that
    cannot be used leave the last good context in place.

    Args:
        client_required: whether callers need a certificate. One that they show has to
            be signed by `files.ca` in any case.
        look_seconds: how often `look` really looks.

    Raises:
        ConfigError: the files cannot be used, or one that is needed is not named.
    """

    def __init__(
        self,
        files: TLSFiles,
        *,
        client_required: bool = True,
        look_seconds: float = 1.0,
    ) -> None:
        self._files = files
        self._look_seconds = look_seconds
        self._client_required = client_required
        self._asked = False
        self._next_look = 0.0
        self._next_reminder = 0.0
        self._signature = self._sign()
        self._context = self._load()
        self._expires = self._read_expiry()

    @classmethod
    def from_table(cls, table: TLSTable) -> "ServerTLS":
        """Read the table [tls].

        Raises:
            ConfigError: the files cannot be used, or one that is needed is not named.
        """
        files = TLSFiles(
            ca=table.ca, certificate=table.certificate, private_key=table.private_key
        )
        return cls(files, client_required=table.client_certificate == "required")

    @property
    def expires(self) -> datetime:
        """When the certificate in use, or the first of its chain, expires."""
        return self._expires

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        """Begin TLS on an accepted connection, without the handshake.

        Raises:
            OSError: the connection is gone.
        """
        return self._context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )

    def reload(self) -> None:
        """Have the files read again at the next look; safe in a signal handler."""
        self._asked = True

    def look(self) -> None:
        """Read the files again if they changed, or if somebody asked for it."""
        now = time.monotonic()
        if now < self._next_look and not self._asked:
            return
        self._next_look = now + self._look_seconds
        signature = self._sign()
        if signature != self._signature or self._asked:
            self._asked, self._signature = False, signature
            self._renew()
        if now >= self._next_reminder:
            self._next_reminder = now + _REMIND_SECONDS
            self._remind()

    def _renew(self) -> None:
        try:
            context = self._load()
            self._expires = self._read_expiry()
        except ConfigError as error:
            log.error(
                "TLS files cannot be used, the last good ones stay",
                extra={"reason": reason_of(error)},
            )
            return
        self._context = context
        self._next_reminder = 0.0
        log.info("TLS files read again")

    def _remind(self) -> None:
        left = self._expires - datetime.now(UTC)
        if left < timedelta(0):
            log.error("TLS certificate has expired")
        elif left < timedelta(days=EXPIRY_WARNING_DAYS):
            seconds = int(left.total_seconds())
            log.warning("TLS certificate expires soon", extra={"seconds": seconds})

    def _load(self) -> ssl.SSLContext:
        where = self._files.where
        if self._files.certificate is None:
            raise ConfigError(f"{where}: certificate and private_key have to be named")
        if self._client_required and self._files.ca is None:
            raise ConfigError(
                f"{where}: ca has to be named, who signs the callers' certificates; or "
                'set client_certificate = "none"'
            )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        apply_profile(context)
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        # No resumption in TLS 1.3: every association shows its certificate again.
        context.num_tickets = 0
        if self._client_required:
            context.verify_mode = ssl.CERT_REQUIRED
        elif self._files.ca is not None:
            context.verify_mode = ssl.CERT_OPTIONAL
        load_files(context, self._files)
        return context

    def _read_expiry(self) -> datetime:
        where = self._files.where
        if self._files.certificate is None:
            raise ConfigError(f"{where}: certificate and private_key have to be named")
        return min(expiries(self._files.certificate, f"{where}: certificate"))

    def _sign(self) -> _Signature:
        """Return what tells a file from its successor; zeros for one that is gone."""
        signature = []
        for path in self._files.paths:
            try:
                found = path.stat()
                signature.append((found.st_mtime_ns, found.st_size, found.st_ino))
            except OSError:
                signature.append((0, 0, 0))
        return tuple(signature)


def subject_of(connection: ssl.SSLSocket) -> str:
    """Return the subject of the verified certificate of a caller, "" without one."""
    certificate = connection.getpeercert() or {}
    subject: object = certificate.get("subject", ())
    return write_subject(subject) if isinstance(subject, tuple) else ""


def write_subject(subject: Iterable[Iterable[tuple[str, str]]]) -> str:
    """Write a subject as RFC 4514 does, but in the order of the certificate.

    Args:
        subject: as `SSLSocket.getpeercert` has it: RDNs of (name, value).

    Returns:
        for example CN=ct1,OU=Radiology,O=Hospital; "" when it is too long to be one.
    """
    text = ",".join(
        "+".join(
            f"{_SHORT_NAMES.get(name, name)}={_escape(value)}" for name, value in rdn
        )
        for rdn in subject
    )
    return text if len(text) <= _MAX_SUBJECT else ""


def _escape(value: str) -> str:
    """Escape a value so that it cannot look like the next attribute (RFC 4514 2.4)."""
    escaped = "".join(
        f"\\{c}"
        if c in '"+,;<>\\'
        else c
        if c.isprintable()
        else "".join(f"\\{byte:02x}" for byte in c.encode())
        for c in value
    )
    if escaped.startswith(("#", " ")):
        escaped = f"\\{escaped}"
    if escaped.endswith(" ") and not escaped.endswith("\\ "):
        escaped = f"{escaped[:-1]}\\ "
    return escaped
