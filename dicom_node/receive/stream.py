"""Read PDUs as they arrive: no PDU is put together, fragments are handed on in place.

One buffer serves an association for all its life. A fragment is a view into it, good
until the sink is told to flush.

Source: PS3.8 9.3 (PDUs), annex E (presentation data values).
"""

import contextlib
import mmap
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Final, Protocol

from dicom_node.receive.negotiate import (
    INVALID_PDU_PARAMETER,
    UNEXPECTED_PDU,
    UNRECOGNISED_PDU,
)

_P_DATA_TF: Final = 4
_RELEASE_RQ: Final = 5
_ABORT: Final = 7
_KNOWN: Final = range(1, 8)
_PDU_HEADER: Final = struct.Struct(">BxI")
_PDV_HEADER: Final = struct.Struct(">IBB")
_HEADERS: Final = struct.Struct(">BxIIBB")
_COMMAND: Final = 1
_LAST: Final = 2
# Some senders count the PDU's header into the length that they may send.
PDU_SLACK_BYTES: Final = 1024
_MAX_CONTROL_BYTES: Final = 4096
_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)
_TICK_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.25  # between two looks at the time that a peer takes
_MIN_ROOM_BYTES: Final = 32 * 1024
_TIMEVAL: Final = struct.Struct("@ll")
# Responses are short; the kernel would keep MiBs of them for a peer that reads none.
_SEND_BUFFER_BYTES: Final = 64 * 1024

RELEASED: Final = "released"
ABORTED: Final = "aborted by the sender"
CLOSED: Final = "connection closed by the sender"


class Broken(Exception):
    """The peer breaks the protocol; `abort` is the PDU to tell it."""

    def __init__(self, reason: str, abort: bytes = INVALID_PDU_PARAMETER) -> None:
        super().__init__(reason)
        self.reason = reason
        self.abort = abort


class Sink(Protocol):
    """Takes what an association brings."""

    def command(self, context_id: int, fragment: memoryview, *, last: bool) -> None:
        """Take a fragment of a command set."""

    def data(self, context_id: int, fragment: memoryview, *, last: bool) -> None:
        """Take a fragment of a data set; good until `flush`."""

    def flush(self) -> None:
        """Let go of every fragment: the buffer is about to be filled again."""

    def check_time(self, now: float, *, heard: bool) -> None:
        """Raise Broken if the peer has taken too long, or said nothing for too long."""


