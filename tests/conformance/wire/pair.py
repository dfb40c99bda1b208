"""Our acceptor and pynetdicom's side by side, given the same bytes."""

import contextlib
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from dicom_node.receive.admission import Peer
from dicom_node.store.instances import InstanceFiles
from tests.conformance.wire.answers import (
    Pdu,
    facts,
    finishes_message,
    read_pdu,
)
from tests.conformance.wire.events import TRANSACTION
from tests.conformance.wire.pdu import ASSOCIATE_AC, P_DATA, RELEASE_RQ, Offer
from tests.conformance.wire.reference import (
    Reference,
    ReferenceOptions,
    Stored,
    running_reference,
)
from tests.integration.receive.node import Node, dataset_bytes, running_node

_SECONDS = 20.0
_SILENCE_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialogue:
    """What a peer says.

    Args:
        sent: bytes after the A-ASSOCIATE-AC, each in a TCP segment of its own as far
            as the kernel goes along.
        answers: whole responses to wait for before the ending.
        ending: the last bytes; None closes our half of the connection instead.
        mute: pynetdicom's thread dies of this, and nobody should wait for its answer.
    """

    request: bytes = field(default_factory=lambda: Offer().encode())
    sent: Sequence[bytes] = ()
    answers: int = 0
    ending: bytes | None = RELEASE_RQ
    mute: bool = False


class Talk:
    """One connection that carries a dialogue."""

    def __init__(
        self, port: int, dialogue: Dialogue, *, seconds: float = _SECONDS
    ) -> None:
        self._dialogue = dialogue
        self._heard: list[Pdu] = []
        self._connection = socket.create_connection(("127.0.0.1", port), seconds)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._send(dialogue.request)

    def begin(self) -> None:
        """Wait for the answer to the request, then send what follows it."""
        self._heard.append(read_pdu(self._connection))
        if not self._over():
            for block in self._dialogue.sent:
                self._send(block)

    def finish(self) -> list[Pdu]:
        """Wait for the responses, say the ending, return all that was heard."""
        with self._connection:
            responses = 0
            while responses < self._dialogue.answers and not self._over():
                self._heard.append(read_pdu(self._connection))
                responses += finishes_message(self._heard[-1])
            if not self._over():
                self._end()
            while not self._over():
                self._heard.append(read_pdu(self._connection))
        return self._heard

    def _end(self) -> None:
        if self._dialogue.ending is None:
            self._connection.shutdown(socket.SHUT_WR)
        else:
            self._send(self._dialogue.ending)

    def _over(self) -> bool:
        """Say whether nothing more comes: rejected, released, aborted or closed."""
        return self._heard[-1].kind not in {ASSOCIATE_AC, P_DATA}

    def _send(self, block: bytes) -> None:
        # When the acceptor has hung up, what it said before is still there.
        with contextlib.suppress(ConnectionError):
            self._connection.sendall(block)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one dialogue with one acceptor."""

    heard: list[Pdu]
    stored: list[Stored]

    def lines(self) -> list[str]:
        """Return every fact, one a line and none twice."""
        return facts(self.heard) + [
            f"stored {number}: {item.sop_instance_uid} in {item.transfer_syntax_uid}, "
            f"{len(item.dataset)} bytes, digest {sha256(item.dataset).hexdigest()[:16]}"
            for number, item in enumerate(self.stored)
        ]


@dataclass(frozen=True, slots=True)
class Difference:
    """Facts that only one of the two acceptors made true."""

    ours: list[str]
    theirs: list[str]


@dataclass(frozen=True, slots=True)
class Pair:
    """The two acceptors."""

    node: Node
    reference: Reference

    @property
    def ports(self) -> tuple[int, int]:
        """Where ours and theirs listen."""
        return self.node.port, self.reference.port

    def hold(self, dialogue: Dialogue) -> tuple[Outcome, Outcome]:
        """Hold a dialogue with both at the same time; return ours, theirs."""
        received, kept = len(self.node.received), len(self.reference.stored())
        patience = _SILENCE_SECONDS if dialogue.mute else _SECONDS
        talks = [
            Talk(self.node.port, dialogue),
            Talk(self.reference.port, dialogue, seconds=patience),
        ]
        for talk in talks:
            talk.begin()
        ours, theirs = (talk.finish() for talk in talks)
        return (
            Outcome(ours, stored_by(self.node, since=received)),
            Outcome(theirs, self.reference.stored(kept)),
        )

    def differ(self, dialogue: Dialogue) -> Difference:
        """Hold a dialogue with both and compare everything that came of it."""
        ours, theirs = (outcome.lines() for outcome in self.hold(dialogue))
        return Difference(
            [line for line in ours if line not in theirs],
            [line for line in theirs if line not in ours],
        )


def stored_by(node: Node, *, since: int = 0) -> list[Stored]:
    """Return what our acceptor recorded, with the bytes that lie in its files."""
    files = InstanceFiles(node.folder)
    return [
        Stored(
            str(received.sop_instance_uid),
            str(received.transfer_syntax_uid),
            dataset_bytes(files.path(received.file_key))[0],
        )
        for received in node.received[since:]
    ]


@contextmanager
def running_pair(
    folder: Path, *, max_pdu_bytes: int = 131072, calling: tuple[str, ...] = ()
) -> Iterator[Pair]:
    """Run both acceptors with the same limits; all is over at the end."""
    with ExitStack() as stack:
        node = stack.enter_context(
            running_node(
                folder / "ours",
                max_pdu_bytes=max_pdu_bytes,
                peers=tuple(Peer(title) for title in calling),
            )
        )
        options = ReferenceOptions(max_pdu_bytes=max_pdu_bytes, calling=list(calling))
        reference = stack.enter_context(running_reference(folder / "theirs", options))
        node.answer = lambda report: report.transaction_uid == TRANSACTION
        yield Pair(node, reference)
