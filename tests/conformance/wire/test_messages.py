"""C-STORE and C-ECHO in every form: the responses and what was kept are pynetdicom's.

The fragments are whole here; test_fragments cuts them.
"""

import pytest

from tests.conformance.wire.datasets import new_uid, small_dataset
from tests.conformance.wire.intended import surprises
from tests.conformance.wire.pair import Dialogue, Pair
from tests.conformance.wire.pdu import (
    BIG_ENDIAN,
    CT,
    EXPLICIT,
    IMPLICIT,
    MR,
    NO_DATASET,
    PRIVATE,
    VERIFICATION,
    Context,
    Offer,
    Store,
    echo,
    message,
    short,
)

# pydicom warns of UIDs that are none; only in tests is that an error.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

UID = new_uid()
DATASET = small_dataset(UID)
STORE = Store(sop_instance_uid=UID)
LONG_UID = "1.2.826.0.1.3680043.10.1." + "9" * 39
MOVE_ORIGINATOR = ((0x1030, b"MOVER "), (0x1031, short(65535)))
UNKNOWN_ELEMENTS = (
    (0x0010, b"ACR-NEMA"),  # (0000,0010) is retired
    (0x0003, b"1.2\0"),
    (0x5110, b"DIALOGUE RECEIVER "),
    (0xFFF0, b""),
)


def store(
    request: Store = STORE, *, context: int = 3, dataset: bytes | None = DATASET
) -> bytes:
    return message(context, request.encode(), dataset)


def one(sent: bytes, *, answers: int = 1) -> Dialogue:
    return Dialogue(sent=[sent], answers=answers)


def instance(uid: str, **more: object) -> bytes:
    """Return a store of an instance with this UID."""
    request = Store(sop_instance_uid=uid, **more)  # type: ignore[arg-type]  # any option, by its name
    return store(request, dataset=small_dataset(uid))


def on_context(context: int, sop_class_uid: str, transfer_syntax_uid: str) -> bytes:
    """Return a store of a data set encoded for the context."""
    uid = new_uid()
    dataset = small_dataset(
        uid, sop_class_uid=sop_class_uid, transfer_syntax_uid=transfer_syntax_uid
    )
    request = Store(sop_instance_uid=uid, sop_class_uid=sop_class_uid)
    return store(request, context=context, dataset=dataset)


STORE_CASES = {
    "a store": one(store()),
    "a store in implicit VR": one(on_context(5, MR, IMPLICIT)),
    "a store in big endian": one(on_context(7, CT, BIG_ENDIAN)),
    "a store of a private class": Dialogue(
        request=Offer(contexts=(Context(3, PRIVATE),)).encode(),
        sent=[on_context(3, PRIVATE, EXPLICIT)],
        answers=1,
    ),
    "stores on three contexts, an echo in between": Dialogue(
        sent=[
            on_context(5, MR, IMPLICIT),
            on_context(3, CT, EXPLICIT),
            message(1, echo(7)),
            on_context(7, CT, BIG_ENDIAN),
            on_context(5, MR, IMPLICIT),
        ],
        answers=5,
    ),
    "twenty stores without waiting": Dialogue(
        sent=[b"".join(instance(new_uid(), message_id=number) for number in range(20))],
        answers=20,
    ),
    "fifty echoes without waiting": Dialogue(
        sent=[b"".join(message(1, echo(number)) for number in range(50))], answers=50
    ),
    "the same instance twice": Dialogue(sent=[store(), store()], answers=2),
    **{
        f"message id {value}": one(store(Store(sop_instance_uid=UID, message_id=value)))
        for value in (0, 1, 255, 256, 32768, 65535)
    },
    **{
        f"priority {value}": one(store(Store(sop_instance_uid=UID, priority=value)))
        for value in (1, 2, 3)
    },
    **{
        f"data set type {value:04X}": one(
            store(Store(sop_instance_uid=UID, dataset_type=value))
        )
        for value in (1, 0x0100, 0x0102, 0xFFFF)
    },
    "a UID of 64 characters": one(instance(LONG_UID)),
    "move originator": one(store(Store(sop_instance_uid=UID, more=MOVE_ORIGINATOR))),
    "unknown elements": one(store(Store(sop_instance_uid=UID, more=UNKNOWN_ELEMENTS))),
    "a UID padded with a space": one(
        store(Store(sop_instance_uid=UID, more=((0x1000, UID.encode().ljust(32)),)))
    ),
    "an odd UID without padding": one(
        store(Store(sop_instance_uid=UID, more=((0x0002, CT.encode()),)))
    ),
    "no priority": one(
        store(Store(sop_instance_uid=UID, without=(0x0700,))), answers=0
    ),
    "no group length": one(message(3, STORE.encode()[12:], DATASET)),
    "a group length that is wrong": one(
        message(3, STORE.encode()[:8] + b"\1\0\0\0" + STORE.encode()[12:], DATASET)
    ),
}

REFUSED_CASES = {
    "no message id": one(
        store(Store(sop_instance_uid=UID, without=(0x0110,))), answers=0
    ),
    "no command field": one(
        store(Store(sop_instance_uid=UID, without=(0x0100,))), answers=0
    ),
    "no data set type": one(
        store(Store(sop_instance_uid=UID, without=(0x0800,))), answers=0
    ),
    "no affected class": one(
        store(Store(sop_instance_uid=UID, without=(0x0002,))), answers=0
    ),
    "no affected instance": one(
        store(Store(sop_instance_uid=UID, without=(0x1000,))), answers=0
    ),
    "no data set announced": one(
        store(Store(sop_instance_uid=UID, dataset_type=NO_DATASET), dataset=None),
        answers=0,
    ),
    "a data set of no bytes": one(store(dataset=b"")),
    "a data set of one byte": one(store(dataset=b"\x08")),
    "a data set of two bytes": one(store(dataset=b"\x08\0")),
    "a data set cut in an element": one(store(dataset=DATASET[:-3])),
    "another class than the context's": one(
        store(Store(sop_instance_uid=UID, sop_class_uid=MR))
    ),
    "another instance than the data set's": one(store(Store(sop_instance_uid="1.2.3"))),
    "a data set in another syntax": one(
        store(dataset=small_dataset(UID, transfer_syntax_uid=BIG_ENDIAN))
    ),
    "a store on the verification context": one(store(context=1)),
    "verification as a store": one(
        store(Store(sop_instance_uid=UID, sop_class_uid=VERIFICATION), context=1)
    ),
    "a store on a context that was never offered": one(store(context=99)),
    "a store on a context that was refused": Dialogue(
        request=Offer(
            contexts=(Context(1, VERIFICATION, (IMPLICIT,)), Context(3, CT, ("1.2.3",)))
        ).encode(),
        sent=[store()],
        answers=1,
    ),
}

ECHO_CASES = {
    "an echo": one(message(1, echo())),
    **{f"an echo with message id {n}": one(message(1, echo(n))) for n in (0, 65535)},
    "an echo of a storage class": one(message(3, echo(1, CT))),
    "an echo on a storage context": one(message(3, echo())),
    "an echo on a context that was never offered": one(message(99, echo())),
}

CASES = STORE_CASES | REFUSED_CASES | ECHO_CASES


@pytest.mark.parametrize("case", CASES)
def test_a_message_is_answered_and_kept_as_pynetdicom_does(
    pair: Pair, case: str
) -> None:
    assert surprises(case, pair.differ(CASES[case])) == []
