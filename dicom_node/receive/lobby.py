"""Wait for association requests without giving a thread to anybody who says nothing.

One thread holds every connection until a whole A-ASSOCIATE-RQ is there, TLS handshakes
included: silent, slow and half-open peers cost a descriptor until their deadline.
"""

import logging
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from dicom_node.receive.admission import normalise
from dicom_node.receive.tls import ServerTLS
from dicom_node.receive.turned_away import Doorkeeper, OnTurnedAway
from dicom_node.receive.visitor import Need, Visitor

log = logging.getLogger("dicom_node.receive")

_TICK_SECONDS: Final = 0.25
_GOODBYE_SECONDS: Final = 1.0
# Of requests that are not whole; one of a usual modality has 10 KiB.
_LARGE_BYTES: Final = 32 * 1024
_MAX_HELD_BYTES: Final = 8 * 1024 * 1024
TOO_MANY_WAIT: Final = "too many connections wait without an association request"
TOO_MUCH_HELD: Final = "too many large association requests are not whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A connection whose A-ASSOCIATE-RQ has been read, and not one byte more.

    Args:
        connection: blocking; an `ssl.SSLSocket` with TLS, which may hold bytes
            (`pending`) that no poll shows.
        request: the whole PDU.
        tls_version: as TLSv1.3; "" without TLS.
        certificate_subject: of the verified client certificate (see `tls.subject_of`).
    """

    connection: socket.socket
    address: str
    request: bytes
    tls_version: str = ""
    certificate_subject: str = ""


OnRequest = Callable[[Visit], None]


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket, and the TLS that its callers have to speak, if any."""

    socket: socket.socket
    tls: ServerTLS | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LobbyLimits:
    """How long and how many may wait; beyond that the oldest of an address goes.

    Args:
        silent_seconds: a lobby that has not turned for so long is not alive.
    """

    seconds: float
    connections: int = 512
    connections_per_address: int = 64
    silent_seconds: float = 10.0


