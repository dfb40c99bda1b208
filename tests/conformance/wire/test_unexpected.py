"""Commands, PDUs and endings that a Storage SCP does not expect: ours ends as fixed."""

import pytest

from tests.conformance.wire.answers import Pdu
from tests.conformance.wire.datasets import new_uid, small_dataset
from tests.conformance.wire.intended import surprises
from tests.conformance.wire.pair import Dialogue, Pair
from tests.conformance.wire.pdu import (
    ABORT,
    COMMAND,
    CT,
    LAST,
    NO_DATASET,
    P_DATA,
    RELEASE_RQ,
    STORE_RSP,
    VERIFICATION,
    Offer,
    Store,
    command_set,
    echo,
    message,
    pdu,
    pdv,
    short,
    uid_value,
)

# pydicom warns of UIDs that are none; only in tests is that an error.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

UID = new_uid()
DATASET = small_dataset(UID)
STORE = Store(sop_instance_uid=UID)
STORED = message(3, STORE.encode(), DATASET)
ASKED = pdu(P_DATA, pdv(3, COMMAND | LAST, STORE.encode()))


def one(sent: bytes, *, answers: int = 1) -> Dialogue:
    return Dialogue(sent=[sent], answers=answers)


COMMAND_CASES = {
    "an unknown command": one(
        message(
            1,
            command_set(
                [
                    (0x0002, uid_value(VERIFICATION)),
                    (0x0100, short(0x7777)),
                    (0x0110, short(1)),
                    (0x0800, short(NO_DATASET)),
                ]
            ),
        )
    ),
    "a response that nobody asked for": one(
        message(
            3,
            command_set(
                [
                    (0x0002, uid_value(CT)),
                    (0x0100, short(STORE_RSP)),
                    (0x0120, short(1)),
                    (0x0800, short(NO_DATASET)),
                    (0x0900, short(0)),
                    (0x1000, uid_value(UID)),
                ]
            ),
        ),
        answers=0,
    ),
    "a cancel of nothing": one(
        message(
            3,
            command_set(
                [
                    (0x0100, short(0x0FFF)),
                    (0x0120, short(1)),
                    (0x0800, short(NO_DATASET)),
                ]
            ),
        ),
        answers=0,
    ),
    "a query on a storage context": one(
        message(
            3,
            command_set(
                [
                    (0x0002, uid_value(CT)),
                    (0x0100, short(0x0020)),
                    (0x0110, short(1)),
                    (0x0700, short(0)),
                    (0x0800, short(0)),
                ]
            ),
            b"\x08\0\x52\0CS\0\0",
        )
    ),
    "no command at all": one(pdu(P_DATA, pdv(3, COMMAND | LAST, b""))),
    "a command set of zeros": one(pdu(P_DATA, pdv(3, COMMAND | LAST, bytes(40)))),
    "a data set without a command": one(pdu(P_DATA, pdv(3, LAST, DATASET)), answers=0),
}

PDU_CASES = {
    "a P-DATA without values": one(pdu(P_DATA, b""), answers=0),
    "a value of no bytes": one(pdu(P_DATA, bytes(4))),
    "a value of one byte": one(pdu(P_DATA, b"\0\0\0\1\3")),
    "a value longer than its PDU": one(pdu(P_DATA, b"\0\0\1\0\3\3abc")),
    "bytes after the last value": one(
        pdu(P_DATA, pdv(1, COMMAND | LAST, echo()) + b"\0\0")
    ),
    "reserved bits of the control header": one(
        pdu(P_DATA, pdv(3, COMMAND | LAST | 0xFC, STORE.encode()))
        + pdu(P_DATA, pdv(3, LAST | 0xA8, DATASET))
    ),
    "a reserved byte of a PDU": one(b"\4\xff" + message(1, echo())[2:]),
    "a PDU of an unknown type": one(pdu(9, b"unknown")),
    "a PDU of type 0": one(pdu(0, b"")),
    "a second request": one(Offer().encode()),
    "an A-ASSOCIATE-AC": one(pdu(2, bytes(80))),
    "an A-ASSOCIATE-RJ": one(pdu(3, b"\0\1\1\1")),
    "an A-RELEASE-RP": one(pdu(6, bytes(4))),
}

ENDING_CASES = {
    "release at once": Dialogue(),
    "release with reserved bytes": Dialogue(ending=pdu(5, b"\xff" * 4)),
    "release while a response is outstanding": one(
        message(3, STORE.encode(), DATASET), answers=0
    ),
    "release in the same segment as a store": Dialogue(
        sent=[STORED + RELEASE_RQ], ending=b""
    ),
    "release between command and data set": one(ASKED, answers=0),
    "release in the middle of a data set": one(
        ASKED + pdu(P_DATA, pdv(3, 0, DATASET[:50])),
        answers=0,
    ),
    "release in the middle of a command": one(
        pdu(P_DATA, pdv(3, COMMAND, STORE.encode()[:30])), answers=0
    ),
}
ABORT_CASES = {
    "abort at once": Dialogue(ending=ABORT),
    "abort of the provider's": Dialogue(ending=pdu(7, b"\0\0\2\6")),
    "abort with reserved bytes": Dialogue(ending=pdu(7, b"\xff\xff\0\0")),
    "abort after a response": Dialogue(sent=[STORED], answers=1, ending=ABORT),
    "abort between command and data set": Dialogue(sent=[ASKED], ending=ABORT),
    "abort in the middle of a data set": Dialogue(
        sent=[ASKED + pdu(P_DATA, pdv(3, 0, DATASET[:50]))], ending=ABORT
    ),
    "abort in the middle of a command": Dialogue(
        sent=[pdu(P_DATA, pdv(3, COMMAND, STORE.encode()[:30]))], ending=ABORT
    ),
    "FIN in the middle of a PDU": Dialogue(sent=[ASKED[:40]], ending=None),
}
CASES = ABORT_CASES | COMMAND_CASES | PDU_CASES | ENDING_CASES


@pytest.mark.parametrize("case", CASES)
def test_what_nobody_expects_ends_as_with_pynetdicom(pair: Pair, case: str) -> None:
    assert surprises(case, pair.differ(CASES[case])) == []


# Source 2 is the service provider; 0 would be "reason not specified".
REASONS = {
    "a PDU of an unknown type": 1,
    "a PDU of type 0": 1,
    "a second request": 2,
    "an A-ASSOCIATE-AC": 2,
    "an A-ASSOCIATE-RJ": 2,
    "an A-RELEASE-RP": 2,
    "a P-DATA without values": 6,
    "a value of no bytes": 6,
    "a value longer than its PDU": 6,
}


@pytest.mark.parametrize("case", REASONS)
def test_our_abort_says_what_was_wrong(pair: Pair, case: str) -> None:
    """The reasons are those of PS3.8 9.3.8; pynetdicom never gives one."""
    ours, _ = pair.hold(CASES[case])
    assert ours.heard[-1] == Pdu(7, bytes((0, 0, 2, REASONS[case])))
