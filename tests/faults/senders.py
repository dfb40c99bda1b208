"""Senders that remember what they heard: the one side of every comparison."""

import contextlib
import socket
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.faults.instances import Instance
from tests.integration.receive.wire import (
    A_ASSOCIATE_AC,
    CT,
    ECHO_RQ,
    EXPLICIT,
    IMPLICIT,
    STORE_RQ,
    VERIFICATION,
    RawPeer,
    associate_rq,
    command,
    message,
    pdu,
)

ECHO_CONTEXT, STORE_CONTEXT = 1, 3
CONTEXTS = {ECHO_CONTEXT: (VERIFICATION, IMPLICIT), STORE_CONTEXT: (CT, EXPLICIT)}
A_RELEASE_RQ = 5
RESET = struct.pack("ii", 1, 0)  # SO_LINGER 0: close() sends RST


@dataclass(frozen=True, slots=True)
class Sent:
    """One C-STORE and its answer; None is no answer at all."""

    instance: Instance
    status: int | None
    seconds: float

    @property
    def acknowledged(self) -> bool:
        """Whether the node promised to keep it (PS3.4 B.2.3: 0000 and Bxxx)."""
        return self.status is not None and (self.status == 0 or self.status >> 12 == 11)


@dataclass(slots=True)
class SenderLog:
    """What all senders of a test sent and heard; safe for threads."""

    sent: list[Sent] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, sent: Sent) -> None:
        """Enter one C-STORE."""
        with self._lock:
            self.sent.append(sent)

    def acknowledged(self) -> dict[str, set[str]]:
        """Return the digests that were promised, by SOP Instance UID."""
        return self._digests(item for item in list(self.sent) if item.acknowledged)

    def attempted(self) -> dict[str, set[str]]:
        """Return the digests that were sent at all, by SOP Instance UID."""
        return self._digests(list(self.sent))

    def statuses(self) -> Counter[int | None]:
        """Count the answers."""
        return Counter(item.status for item in list(self.sent))

    def longest_seconds(self) -> float:
        """Return the longest wait for a success."""
        return max((item.seconds for item in self.sent if item.acknowledged), default=0)

    @staticmethod
    def _digests(items: Iterable[Sent]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = defaultdict(set)
        for item in items:
            found[item.instance.sop_instance_uid].add(item.instance.sha256)
        return dict(found)


class Refused(ConnectionError):
    """The node took no association.

    Args:
        kind: of the PDU that came instead, 0 for a closed connection.
        body: of that PDU; an A-ASSOCIATE-RJ has result, source, reason at 1 to 3.
    """

    def __init__(self, kind: int, body: bytes) -> None:
        super().__init__("no association")
        self.kind = kind
        self.body = body


@dataclass(slots=True)
class Association:
    """One association of a sender; what it sends is entered in `log`."""

    peer: RawPeer
    log: SenderLog

    @classmethod
    def open(
        cls,
        port: int,
        log: SenderLog,
        *,
        source: str = "127.0.0.1",
        seconds: float = 30.0,
    ) -> "Association":
        """Associate with the node.

        Raises:
            Refused: the answer was no A-ASSOCIATE-AC.
            OSError: there was no answer.
        """
        connection = socket.create_connection(
            ("127.0.0.1", port), timeout=seconds, source_address=(source, 0)
        )
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = RawPeer(connection)
        try:
            connection.sendall(associate_rq(CONTEXTS))
            kind, body = peer.read()
        except OSError:
            connection.close()
            raise
        if kind != A_ASSOCIATE_AC:
            connection.close()
            raise Refused(kind, body)
        return cls(peer, log)

    @property
    def connection(self) -> socket.socket:
        """The TCP connection, for what is not in the protocol."""
        return self.peer.connection

    def echo(self) -> bool:
        """C-ECHO; say whether it was answered with success."""
        head = command(ECHO_RQ, sop_class=VERIFICATION)
        self.connection.sendall(message(ECHO_CONTEXT, head))
        return self.peer.status() == 0

    def store(self, instance: Instance) -> int | None:
        """C-STORE; return the status, None without an answer."""
        begun = time.monotonic()
        try:
            self.connection.sendall(store_message(instance))
            status = self.peer.status()
        except OSError:
            status = None
        self.log.add(Sent(instance, status, time.monotonic() - begun))
        return status

    def release(self) -> None:
        """Release the association and close the connection."""
        with contextlib.suppress(OSError):
            self.connection.sendall(pdu(A_RELEASE_RQ, bytes(4)))
            self.peer.read()
        self.connection.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.connection.close()


def store_message(instance: Instance) -> bytes:
    """Encode a whole C-STORE-RQ."""
    head = command(
        STORE_RQ,
        sop_class=instance.sop_class_uid,
        instance=instance.sop_instance_uid,
        dataset=True,
    )
    return message(STORE_CONTEXT, head, instance.dataset)


def send(
    port: int,
    log: SenderLog,
    instances: Sequence[Instance],
    *,
    source: str = "127.0.0.1",
    seconds: float = 30.0,
) -> bool:
    """Send over one association until one is not answered; say if all were."""
    try:
        association = Association.open(port, log, source=source, seconds=seconds)
    except OSError:
        return False
    try:
        for instance in instances:
            if association.store(instance) is None:
                return False
    finally:
        association.release()
    return True


def send_at_once(
    port: int, log: SenderLog, instances: Sequence[Instance], *, associations: int
) -> bool:
    """Send over several associations at the same time; say if all were answered."""
    hands = [instances[hand::associations] for hand in range(associations)]
    with ThreadPoolExecutor(associations) as pool:
        return all(list(pool.map(lambda hand: send(port, log, hand), hands)))


def missing(log: SenderLog, instances: Sequence[Instance]) -> list[Instance]:
    """Return those that nobody acknowledged yet."""
    known = log.acknowledged()
    return [
        instance
        for instance in instances
        if instance.sha256 not in known.get(instance.sop_instance_uid, ())
    ]


@contextmanager
def sending(
    port: int, log: SenderLog, instances: Sequence[Instance], *, associations: int = 2
) -> Iterator[threading.Thread]:
    """Send in the background while the block breaks something."""
    thread = threading.Thread(
        target=send_at_once,
        args=(port, log, instances),
        kwargs={"associations": associations},
    )
    thread.start()
    try:
        yield thread
    finally:
        thread.join(120)
