"""Wait for association requests without giving a thread to anybody who says nothing.

pynetdicom starts two threads per TCP connection and counts them against its limit, so
connections that stay silent lock everybody out. Here one thread holds them all until
a whole A-ASSOCIATE-RQ is there.
"""

import contextlib
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

log = logging.getLogger("dicom_node.receive")

_ASSOCIATE_RQ: Final = 0x01
_HEADER_BYTES: Final = 6
# 128 presentation contexts with 30 transfer syntaxes each take about 150 KiB.
_MAX_REQUEST_BYTES: Final = 256 * 1024
_TICK_SECONDS: Final = 0.25

OnRequest = Callable[[socket.socket, str, bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LobbyLimits:
    """How long and how many may wait; the oldest goes when another one comes."""

    seconds: float
    connections: int = 512
    connections_per_address: int = 64


@dataclass(slots=True, eq=False)
class _Visitor:
    connection: socket.socket
    address: str
    deadline: float
    received: bytearray = field(default_factory=bytearray)


class Lobby:
    """Accepts TCP connections and hands on those that sent an A-ASSOCIATE-RQ.

    Args:
        on_request: gets the connection (blocking again), the peer's address and the
            whole PDU, on the lobby's thread; it must not block.
    """

    def __init__(
        self, listener: socket.socket, on_request: OnRequest, *, limits: LobbyLimits
    ) -> None:
        self._listener = listener
        self._on_request = on_request
        self._limits = limits
        self._visitors: dict[int, _Visitor] = {}  # oldest first
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = socket.socketpair()
        self._closing = False
        self._thread = threading.Thread(
            target=self._run, name="receive-lobby", daemon=True
        )

    def start(self) -> None:
        """Begin to accept connections."""
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and send everybody home who has not asked yet."""
        if self._closing:
            return
        self._closing = True
        self._wake_in.send(b"x")
        self._thread.join()
        self._selector.close()
        for item in (self._listener, self._wake_in, self._wake_out):
            item.close()

    def _run(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select(_TICK_SECONDS):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fd in self._visitors:
                    self._read(self._visitors[key.fd])
            self._send_late_home()
        for visitor in list(self._visitors.values()):
            self._send_home(visitor)

    def _accept(self) -> None:
        try:
            connection, peer = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            # Out of descriptors: the oldest visitor's is the one to take.
            log.warning("accept failed", extra={"reason": type(error).__name__})
            if self._visitors:
                self._send_home(next(iter(self._visitors.values())))
            else:
                time.sleep(0.01)  # the listener stays readable; do not spin
            return
        connection.setblocking(False)
        visitor = _Visitor(
            connection, str(peer[0]), time.monotonic() + self._limits.seconds
        )
        self._make_room(visitor.address)
        self._visitors[connection.fileno()] = visitor
        self._selector.register(connection, selectors.EVENT_READ)

    def _make_room(self, address: str) -> None:
        same = [item for item in self._visitors.values() if item.address == address]
        if len(same) >= self._limits.connections_per_address:
            self._send_home(same[0])
        elif len(self._visitors) >= self._limits.connections:
            self._send_home(next(iter(self._visitors.values())))

    def _read(self, visitor: _Visitor) -> None:
        """Read as much of the request as is there, and not one byte more."""
        wanted = self._wanted(visitor)
        try:
            block = visitor.connection.recv(wanted)
        except BlockingIOError:
            return
        except OSError:
            block = b""
        if not block:
            return self._send_home(visitor)
        visitor.received += block
        if visitor.received[0] != _ASSOCIATE_RQ or (
            self._wanted(visitor) > _MAX_REQUEST_BYTES
        ):
            return self._send_home(visitor)
        if self._wanted(visitor) == 0:
            self._hand_on(visitor)
        return None

    @staticmethod
    def _wanted(visitor: _Visitor) -> int:
        """Return how many bytes of the request are missing."""
        received = visitor.received
        if len(received) < _HEADER_BYTES:
            return _HEADER_BYTES - len(received)
        length = int.from_bytes(received[2:_HEADER_BYTES], "big")
        return _HEADER_BYTES + length - len(received)

    def _hand_on(self, visitor: _Visitor) -> None:
        self._forget(visitor)
        try:
            visitor.connection.setblocking(True)
            self._on_request(
                visitor.connection, visitor.address, bytes(visitor.received)
            )
        except Exception as error:  # noqa: BLE001 - the accept loop must go on
            log.error("association not started", extra={"reason": type(error).__name__})
            visitor.connection.close()

    def _forget(self, visitor: _Visitor) -> None:
        self._visitors.pop(visitor.connection.fileno(), None)
        self._selector.unregister(visitor.connection)

    def _send_home(self, visitor: _Visitor) -> None:
        self._forget(visitor)
        with contextlib.suppress(OSError):
            visitor.connection.close()

    def _send_late_home(self) -> None:
        now = time.monotonic()
        for visitor in list(self._visitors.values()):
            if visitor.deadline > now:
                break  # they came in this order
            self._send_home(visitor)
