"""pynetdicom's socket and upper layer, hardened: limits, deadlines, no polling."""

import contextlib
import os
import queue
import select
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from pynetdicom.dul import DULServiceProvider
from pynetdicom.fsm import StateMachine
from pynetdicom.transport import AssociationSocket

if TYPE_CHECKING:
    from dicom_node.receive.association import AcceptorAssociation

Item = TypeVar("Item")

# A-ABORT by the service provider: invalid PDU parameter value (PS3.8 9.3.8).
_ABORT_PDU: Final = bytes((7, 0, 0, 0, 0, 4, 0, 0, 2, 6))
_IDLE_MS: Final = 250
_BLOCKED_MS: Final = 20
# More than this many whole messages wait: the sender is slowed down by TCP.
_MAX_WAITING: Final = 2
_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)


class Bell:
    """Ends another thread's wait in `poll`."""

    def __init__(self) -> None:
        self.out, self._in = os.pipe()
        os.set_blocking(self.out, False)
        os.set_blocking(self._in, False)

    def ring(self) -> None:
        """Wake whoever waits, or will wait next."""
        with contextlib.suppress(OSError):
            os.write(self._in, b"x")

    def silence(self) -> None:
        """Forget the rings so far."""
        with contextlib.suppress(OSError):
            os.read(self.out, 4096)

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self.out)
        os.close(self._in)


class RingingQueue(queue.Queue[Item], Generic[Item]):
    """A queue that tells somebody of each item."""

    def __init__(self, ring: Callable[[], None]) -> None:
        super().__init__()
        self._ring = ring

    def _put(self, item: Item) -> None:
        super()._put(item)
        self._ring()


class BoundedSocket(AssociationSocket):
    """An association's socket with a limit on PDUs and a deadline for each.

    Args:
        first: the A-ASSOCIATE-RQ, already read.
        max_pdu_bytes: a PDU that claims more ends the association.
        bell: ends the wait for data when there is something to send.
    """

    def __init__(
        self,
        association: "AcceptorAssociation",
        connection: socket.socket,
        *,
        first: bytes,
        max_pdu_bytes: int,
        bell: Bell,
    ) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._association = association
        self._first = bytearray(first)
        self._max_pdu_bytes = max_pdu_bytes
        self._bell = bell
        super().__init__(association, client_socket=connection)
        self._seconds = float(association.network_timeout or 60.0)
        connection.settimeout(self._seconds)

    @property
    def ready(self) -> bool:
        """Wait a moment for data; False when there is none or nobody takes it."""
        if self._first:
            return True
        connection = self.socket if self._is_connected else None
        if self._association.dimse.messages.qsize() >= _MAX_WAITING:
            connection = None
        wait_ms = _IDLE_MS if connection is not None else _BLOCKED_MS
        if not self.event_queue.empty():
            wait_ms = 0  # the state machine takes one event at a time
        poll = select.poll()  # select() fails on descriptors above 1023
        poll.register(self._bell.out, select.POLLIN)
        try:
            if connection is not None:
                poll.register(connection, select.POLLIN)
            events = poll.poll(wait_ms)
        except (OSError, ValueError):
            self.event_queue.put("Evt17")
            return False
        self._bell.silence()
        return any(descriptor != self._bell.out for descriptor, _ in events)

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly so many bytes, or fewer when the connection ends.

        Raises:
            OSError: the PDU is too long, or was not whole before the deadline.
        """
        if self._first:
            taken, self._first = self._first[:nr_bytes], self._first[nr_bytes:]
            return taken
        connection = self.socket
        if connection is None:
            raise OSError("the connection is closed")
        if nr_bytes > self._max_pdu_bytes:
            with contextlib.suppress(OSError):
                connection.sendall(_ABORT_PDU)
            raise OSError("the PDU is longer than the limit")
        received = bytearray(nr_bytes)
        view, filled = memoryview(received), 0
        deadline = time.monotonic() + self._seconds
        try:
            while filled < nr_bytes:
                connection.settimeout(max(deadline - time.monotonic(), 0.001))
                count = connection.recv_into(view[filled:])
                if not count:
                    break
                filled += count
                if _QUICKACK is not None:
                    # Stock senders write a PDU in two halves with Nagle on and wait
                    # 40 ms for the first half's delayed acknowledgement.
                    connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        finally:
            view.release()
            connection.settimeout(self._seconds)
        del received[filled:]
        return received


class GuardedStateMachine(StateMachine):
    """A state machine whose faults end the association instead of its thread."""

    def __init__(self, dul: "WakingDUL") -> None:
        super().__init__(dul)
        self._waking = dul

    def do_action(self, event: str) -> None:
        """Run one transition; whatever goes wrong in it becomes an A-ABORT."""
        try:
            super().do_action(event)
        except Exception:  # noqa: BLE001 - a thread's edge; the text may hold data
            self._waking.abort_hard()


class WakingDUL(DULServiceProvider):
    """The upper layer, which sleeps in `poll` until there is something to do."""

    state_machine: GuardedStateMachine

    def __init__(self, association: "AcceptorAssociation", bell: Bell) -> None:
        super().__init__(association)
        self._bell = bell
        self._run_loop_delay = 0.0
        self.daemon = True
        self.state_machine = GuardedStateMachine(self)
        self.to_provider_queue = RingingQueue(bell.ring)

    def stop_dul(self) -> bool:
        """Stop the thread if nothing is left to do, without waiting for its poll."""
        if self.state_machine.current_state != "Sta1":
            self._bell.ring()
            return False
        self._kill_thread = True
        self._bell.ring()
        self.join(1.0)
        return True

    def abort_hard(self) -> None:
        """Send an A-ABORT past the state machine, which is not to be trusted now."""
        connection = self.socket.socket if self.socket else None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.sendall(_ABORT_PDU)
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.assoc.is_aborted = True
        self.assoc.is_established = False
        self.assoc._kill = True
        self._kill_thread = True
