"""TLS of an association that this node opens: bounded in time, and it says what failed.

pynetdicom swallows the error of a handshake, and bounds each of its reads alone.
"""

import contextlib
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Final

from dicom_node.core.tls import TLSFiles, outgoing_context

if TYPE_CHECKING:
    from typing_extensions import Buffer

_GRACE_SECONDS: Final = 2.0
_DEFAULT_SECONDS: Final = 60.0
_HOST_MISMATCH: Final = (62, 64)  # a name, an address
_CERTIFICATE_REASONS: Final = {
    9: "is not valid yet: check the clocks",
    10: "has expired: renew it there",
}
_REFUSED: Final = (
    "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "TLSV1_ALERT_UNKNOWN_CA",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "SSLV3_ALERT_HANDSHAKE_FAILURE",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "TLSV1_ALERT_ACCESS_DENIED",
    "TLSV1_ALERT_DECRYPT_ERROR",
)
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
_TOO_OLD: Final = (
    "UNSUPPORTED_PROTOCOL",
    "TLSV1_ALERT_PROTOCOL_VERSION",
    "NO_SHARED_CIPHER",
)


class NotingSocket(ssl.SSLSocket):
    """A TLS socket that keeps its first error and ends a handshake in time."""

    fault: OSError | None = None

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands within the socket's timeout, however slowly the bytes come."""
        limit = self.gettimeout() or _DEFAULT_SECONDS
        late = threading.Event()

        def cut() -> None:
            late.set()
            shut_down(self)

        timer = threading.Timer(limit + _GRACE_SECONDS, cut)
        timer.daemon = True
        timer.start()
        try:
            super().do_handshake(block)
        except OSError as error:
            self.fault = self.fault or (TimeoutError() if late.is_set() else error)
            raise
        finally:
            timer.cancel()

    def read(self, len: int = 1024, buffer: "Buffer | None" = None) -> bytes:
        """Read as usual; TLS 1.3 tells of a refused certificate no earlier."""
        try:
            return super().read(len, buffer)
        except ssl.SSLError as error:
            self.fault = self.fault or error
            raise


def secure(connection: socket.socket, files: TLSFiles, host: str) -> NotingSocket:
    """Make a socket that is not connected yet speak TLS with this host.

    Raises:
        ConfigError: a file cannot be used.
    """
    context = outgoing_context(files)
    context.sslsocket_class = NotingSocket
    secured = context.wrap_socket(connection, server_hostname=host)
    if not isinstance(secured, NotingSocket):  # sslsocket_class says so
        raise TypeError("the context made another socket")
    return secured


def shut_down(connection: socket.socket) -> None:
    """End every wait of other threads on this connection.

    `SSLSocket.shutdown` would take the encryption away under their hands.
    """
    with contextlib.suppress(OSError):  # closed in the meantime
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def explain_fault(fault: OSError) -> str:
    """Say why there is no TLS with a peer, with the fields that `refusal` fills in."""
    if isinstance(fault, TimeoutError):
        return (
            "did not finish the TLS handshake within {seconds} s: does {address} name "
            "a port with TLS?"
        )
    if isinstance(fault, ssl.SSLCertVerificationError):
        if fault.verify_code in _HOST_MISMATCH:
            return (
                "shows a TLS certificate that is not made for this host: check "
                "{address}, or have the name put into the certificate"
            )
        why = "is not signed by an authority this node trusts: check {ca}"
        return (
            "shows a TLS certificate that "
            f"{_CERTIFICATE_REASONS.get(fault.verify_code, why)}"
        )
    reason = fault.reason if isinstance(fault, ssl.SSLError) else ""
    if reason in _REFUSED:
        return (
            "does not accept this node's TLS certificate: give it one with "
            "{certificate} that it trusts, and check its end date"
        )
    if reason in _NO_TLS:
        return "does not speak TLS there: check {address}, or take {tls} away"
    if reason in _TOO_OLD:
        return "offers nothing of BCP 195 (TLS 1.2 or later, AEAD): update it"
    return "ended the TLS handshake: does {address} name a port with TLS?"
