"""The connection of one HTTP request: bounded in time, and it says what failed."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from dicom_node.core.errors import ConfigError
from dicom_node.deliver.http_peer import HttpPeer
from dicom_node.deliver.tls import NotingSocket, explain_fault, secure, shut_down

_GRACE_SECONDS: Final = 2.0  # lets the socket's own timeout act before the watchdog
_SLOWEST_BYTES_PER_SECOND: Final = 1_000_000


class Call:
    """One connection, which a watchdog ends when it takes too long."""

    def __init__(self, peer: HttpPeer, *, size_bytes: int) -> None:
        self._peer = peer
        self._limit = peer.timeout_seconds + size_bytes / _SLOWEST_BYTES_PER_SECOND
        self._socket: socket.socket | None = None
        self._connected = False
        self._until = 0.0
        self.late = False

    @property
    def port(self) -> int:
        """The port to call."""
        return urlsplit(self._peer.url).port or (443 if self._peer.secure else 80)

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """End every wait of the block when its time is over."""
        self._until = time.monotonic() + self._limit
        timer = threading.Timer(self._limit + _GRACE_SECONDS, self._bite)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            if self._socket is not None:
                self._socket.close()

    def connect(self) -> socket.socket:
        """Connect to the first address that answers.

        Raises:
            OSError: none does.
            ConfigError: a file of TLS cannot be used.
        """
        host = urlsplit(self._peer.url).hostname or ""
        found = socket.getaddrinfo(host, self.port, type=socket.SOCK_STREAM)
        fault: OSError = OSError("no address")
        for family, kind, protocol, _, address in found:
            if time.monotonic() >= self._until:
                break
            connection = socket.socket(family, kind, protocol)
            self._socket = connection
            try:
                connection.settimeout(self._peer.timeout_seconds)
                if self._peer.secure:
                    connection = self._socket = secure(connection, self._peer.tls, host)
                connection.connect(address)
            except OSError as error:
                fault = error
                connection.close()
                if isinstance(connection, NotingSocket) and connection.fault:
                    break  # it answers, but not with TLS as it should be
                continue
            except ConfigError:
                connection.close()
                raise
            self._connected = True
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        raise fault

    def explain(self, error: Exception) -> str:
        """Say why there is no answer, as the end of a sentence."""
        peer, seconds = self._peer, f"{self._limit:.3g}"
        connection = self._socket
        fault = connection.fault if isinstance(connection, NotingSocket) else None
        if fault is not None:
            return explain_fault(fault).format(
                address=peer.setting("url"),
                ca=peer.setting("ca"),
                certificate=peer.setting("certificate"),
                tls=f"https in {peer.setting('url')}",
                seconds=seconds,
            )
        timed_out = self.late or isinstance(error, TimeoutError)
        if not self._connected and timed_out:
            return (
                f"cannot be reached within {seconds} s: check {peer.setting('url')}, "
                "the network and the firewall"
            )
        if not self._connected:
            return (
                "cannot be reached: nothing listens there; start it or check "
                f"{peer.setting('url')}"
            )
        if timed_out:
            return (
                f"gave no answer within {seconds} s: see its log, or raise "
                f"{peer.setting('timeout_seconds')}"
            )
        if isinstance(error, OSError):
            return "closed the connection before it answered: see its log"
        return f"does not speak HTTP there: check {peer.setting('url')}"

    def _bite(self) -> None:
        self.late = True
        if self._socket is not None:
            shut_down(self._socket)
