"""Valid sessions for the fuzzer: every message and every way to cut it into PDUs."""

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.attacks.datasets import INSTANCE, element, image
from tests.attacks.peer import (
    ABORT,
    ABORTED,
    ACCEPTED,
    CLOSED,
    RELEASE_RQ,
    RELEASED,
    STATUS,
    Offer,
    context_items,
    item,
)
from tests.conformance.wire.events import Event, information
from tests.integration.receive.wire import (
    CT,
    ECHO_RQ,
    EXPLICIT,
    IMPLICIT,
    P_DATA,
    STORE_RQ,
    VERIFICATION,
    command,
    pdu,
    pdv,
)

FIND_RQ, EVENT_REPORT_RQ = 0x0020, 0x0100
COMMITMENT = "1.2.840.10008.1.20.1"
CONTEXTS = {
    1: (VERIFICATION, (IMPLICIT, EXPLICIT)),
    3: (CT, (EXPLICIT,)),
    5: (CT, (EXPLICIT, IMPLICIT)),
    7: (COMMITMENT, (IMPLICIT,)),
}
_COMMAND, _LAST = 1, 2
_INSTANCES = 5  # so that they repeat and conflict


@dataclass(slots=True)
class Session:
    """PDUs in their order and what a receiver answers to each message.

    Args:
        answers: kinds and statuses; no more after a release, an abort or an end.
    """

    pdus: list[bytes] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)


def valid_session(source: random.Random) -> Session:
    """Make a session; the same source makes the same one."""
    session = Session([_offer(source).encode()], [ACCEPTED])
    for _ in range(source.randrange(5)):
        make = source.choice((_echo, _store, _store, _store, _event, _not_served))
        goes_on = make(source, session)
        if not goes_on:
            return session
    _end(source, session)
    return session


def _offer(source: random.Random) -> Offer:
    def text(value: str) -> bytes:
        return struct.pack(">H", len(value)) + value.encode()

    further = [
        item(0x53, struct.pack(">HH", 1, 1)),
        item(0x54, text(CT) + b"\1\0"),
        item(0x55, b"FUZZ_1"),
        item(0x56, text(CT) + bytes((2, 0, 0, 0, 0, 0))),
        item(0x58, b"\2\0" + text("fuzz") + text("passcode")),
    ]
    return Offer(
        contexts=context_items(CONTEXTS),
        max_pdu=source.choice((0, 4096, 16384, 131072, 1 << 20)),
        user=[
            item(0x54, text(COMMITMENT) + b"\0\1"),
            *source.sample(further, source.randrange(len(further) + 1)),
        ],
    )


def _echo(source: random.Random, session: Session) -> bool:
    parts = [(1, _COMMAND, command(ECHO_RQ, sop_class=VERIFICATION))]
    session.pdus += _packed(source, parts)
    session.answers.append("0x0000")
    return True


def _store(source: random.Random, session: Session) -> bool:
    """Add one to three C-STOREs; the PDVs of several may share a PDU."""
    parts = []
    for _ in range(source.choice((1, 1, 2, 3))):
        instance = f"{INSTANCE}.{source.randrange(_INSTANCES)}"
        rows = source.choice((16, 16, 64, 256))
        pixels = element(0x7FE00010, b"OW", bytes(rows * rows * 2))
        dataset = image(instance, rows=rows, columns=rows, pixels=pixels)
        head = command(STORE_RQ, sop_class=CT, instance=instance, dataset=True)
        context = source.choice((3, 5))
        parts += [(context, _COMMAND, head), (context, 0, dataset)]
        session.answers.append("0x0000")
    session.pdus += _packed(source, parts)
    return True


def _event(source: random.Random, session: Session) -> bool:
    """Add an N-EVENT-REPORT on a transaction that this node never asked for."""
    committed = [f"1.2.3.{number}" for number in range(source.randrange(1, 40))]
    failed = {f"1.2.4.{number}": 0x0112 for number in range(source.randrange(3))}
    head = Event(event_type=2 if failed else 1).encode()
    dataset = information("2.25.1", committed=committed, failed=failed)
    session.pdus += _packed(source, [(7, _COMMAND, head), (7, 0, dataset)])
    session.answers.append("0x0115")
    return True


def _not_served(source: random.Random, session: Session) -> bool:
    """Add a request that this node never offered, which ends the association."""
    context, field_ = source.choice(((3, FIND_RQ), (3, EVENT_REPORT_RQ), (7, FIND_RQ)))
    head = command(field_, sop_class=CT, dataset=False)
    session.pdus += _packed(source, [(context, _COMMAND, head)])
    session.answers.append(ABORTED)
    return False


def _end(source: random.Random, session: Session) -> None:
    pdu_, answer = source.choice(
        ((RELEASE_RQ, RELEASED), (RELEASE_RQ, RELEASED), (ABORT, CLOSED), (b"", CLOSED))
    )
    session.pdus.append(pdu_)
    session.answers.append(answer)


def _packed(
    source: random.Random, parts: list[tuple[int, int, bytes]]
) -> Iterator[bytes]:
    """Cut parts of messages into PDVs of any size and these into PDUs of any size."""
    longest = source.choice((64, 512, 4096, 16384, 65536))
    values = [value for part in parts for value in _fragments(source, *part, longest)]
    while values:
        body = values.pop(0)
        while values and source.random() < 0.4 and len(body + values[0]) < 100_000:
            body += values.pop(0)
        yield pdu(P_DATA, body)


def _fragments(
    source: random.Random, context: int, kind: int, content: bytes, longest: int
) -> Iterator[bytes]:
    longest = max(longest, len(content) // 40)
    position = 0
    while True:
        size = source.choice((longest, source.randrange(longest) + 1))
        fragment = content[position : position + size + size % 2]
        position += len(fragment)
        last = position >= len(content)
        yield pdv(context, kind | (_LAST if last else 0), fragment)
        if last:
            return


def describe(kind: str, status: int) -> str:
    """Name an answer as `Session.answers` does."""
    return f"0x{status:04X}" if kind == STATUS else kind
