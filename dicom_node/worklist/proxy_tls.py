"""TLS of the proxy: on its own port, and with the hospital's worklist.

Source: PS3.15 B.12.
"""

import select
import socket
import ssl
import time
from typing import Final, Protocol

from dicom_node.core.errors import ConfigError
from dicom_node.core.tls import TLSFiles, outgoing_context

_WRONG_HOST: Final = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, ..._IP_ADDRESS_MISMATCH
_OVER: Final = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID, ..._HAS_EXPIRED
_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")


class PortTLS(Protocol):
    """The TLS of a listening port; its files are read again when they change."""

    def wrap(self, connection: socket.socket) -> ssl.SSLSocket:
        """Begin TLS on an accepted connection, without the handshake."""

    def look(self) -> None:
        """Read the files again if they changed."""


def shake_hands(connection: ssl.SSLSocket, until: float) -> None:
    """Shake hands, however slowly the other side does it.

    Args:
        until: on the monotonic clock.

    Raises:
        OSError: there is no agreement, or none in time.
    """
    connection.settimeout(0)
    while True:
        try:
            connection.do_handshake()
            return
        except ssl.SSLWantReadError:
            reads, writes = [connection], []
        except ssl.SSLWantWriteError:
            reads, writes = [], [connection]
        left = until - time.monotonic()
        if left <= 0 or not any(select.select(reads, writes, [], left)):
            raise TimeoutError("the TLS handshake takes too long")


def secure(
    connection: socket.socket, files: TLSFiles, *, host: str, until: float
) -> ssl.SSLSocket:
    """Speak TLS on a connection that this node has opened.

    Raises:
        OSError: there is no agreement, or none in time; see `explain`.
        ConfigError: a file cannot be used.
    """
    secured = outgoing_context(files).wrap_socket(
        connection, server_hostname=host, do_handshake_on_connect=False
    )
    try:
        shake_hands(secured, until)
    except OSError:
        secured.close()
        raise
    return secured


def explain(error: Exception) -> str:
    """Say why there is no TLS with the hospital's worklist, and what to change."""
    if isinstance(error, ConfigError):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _WRONG_HOST:
            return (
                "its TLS certificate is not made for upstream_host: have the name put "
                "into the certificate"
            )
        if error.verify_code in _OVER:
            return "its TLS certificate is not valid now: renew it there"
        return "its TLS certificate is not signed by upstream_ca: name who signs it"
    if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
        return "it does not speak TLS there: check upstream_port and upstream_tls"
    if isinstance(error, ssl.SSLError):
        return (
            "it refused the TLS handshake: give it a certificate that it trusts with "
            "upstream_certificate"
        )
    return "it ended the TLS handshake, or took too long: check upstream_port"