class PduReader:
    """Reads one association to its end.

    Args:
        max_pdu_bytes: of the value of a PDU, as it was announced to the peer.
    """

    def __init__(
        self,
        connection: socket.socket,
        sink: Sink,
        *,
        max_pdu_bytes: int,
        buffer_bytes: int = 256 * 1024,
    ) -> None:
        self._connection = connection
        self._sink = sink
        self._max_pdu_bytes = max_pdu_bytes + PDU_SLACK_BYTES
        # Mapped: the allocator would keep such a piece in the arena of every thread.
        self._view = memoryview(mmap.mmap(-1, buffer_bytes))
        self._pdu_left = 0  # bytes of the current P-DATA-TF PDU behind its PDVs so far
        self._fragment_left = 0
        self._context_id = 0
        self._control = 0
        self._held = False  # whether the sink has fragments
        self._end = ""

    def run(self) -> str:
        """Read until the association ends, and say how it did.

        Raises:
            Broken: the peer broke the protocol or took too long.
            OSError: the connection failed.
        """
        receive, view = self._receiver(), self._view
        at = end = 0  # what lies between was not looked at
        while True:
            count = receive(end)
            if count is None:
                self._sink.check_time(time.monotonic(), heard=False)
                continue
            if not count:
                return CLOSED
            end += count
            at = self._consume(at, end)
            if self._end:
                self._sink.flush()
                return self._end
            if at == end and not self._held:
                at = end = 0
            elif len(view) - end < _MIN_ROOM_BYTES:
                # Not before: most senders bring a few KiB at a time, and what is done
                # once for all of them costs as much as for each.
                self._sink.flush()
                self._held = False
                left = end - at
                if left:  # an incomplete header, a few bytes
                    view[:left] = bytes(view[at:end])
                at, end = 0, left

    def _receiver(self) -> Callable[[int], int | None]:
        """Make the function that fills the buffer; it gives None after a tick."""
        connection, view = self._connection, self._view
        receive, check = connection.recv_into, self._sink.check_time
        acknowledge = connection.setsockopt
        ticks = time.monotonic
        look_at = 0.0

        def fill(end: int) -> int | None:
            nonlocal look_at
            try:
                count = receive(view[end:])
            except (BlockingIOError, TimeoutError, ssl.SSLWantReadError):
                return None
            except InterruptedError:
                return None
            if _QUICKACK is not None:
                # Stock senders write a PDU in two halves with Nagle on and wait 40 ms
                # for the first half's delayed acknowledgement.
                acknowledge(socket.IPPROTO_TCP, _QUICKACK, 1)
            now = ticks()
            if now >= look_at:
                look_at = now + _LOOK_SECONDS
                check(now, heard=True)
            return count

        return fill

    def _consume(self, at: int, end: int) -> int:
        """Hand on what lies from `at` to `end`; return where the rest begins."""
        view, sink = self._view, self._sink
        while at < end and not self._end:
            left = self._fragment_left
            if not left:
                start = at
                if not self._pdu_left and end - at >= _HEADERS.size:
                    start = self._whole_fragment(at)
                if start == at:
                    start = self._next_fragment(at, end)
                if start == at:
                    break
                at = start
                continue
            stop = min(end, at + left)
            left -= stop - at
            self._fragment_left = left
            last = not left and bool(self._control & _LAST)
            if self._control & _COMMAND:
                sink.command(self._context_id, view[at:stop], last=last)
            else:
                self._held = not last
                sink.data(self._context_id, view[at:stop], last=last)
            at = stop
        return at

    def _whole_fragment(self, at: int) -> int:
        """Read the headers of a PDU with one fragment; return `at` if it is not one."""
        kind, length, size, context_id, control = _HEADERS.unpack_from(self._view, at)
        if kind != _P_DATA_TF or not 2 < size == length - 4 <= self._max_pdu_bytes - 4:
            return at
        self._fragment_left = size - 2
        self._context_id, self._control = context_id, control
        return at + _HEADERS.size

    def _next_fragment(self, at: int, end: int) -> int:
        """Read the headers at `at`; return what lies behind, or `at` again to wait."""
        if not self._pdu_left:
            if end - at < _PDU_HEADER.size:
                return at
            kind, length = _PDU_HEADER.unpack_from(self._view, at)
            if kind != _P_DATA_TF:
                return self._control_pdu(kind, length, at=at, end=end)
            if length > self._max_pdu_bytes:
                raise Broken("a PDU is longer than the limit")
            if length < _PDV_HEADER.size:
                raise Broken("a P-DATA-TF PDU holds no presentation data value")
            self._pdu_left = length
            at += _PDU_HEADER.size
        elif self._pdu_left < _PDV_HEADER.size:
            raise Broken("a presentation data value is cut off by its PDU")
        if end - at < _PDV_HEADER.size:
            # The PDU's header was used: say so, the PDV's comes with the next bytes.
            return at
        length, self._context_id, self._control = _PDV_HEADER.unpack_from(
            self._view, at
        )
        self._pdu_left -= length + 4
        if length < 2 or self._pdu_left < 0:
            raise Broken("a presentation data value does not fit its PDU")
        self._fragment_left = length - 2
        if length == 2:
            self._empty_fragment()
        return at + _PDV_HEADER.size

    def _empty_fragment(self) -> None:
        last = bool(self._control & _LAST)
        take = self._sink.command if self._control & _COMMAND else self._sink.data
        take(self._context_id, self._view[:0], last=last)

    def _control_pdu(self, kind: int, length: int, *, at: int, end: int) -> int:
        """Take an A-RELEASE-RQ or A-ABORT; whatever else there is comes too late."""
        if kind not in _KNOWN:
            raise Broken("a PDU of unknown type", UNRECOGNISED_PDU)
        if kind not in (_RELEASE_RQ, _ABORT):
            raise Broken("a PDU that has no place in an association", UNEXPECTED_PDU)
        if length > _MAX_CONTROL_BYTES:
            raise Broken("a PDU is longer than the limit")
        if end - at < _PDU_HEADER.size + length:
            return at
        self._end = RELEASED if kind == _RELEASE_RQ else ABORTED
        return at + _PDU_HEADER.size + length


def prepare(connection: socket.socket, *, send_seconds: float) -> None:
    """Let waits end after a tick, and responses leave at once.

    Args:
        send_seconds: after so long a peer that does not read is given up.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
    with contextlib.suppress(OSError):  # a local socket has no Nagle
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _QUICKACK is not None:
            connection.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
    if isinstance(connection, ssl.SSLSocket):
        connection.settimeout(_TICK_SECONDS)
        return
    # The kernel's own timeouts: Python's would cost a poll for every receive.
    connection.settimeout(None)
    for option, seconds in (
        (socket.SO_RCVTIMEO, _TICK_SECONDS),
        (socket.SO_SNDTIMEO, send_seconds),
    ):
        whole, part = divmod(seconds, 1)
        timeval = _TIMEVAL.pack(int(whole), int(part * 1e6))
        connection.setsockopt(socket.SOL_SOCKET, option, timeval)


def sender(
    connection: socket.socket, *, send_seconds: float
) -> Callable[[bytes], None]:
    """Make the function that sends; it gives up on a peer that does not read.

    Raises:
        OSError: (the function) the peer is gone, or has not read for so long.
    """
    if not isinstance(connection, ssl.SSLSocket):
        return connection.sendall

    def send(pdu: bytes) -> None:
        connection.settimeout(send_seconds)
        try:
            connection.sendall(pdu)
        finally:
            connection.settimeout(_TICK_SECONDS)

    return send