class Lobby:
    """Accepts TCP connections and hands on those that sent an A-ASSOCIATE-RQ.

    Several processes may have a lobby on the same sockets.

    Args:
        on_request: called on the lobby's thread; it must not block.
        on_turned_away: told of who was sent home, once a minute for each address and
            reason, on the lobby's thread; it must not wait.
    """

    def __init__(
        self,
        listeners: Sequence[Listener],
        on_request: OnRequest,
        *,
        limits: LobbyLimits,
        on_turned_away: OnTurnedAway | None = None,
    ) -> None:
        self._listeners = {item.socket.fileno(): item for item in listeners}
        self._on_request = on_request
        self._limits = limits
        self._door = Doorkeeper(on_turned_away)
        self._visitors: dict[int, Visitor] = {}  # oldest first
        self._selector = selectors.DefaultSelector()
        self._wake_out, self._wake_in = socket.socketpair()
        self._closing = False
        self._turned_at = time.monotonic()
        self._thread = threading.Thread(
            target=self._run, name="receive-lobby", daemon=True
        )

    @property
    def turned_away(self) -> dict[str, int]:
        """How many connections ended here, by reason."""
        return self._door.counts

    @property
    def waiting(self) -> int:
        """How many connections have not asked for an association yet."""
        return len(self._visitors)

    @property
    def alive(self) -> bool:
        """Whether connections are looked after, now and not only once."""
        silent = time.monotonic() - self._turned_at
        return self._thread.is_alive() and silent < self._limits.silent_seconds

    def start(self) -> None:
        """Begin to accept connections."""
        for descriptor, listener in self._listeners.items():
            listener.socket.setblocking(False)
            self._selector.register(descriptor, selectors.EVENT_READ)
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
        for listener in self._listeners.values():
            listener.socket.close()
        self._wake_in.close()
        self._wake_out.close()

    def _run(self) -> None:
        while not self._closing:
            self._turned_at = time.monotonic()
            for key, _ in self._selector.select(_TICK_SECONDS):
                if key.fd in self._listeners:
                    self._accept(self._listeners[key.fd])
                elif key.fd in self._visitors:
                    self._serve(self._visitors[key.fd])
            self._send_late_home()
            for listener in self._listeners.values():
                if listener.tls is not None:
                    listener.tls.look()
        for visitor in list(self._visitors.values()):
            self._forget(visitor)
            visitor.close()

    def _accept(self, listener: Listener) -> None:
        try:
            connection, peer = listener.socket.accept()
        except BlockingIOError:
            return  # another process, or the peer itself, was faster
        except OSError as error:
            # Out of descriptors: the oldest visitor's is the one to take.
            log.warning("accept failed", extra={"reason": type(error).__name__})
            if self._visitors:
                self._evict(next(iter(self._visitors.values())))
            else:
                time.sleep(0.01)  # the listener stays readable; do not spin
            return
        connection.setblocking(False)
        visitor = Visitor(
            connection,
            normalise(str(peer[0])),
            deadline=time.monotonic() + self._limits.seconds,
            tls=listener.tls,
        )
        self._make_room(visitor.address)
        self._visitors[visitor.descriptor] = visitor
        self._selector.register(visitor.descriptor, selectors.EVENT_READ)

    def _make_room(self, address: str) -> None:
        """Let the oldest go of the address that has too many, or has most."""
        counts = Counter(item.address for item in self._visitors.values())
        if counts[address] >= self._limits.connections_per_address:
            crowd = address
        elif len(self._visitors) >= self._limits.connections:
            crowd = counts.most_common(1)[0][0]
        else:
            return
        same = [item for item in self._visitors.values() if item.address == crowd]
        self._evict(next((item for item in same if item.leaving), same[0]))

    def _bound_memory(self) -> None:
        """Let the largest go of requests that never get whole."""
        if sum(item.held_bytes for item in self._visitors.values()) > _MAX_HELD_BYTES:
            largest = max(self._visitors.values(), key=lambda item: item.held_bytes)
            self._evict(largest, TOO_MUCH_HELD)

    def _evict(self, visitor: Visitor, reason: str = TOO_MANY_WAIT) -> None:
        if not visitor.leaving:
            self._door.note(visitor.address, reason)
        self._forget(visitor)
        visitor.close()

    def _serve(self, visitor: Visitor) -> None:
        try:
            need = visitor.advance()
        except Exception as error:  # noqa: BLE001 - the accept loop must go on
            log.error("connection failed", extra={"reason": type(error).__name__})
            need = Need.CLOSE
        if need is Need.READ:
            self._selector.modify(visitor.descriptor, selectors.EVENT_READ)
            if visitor.held_bytes > _LARGE_BYTES:
                self._bound_memory()
        elif need is Need.WRITE:
            self._selector.modify(visitor.descriptor, selectors.EVENT_WRITE)
        elif need is Need.NOTHING:
            self._hand_on(visitor)
        elif need is Need.GOODBYE:
            self._turn_away(visitor)
        else:
            self._forget(visitor)
            visitor.close()

    def _hand_on(self, visitor: Visitor) -> None:
        self._forget(visitor)
        try:
            visitor.connection.setblocking(True)
            self._on_request(
                Visit(
                    connection=visitor.connection,
                    address=visitor.address,
                    request=visitor.request,
                    tls_version=visitor.tls_version,
                    certificate_subject=visitor.certificate_subject,
                )
            )
        except Exception as error:  # noqa: BLE001 - the accept loop must go on
            log.error("association not started", extra={"reason": type(error).__name__})
            visitor.close()

    def _turn_away(self, visitor: Visitor) -> None:
        self._door.note(visitor.address, visitor.reason)
        visitor.say_goodbye()
        visitor.deadline = time.monotonic() + _GOODBYE_SECONDS
        self._selector.modify(visitor.descriptor, selectors.EVENT_READ)

    def _forget(self, visitor: Visitor) -> None:
        self._visitors.pop(visitor.descriptor, None)
        self._selector.unregister(visitor.descriptor)

    def _send_late_home(self) -> None:
        now = time.monotonic()
        for visitor in list(self._visitors.values()):
            if visitor.deadline > now:
                continue
            if not visitor.leaving:
                visitor.run_out_of_time()
                self._door.note(visitor.address, visitor.reason)
            self._forget(visitor)
            visitor.close()
