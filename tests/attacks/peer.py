"""A peer that says whatever a test wants and times every answer."""

import contextlib
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.integration.receive.wire import (
    A_ABORT,
    A_ASSOCIATE_AC,
    A_ASSOCIATE_RJ,
    A_RELEASE_RP,
    CT,
    ECHO_RQ,
    EXPLICIT,
    IMPLICIT,
    P_DATA,
    STORE_RQ,
    VERIFICATION,
    command,
    message,
    pdu,
)

# Nothing that a peer sends may stay unanswered for longer.
ANSWER_SECONDS = 3.0
CONTEXTS: Mapping[int, tuple[str, tuple[str, ...]]] = {
    1: (VERIFICATION, (IMPLICIT,)),
    3: (CT, (EXPLICIT,)),
}
CLOSED, ABORTED, REJECTED, ACCEPTED = "closed", "aborted", "rejected", "accepted"
RELEASED, STATUS = "released", "status"
_KINDS = {
    0: CLOSED,
    A_ABORT: ABORTED,
    A_ASSOCIATE_RJ: REJECTED,
    A_ASSOCIATE_AC: ACCEPTED,
    A_RELEASE_RP: RELEASED,
    P_DATA: STATUS,
}
RELEASE_RQ = pdu(5, bytes(4))
ABORT = pdu(A_ABORT, bytes(4))
APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"


def item(kind: int, body: bytes) -> bytes:
    """Encode an item of an A-ASSOCIATE PDU (PS3.8 9.3.2)."""
    return struct.pack(">BBH", kind, 0, len(body)) + body


def context_item(
    context_id: int, abstract_syntax: bytes, transfer_syntaxes: Sequence[bytes]
) -> bytes:
    """Encode an offered presentation context (PS3.8 9.3.2.2)."""
    names = b"".join(item(0x40, name) for name in transfer_syntaxes)
    return item(
        0x20, bytes((context_id, 0, 0, 0)) + item(0x30, abstract_syntax) + names
    )


def context_items(
    contexts: Mapping[int, tuple[str, tuple[str, ...]]] = CONTEXTS,
) -> list[bytes]:
    """Encode several offered presentation contexts."""
    return [
        context_item(number, abstract.encode(), [name.encode() for name in names])
        for number, (abstract, names) in contexts.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An A-ASSOCIATE-RQ, field by field, so that any can be wrong.

    Args:
        contexts: encoded presentation context items.
        user: encoded sub-items of the user information besides the usual two.
        further: encoded items behind all others.
    """

    called: bytes = b"AINODE"
    calling: bytes = b"RAW"
    version: int = 1
    application_context: bytes = APPLICATION_CONTEXT
    contexts: Sequence[bytes] = field(default_factory=context_items)
    max_pdu: int = 16384
    user: Sequence[bytes] = ()
    further: bytes = b""

    def encode(self) -> bytes:
        """Return the PDU."""
        user = item(0x51, struct.pack(">I", self.max_pdu)) + item(0x52, b"1.2.3.4")
        return pdu(
            1,
            struct.pack(">HH", self.version, 0)
            + self.called.ljust(16)[:16]
            + self.calling.ljust(16)[:16]
            + bytes(32)
            + item(0x10, self.application_context)
            + b"".join(self.contexts)
            + item(0x50, user + b"".join(self.user))
            + self.further,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the kind, the PDU's body and how long it took."""

    kind: str
    body: bytes
    seconds: float

    @property
    def status(self) -> int:
        """Return the status of a DIMSE response, -1 if this is none."""
        if self.kind != STATUS:
            return -1
        position = 6
        while position + 8 <= len(self.body):
            _, element, length = struct.unpack_from("<HHI", self.body, position)
            position += 8
            if element == 0x0900:
                return int.from_bytes(self.body[position : position + length], "little")
            position += length
        return -1

    def context_results(self) -> dict[int, int]:
        """Return the result of each context in an A-ASSOCIATE-AC (PS3.8 9.3.3.2)."""
        found, position = {}, 68
        while position + 4 <= len(self.body):
            kind, _, length = struct.unpack_from(">BBH", self.body, position)
            if kind == 0x21:
                context_id, _, result = self.body[position + 4 : position + 7]
                found[context_id] = result
            position += 4 + length
        return found


class Peer:
    """One connection; a `with` block closes it."""

    def __init__(self, port: int, *, source: str = "127.0.0.1") -> None:
        self.connection = socket.create_connection(
            ("127.0.0.1", port), timeout=ANSWER_SECONDS, source_address=(source, 0)
        )
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection without a word."""
        self.connection.close()

    def reset(self) -> None:
        """Close it with a TCP reset."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def send(self, *parts: bytes) -> bool:
        """Send all; say whether the receiver took it, or hung up meanwhile."""
        try:
            for part in parts:
                self.connection.sendall(part)
        except ConnectionError:
            return False
        return True

    def finish(self) -> None:
        """Say that nothing more will come."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)

    def answer(self, *, within: float = ANSWER_SECONDS) -> Answer:
        """Return the next PDU, or that the connection was closed.

        Raises:
            TimeoutError: there was neither within so many seconds.
        """
        begun = time.monotonic()
        try:
            kind, _, length = struct.unpack(">BBI", self._exactly(6, within))
            body = self._exactly(length, within)
        except (EOFError, ConnectionError):
            kind, body = 0, b""
        return Answer(_KINDS[kind], body, time.monotonic() - begun)

    def associate(self, offer: Offer | None = None) -> Answer:
        """Ask for an association and return the answer."""
        self.send((offer or Offer()).encode())
        return self.answer()

    def established(self, offer: Offer | None = None) -> Self:
        """Ask for an association, which must be accepted; return this peer."""
        answer = self.associate(offer)
        assert answer.kind == ACCEPTED, answer.kind
        return self

    def echo(self) -> int:
        """Return the status of a C-ECHO on context 1."""
        self.send(message(1, command(ECHO_RQ, sop_class=VERIFICATION)))
        return self.answer().status

    def store(self, dataset: bytes, instance: str, *, context: int = 3) -> Answer:
        """Send a CT on a context and return the answer."""
        self.send(store_message(dataset, instance, context=context))
        return self.answer()

    def release(self) -> Answer:
        """Release the association."""
        self.send(RELEASE_RQ)
        return self.answer()

    def _exactly(self, size: int, seconds: float) -> bytes:
        received = bytearray()
        deadline = time.monotonic() + seconds
        while len(received) < size:
            self.connection.settimeout(max(deadline - time.monotonic(), 0.001))
            block = self.connection.recv(min(size - len(received), 1 << 16))
            if not block:
                raise EOFError
            received += block
        return bytes(received)


def store_message(
    dataset: bytes, instance: str, *, context: int = 3, sop_class: str = CT
) -> bytes:
    """Encode a whole C-STORE-RQ in PDUs of 16 KiB."""
    head = command(STORE_RQ, sop_class=sop_class, instance=instance, dataset=True)
    return message(context, head, dataset)
