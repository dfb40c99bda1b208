"""Messages that do not belong: wrong class, wrong context, no command, torn PDVs."""

import struct

from tests.attacks.attack import Plan, attack
from tests.attacks.datasets import INSTANCE, image
from tests.attacks.peer import ABORTED, CLOSED, STATUS, Peer, store_message
from tests.attacks.receiver import MIB, Receiver
from tests.integration.receive.wire import (
    CT,
    ECHO_RQ,
    P_DATA,
    STORE_RQ,
    VERIFICATION,
    command,
    pdu,
    pdv,
)

MR = "1.2.840.10008.5.1.4.1.1.4"
ECHO = command(ECHO_RQ, sop_class=VERIFICATION)
STORE = command(STORE_RQ, sop_class=CT, instance=INSTANCE, dataset=True)
# C-CANCEL, C-FIND, C-GET, C-MOVE, all of DIMSE-N and two responses (PS3.7 E.1).
NOT_OURS = (
    0x0FFF,
    *(0x0020, 0x0010, 0x0021),
    *(0x0100, 0x0110, 0x0120, 0x0130, 0x0140, 0x0150),
    *(0x8001, 0x8030),
)


def short(element: int, value: int) -> bytes:
    """Encode an element of the command set, US."""
    return struct.pack("<HHIH", 0, element, 2, value)


def one(context: int, control: int, fragment: bytes) -> bytes:
    """Put one PDV into one PDU."""
    return pdu(P_DATA, pdv(context, control, fragment))


NONSENSE: dict[str, bytes] = {
    "P-DATA-TF without a PDV": pdu(P_DATA, b""),
    "PDV without a control header": pdu(P_DATA, struct.pack(">IB", 1, 1)),
    "PDV of length 0": pdu(P_DATA, struct.pack(">I", 0)),
    "PDV longer than its PDU": pdu(P_DATA, struct.pack(">IBB", 5000, 1, 3) + ECHO),
    "PDV shorter than its PDU": pdu(P_DATA, pdv(1, 1, ECHO[:20]) + b"\0\0"),
    "empty last command fragment": one(1, 3, b""),
    "command that is no data set": one(1, 3, b"\xff" * 40),
    "command of zeros": one(1, 3, bytes(40)),
    "command cut in the middle": one(1, 3, ECHO[:-5]),
    "no Command Field": one(1, 3, short(0x0110, 1) + short(0x0800, 0x0101)),
    "no Message ID": one(1, 3, short(0x0100, ECHO_RQ) + short(0x0800, 0x0101)),
    "no Command Data Set Type": one(1, 3, short(0x0100, ECHO_RQ) + short(0x0110, 1)),
    "unknown Command Field": one(1, 3, command(0x7777, sop_class=VERIFICATION)),
    "a context that was not offered": one(99, 3, ECHO),
    "context 0": one(0, 3, ECHO),
    "C-STORE without an instance UID": one(
        3, 3, command(STORE_RQ, sop_class=CT, dataset=True)
    )
    + one(3, 2, image()),
    "data without a command": one(3, 2, bytes(100)),
    "data on another context": one(3, 3, STORE) + one(1, 2, bytes(100)),
    "a command inside a data set": one(3, 3, STORE) * 2,
    "unknown control bits only": one(1, 0xFC, ECHO),
    "A-ASSOCIATE-RQ again": pdu(1, bytes(80)),
    "A-ASSOCIATE-AC": pdu(2, bytes(80)),
    "A-ASSOCIATE-RJ": pdu(3, bytes(4)),
    "A-RELEASE-RP": pdu(6, bytes(4)),
    "A-RELEASE-RQ of length 0": pdu(5, b""),
    "A-ABORT of length 0": pdu(7, b""),
    "PDU of an unknown type": pdu(9, b"unknown"),
    "PDU of type 0": pdu(0, b""),
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
} | {
    f"Command Field 0x{field:04X}": one(context, 3, command(field, sop_class=CT))
    for context in (1, 3)
    for field in NOT_OURS
}


def test_b17_class_context_and_uids_must_agree(receiver: Receiver) -> None:
    plan = Plan(
        id="B17",
        attack="C-STORE on Verification; class and UIDs that do not agree",
        how="class of the command against context and data set, UID against data set",
        expected="0x0122 or 0xA900 each time; the association goes on",
        peak_bytes=8 * MIB,
    )
    dataset = image()
    cases = (
        (0x0122, store_message(dataset, INSTANCE, context=1)),
        (0x0122, store_message(dataset, INSTANCE, context=1, sop_class=VERIFICATION)),
        (0x0122, store_message(dataset, INSTANCE, sop_class=MR)),
        (0xA900, store_message(dataset.replace(CT.encode(), MR.encode()), INSTANCE)),
        (0xA900, store_message(dataset, "1.2.3")),
    )
    with attack(receiver, plan) as seen, Peer(receiver.port) as peer:
        peer.established()
        statuses = []
        for expected, content in cases:
            peer.send(content)
            statuses.append(peer.answer().status)
            assert statuses[-1] == expected
        assert peer.store(dataset, INSTANCE).status == 0
        peer.release()
        seen.saw(" ".join(f"{status:04X}" for status in statuses))


def test_b19_nonsense_ends_one_association_only(receiver: Receiver) -> None:
    plan = Plan(
        id="B19",
        attack="unknown command, no Command Field, empty or torn PDV, wrong PDU",
        how=f"{len(NONSENSE)} cases, each on an association of its own",
        expected="A-ABORT or a refusing status, no exception",
        peak_bytes=8 * MIB,
    )
    with attack(receiver, plan) as seen:
        longest, kinds = 0.0, {ABORTED: 0, CLOSED: 0, STATUS: 0}
        for name, content in NONSENSE.items():
            with Peer(receiver.port) as peer:
                peer.established().send(content)
                peer.finish()
                answer = peer.answer()
                while answer.kind == STATUS:
                    assert answer.status != 0, name
                    kinds[STATUS] += 1
                    answer = peer.answer()
                assert answer.kind in (ABORTED, CLOSED, "released"), name
                kinds[answer.kind] = kinds.get(answer.kind, 0) + 1
                longest = max(longest, answer.seconds)
        counts = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
        seen.saw(f"{counts} within {longest:.2f} s")


def test_b19_nonsense_is_told_with_an_abort_while_the_sender_listens(
    receiver: Receiver,
) -> None:
    plan = Plan(
        id="B19b",
        attack="the same while the connection stays open",
        how="the sender waits for an answer instead of closing; timeouts 1.5 s",
        expected="A-ABORT, refusing status or release within 3 s, not silence",
        peak_bytes=8 * MIB,
    )
    with attack(receiver, plan) as seen:
        longest = 0.0
        for name, content in NONSENSE.items():
            with Peer(receiver.port) as peer:
                peer.established().send(content)
                answer = peer.answer()
                longest = max(longest, answer.seconds)
                assert answer.status != 0, name
        seen.saw(f"answered within {longest:.2f} s")
