"""N-EVENT-REPORT as an attack: what a stranger may say about commitments."""

import random
import struct

from tests.attacks.attack import Plan, attack
from tests.attacks.peer import CLOSED, STATUS, Offer, Peer, context_items, item
from tests.attacks.receiver import MIB, Receiver
from tests.conformance.wire.events import COMMITMENT, Event, information
from tests.conformance.wire.pdu import message
from tests.integration.receive.wire import EXPLICIT, IMPLICIT

SEED = 20261123
CASES = 1500
# Invalid argument value, no such argument, mistyped argument (PS3.7 10.1.1.1.8).
REFUSALS = {0x0115, 0x0114, 0x0212}
_UNLIMITED = b"\xff\xff\xff\xff"


def offer() -> bytes:
    """Return the request of an archive that reports."""
    uid = COMMITMENT.encode()
    role = item(0x54, struct.pack(">H", len(uid)) + uid + b"\0\1")
    contexts = {1: (COMMITMENT, (IMPLICIT,)), 3: (COMMITMENT, (EXPLICIT,))}
    return Offer(contexts=context_items(contexts), user=[role]).encode()


def damaged(source: random.Random, *, explicit: bool) -> bytes:
    """Return Event Information with bytes changed, cut, doubled or put in."""
    content = bytearray(
        information(
            "2.25.1",
            committed=[f"1.2.3.{number}" for number in range(source.randrange(1, 9))],
            failed={"1.2.4": 0x0112},
            explicit=explicit,
        )
    )
    for _ in range(source.choice((1, 1, 2, 5))):
        at = source.randrange(len(content))
        kind = source.randrange(5)
        if kind == 0:
            content[at] = source.randrange(256)
        elif kind == 1:
            content[at : at + 4] = source.choice((_UNLIMITED, bytes(4), b"\0\0\0\x7f"))
        elif kind == 2:
            del content[at : at + source.randrange(1, 9)]
        elif kind == 3:
            content[at:at] = content[: source.randrange(1, 60)]
        else:
            content[at:at] = source.randbytes(source.randrange(1, 20))
        content = content or bytearray(b"\0\0")
    return bytes(content)


def test_b19_damaged_reports_are_refused_one_by_one(receiver: Receiver) -> None:
    plan = Plan(
        id="B19f",
        attack="fuzzed Event Information of N-EVENT-REPORT",
        how=f"{CASES} data sets in both syntaxes, seed {SEED}, on one association",
        expected="a refusing status each time; the association goes on",
        peak_bytes=24 * MIB,
    )
    with attack(receiver, plan) as seen, Peer(receiver.port) as peer:
        peer.send(offer())
        assert peer.answer().kind == "accepted"
        longest, statuses = 0.0, set()
        for number in range(CASES):
            explicit = number % 2 == 1
            content = damaged(random.Random(f"{SEED}/{number}"), explicit=explicit)
            peer.send(message(3 if explicit else 1, Event().encode(), content))
            answer = peer.answer()
            assert answer.kind == STATUS, number
            statuses.add(answer.status)
            longest = max(longest, answer.seconds)
        assert statuses <= REFUSALS
        peer.release()
        told = " ".join(f"{status:04X}" for status in sorted(statuses))
        seen.saw(f"{told} within {longest:.2f} s")


def test_b19_reports_above_the_limit_cost_no_memory(receiver: Receiver) -> None:
    plan = Plan(
        id="B19g",
        attack="N-EVENT-REPORT data sets of 4 MiB, eight at once",
        how="fragments of 16 KiB, sent to their end",
        expected="0x0213 and an A-ABORT at 256 KiB each",
        peak_bytes=24 * MIB,
    )
    endless = message(1, Event().encode(), bytes(4 * MIB))
    with attack(receiver, plan) as seen:
        peers = [Peer(receiver.port) for _ in range(8)]
        for peer in peers:
            peer.send(offer())
            assert peer.answer().kind == "accepted"
            peer.send(endless)
        for peer in peers:
            answer = peer.answer()
            assert (answer.kind, answer.status) == (STATUS, 0x0213)
            assert peer.answer().kind in ("aborted", CLOSED)
            peer.close()
        seen.saw("0213, then A-ABORT")
