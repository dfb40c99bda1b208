"""One connection in the lobby: from the first byte to a whole A-ASSOCIATE-RQ."""

import contextlib
import socket
import ssl
from enum import Enum
from typing import Final

from dicom_node.receive.tls import ServerTLS, subject_of

_ASSOCIATE_RQ: Final = 0x01
_TLS_HANDSHAKE: Final = 0x16  # content type of RFC 8446 5.1
_HEADER_BYTES: Final = 6
# 128 presentation contexts with 30 transfer syntaxes each take about 150 KiB.
_MAX_REQUEST_BYTES: Final = 256 * 1024
_DRAIN_BYTES: Final = 65536

NOT_A_REQUEST: Final = "the first bytes are no association request"
PLAIN_ON_TLS: Final = "DICOM without TLS on the TLS port"
TLS_ON_PLAIN: Final = "TLS on the port without TLS"
TOO_LONG: Final = "the association request is longer than the limit"
SILENT: Final = "nothing was sent in time"
NOT_WHOLE: Final = "the association request was not whole in time"
SLOW_HANDSHAKE: Final = "the TLS handshake was not finished in time"
HANDSHAKE_FAILED: Final = "the TLS handshake failed"

_NOT_SIGNED: Final = "the caller's TLS certificate is not signed by tls.ca"
_TOO_WEAK: Final = "the caller's TLS certificate has a key that is too weak"
# The codes of OpenSSL's x509_vfy.h.
_CERTIFICATE_REASONS: Final = {
    9: "the caller's TLS certificate is not valid yet",
    10: "the caller's TLS certificate has expired",
    26: "the caller's TLS certificate is not meant for clients",
    **dict.fromkeys((2, 18, 19, 20, 21), _NOT_SIGNED),
    **dict.fromkeys((66, 67, 68), _TOO_WEAK),
}
_NODE_NOT_TRUSTED: Final = "the caller does not accept the node's TLS certificate"
_TLS_REASONS: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the caller sent no TLS certificate",
    "UNSUPPORTED_PROTOCOL": "the caller's TLS is older than 1.2",
    "VERSION_TOO_LOW": "the caller's TLS is older than 1.2",
    "WRONG_VERSION_NUMBER": "the caller's TLS is older than 1.2",
    "NO_SHARED_CIPHER": "the caller offers no cipher suite of BCP 195",
    "NO_SHARED_GROUP": "the caller offers no key exchange group of BCP 195",
    "TLSV1_ALERT_UNKNOWN_CA": _NODE_NOT_TRUSTED,
    "SSLV3_ALERT_BAD_CERTIFICATE": _NODE_NOT_TRUSTED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _NODE_NOT_TRUSTED,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _NODE_NOT_TRUSTED,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _NODE_NOT_TRUSTED,
}


class Need(Enum):
    """What has to happen before a visitor gets further."""

    READ = "bytes have to come"
    WRITE = "bytes have to leave"
    NOTHING = "the request is whole"
    GOODBYE = "the visitor is turned away"
    CLOSE = "the peer is gone"


class Visitor:
    """A connection that has not asked for an association yet.

    Args:
        connection: non-blocking.
        deadline: when its time is over, on the monotonic clock.
    """

    def __init__(
        self,
        connection: socket.socket,
        address: str,
        *,
        deadline: float,
        tls: ServerTLS | None,
    ) -> None:
        self.connection = connection
        self.descriptor = connection.fileno()
        self.address = address
        self.deadline = deadline
        self.reason = ""  # why it is turned away
        self.leaving = False
        self._tls = tls
        self._shaking = tls is not None
        self._received = bytearray()
        self._drained = 0

    @property
    def request(self) -> bytes:
        """The A-ASSOCIATE-RQ as far as it is there."""
        return bytes(self._received)

    @property
    def held_bytes(self) -> int:
        """How much of the request is kept in memory."""
        return len(self._received)

    @property
    def tls_version(self) -> str:
        """The protocol that was negotiated, as TLSv1.3; "" without TLS."""
        if isinstance(self.connection, ssl.SSLSocket):
            return self.connection.version() or ""
        return ""

    @property
    def certificate_subject(self) -> str:
        """The subject of a verified client certificate, "" without one."""
        if isinstance(self.connection, ssl.SSLSocket):
            return subject_of(self.connection)
        return ""

    def advance(self) -> Need:
        """Go as far as the bytes that are there allow, and not one byte further."""
        try:
            if self.leaving:
                return self._drain()
            if self._shaking and (need := self._shake_hands()) is not None:
                return need
            return self._read()
        except (BlockingIOError, ssl.SSLWantReadError):
            return Need.READ
        except ssl.SSLWantWriteError:
            return Need.WRITE
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError, ConnectionError):
            return Need.CLOSE
        except ssl.SSLError as error:
            return self._turn_away(explain(error))
        except (OSError, ValueError):
            return Need.CLOSE

    def run_out_of_time(self) -> None:
        """Note what was missing when the deadline came."""
        if self._shaking:
            begun = isinstance(self.connection, ssl.SSLSocket)
            self.reason = SLOW_HANDSHAKE if begun else SILENT
        else:
            self.reason = NOT_WHOLE if self._received else SILENT

    def say_goodbye(self) -> None:
        """Send the end, and leave what still comes to be read and thrown away.

        A connection closed with unread bytes is reset, and a reset takes the TLS alert
        that says why with it.
        """
        self.leaving = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):
            self.connection.close()

    def _turn_away(self, reason: str) -> Need:
        self.reason = reason
        return Need.GOODBYE

    def _drain(self) -> Need:
        block = self.connection.recv(_DRAIN_BYTES)
        self._drained += len(block)
        return Need.READ if block and self._drained < _MAX_REQUEST_BYTES else Need.CLOSE

    def _shake_hands(self) -> Need | None:
        """Take the handshake further; None when it is over."""
        if not isinstance(self.connection, ssl.SSLSocket):
            first = self.connection.recv(1, socket.MSG_PEEK)
            if not first:
                return Need.CLOSE
            if first[0] != _TLS_HANDSHAKE:
                plain = first[0] == _ASSOCIATE_RQ
                return self._turn_away(PLAIN_ON_TLS if plain else NOT_A_REQUEST)
            if self._tls is None:
                return Need.CLOSE
            try:
                self.connection = self._tls.wrap(self.connection)
            except (OSError, ValueError):
                return Need.CLOSE  # reset meanwhile: Python has closed the socket
        self.connection.do_handshake()
        self._shaking = False
        return None

    def _read(self) -> Need:
        """Read until the request is whole; TLS may hold bytes that no poll shows."""
        while wanted := self._wanted():
            block = self.connection.recv(wanted)
            if not block:
                return Need.CLOSE
            self._received += block
            if self._received[0] != _ASSOCIATE_RQ:
                tls = self._received[0] == _TLS_HANDSHAKE and self._tls is None
                return self._turn_away(TLS_ON_PLAIN if tls else NOT_A_REQUEST)
            if self._wanted() > _MAX_REQUEST_BYTES:
                return self._turn_away(TOO_LONG)
        return Need.NOTHING

    def _wanted(self) -> int:
        """Return how many bytes of the request are missing."""
        received = self._received
        if len(received) < _HEADER_BYTES:
            return _HEADER_BYTES - len(received)
        length = int.from_bytes(received[2:_HEADER_BYTES], "big")
        return _HEADER_BYTES + length - len(received)


def explain(error: ssl.SSLError) -> str:
    """Say in a fixed text why a handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CERTIFICATE_REASONS.get(
            error.verify_code, "the caller's TLS certificate is not accepted"
        )
    return _TLS_REASONS.get(error.reason or "", HANDSHAKE_FAILED)
