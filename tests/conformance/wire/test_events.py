"""N-EVENT-REPORT of Storage Commitment: roles and responses are pynetdicom's."""

import pytest

from tests.conformance.wire.answers import statuses
from tests.conformance.wire.events import (
    COMMITMENT,
    CONTEXTS,
    ROLE_SCP,
    TRANSACTION,
    Event,
    event_offer,
    information,
)
from tests.conformance.wire.intended import surprises
from tests.conformance.wire.pair import Dialogue, Pair
from tests.conformance.wire.pdu import (
    BIG_ENDIAN,
    CT,
    EXPLICIT,
    IMPLICIT,
    NO_DATASET,
    Context,
    command_set,
    echo,
    message,
    role,
    short,
    uid_value,
)

# pydicom warns of UIDs that are none; only in tests is that an error.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

ONE = information(TRANSACTION, committed=["1.2.3"])
SOME = information(TRANSACTION, committed=["1.2.3"], failed={"1.2.4": 0x0112})


def told(
    event: Event | None = None,
    dataset: bytes | None = ONE,
    *,
    context: int = 1,
    answers: int = 1,
) -> Dialogue:
    """Return an event on the association that an archive opens."""
    return Dialogue(
        request=event_offer(ROLE_SCP).encode(),
        sent=[message(context, (event or Event()).encode(), dataset)],
        answers=answers,
    )


def offered(*user_items: bytes, contexts: tuple[Context, ...] = CONTEXTS) -> Dialogue:
    return Dialogue(request=event_offer(*user_items, contexts=contexts).encode())


ROLE_CASES = {
    "commitment: the requestor is SCP": offered(ROLE_SCP),
    "commitment: the requestor is SCU and SCP": offered(role(COMMITMENT, 1, 1)),
    "commitment: the requestor is SCU": offered(role(COMMITMENT, 1, 0)),
    "commitment: the requestor is nothing": offered(role(COMMITMENT, 0, 0)),
    "commitment: no role": offered(),
    "commitment: the role of another class": offered(role(CT, 0, 1)),
    "commitment: roles of two classes": offered(role(CT, 1, 0), ROLE_SCP),
    "commitment in two contexts": offered(
        ROLE_SCP,
        contexts=(
            Context(1, COMMITMENT, (IMPLICIT,)),
            Context(3, COMMITMENT, (EXPLICIT,)),
        ),
    ),
    "commitment in both syntaxes": offered(
        ROLE_SCP, contexts=(Context(1, COMMITMENT, (IMPLICIT, EXPLICIT)),)
    ),
    "commitment in big endian": offered(
        ROLE_SCP, contexts=(Context(1, COMMITMENT, (BIG_ENDIAN,)),)
    ),
}

EVENT_CASES = {
    "everything is committed": told(),
    "something is not committed": told(Event(event_type=2), SOME),
    "nothing is committed": told(
        Event(event_type=2), information(TRANSACTION, failed={"1.2.3": 0x0110})
    ),
    "an event in explicit VR": told(
        dataset=information(TRANSACTION, committed=["1.2.3"], explicit=True), context=3
    ),
    "an event in 50 fragments": Dialogue(
        request=event_offer(ROLE_SCP).encode(),
        sent=[
            message(
                1,
                Event().encode(),
                information(TRANSACTION, committed=[f"1.2.{n}" for n in range(60)]),
                size=64,
            )
        ],
        answers=1,
    ),
    "an event with message id 65535": told(Event(message_id=65535)),
}
REFUSED_CASES = {
    "an unknown transaction": told(dataset=information("1.2.999", committed=["1.2.3"])),
    "an event of an unknown type": told(Event(event_type=3)),
    "an event without a type": told(Event(without=(0x1002,)), answers=0),
    "an event of another instance": told(Event(instance="1.2.3")),
    "an event of another class": told(Event(sop_class=CT)),
    "an event without information": told(
        Event(dataset_type=NO_DATASET), None, answers=0
    ),
    "an event of no bytes": told(dataset=b""),
    "an event without a transaction": told(
        dataset=information(None, committed=["1.2.3"])
    ),
    "an event that names nothing": told(dataset=information(TRANSACTION)),
    "an event cut in an element": told(dataset=ONE[:-3]),
    "an event of random bytes": told(dataset=bytes(range(8, 208))),
}
UNSERVED_CASES = {
    "an action on the commitment context": Dialogue(
        request=event_offer(ROLE_SCP).encode(),
        sent=[
            message(
                1,
                command_set(
                    [
                        (0x0003, uid_value(COMMITMENT)),
                        (0x0100, short(0x0130)),
                        (0x0110, short(1)),
                        (0x0800, short(0)),
                        (0x1001, uid_value("1.2.840.10008.1.20.1.1")),
                        (0x1008, short(1)),
                    ]
                ),
                ONE,
            )
        ],
        answers=1,
    ),
    "an event on a storage context": told(context=5),
}
CASES = ROLE_CASES | EVENT_CASES | REFUSED_CASES | UNSERVED_CASES


@pytest.mark.parametrize("case", CASES)
def test_an_event_is_answered_as_by_pynetdicom(pair: Pair, case: str) -> None:
    assert surprises(case, pair.differ(CASES[case])) == []


def test_what_was_committed_and_what_failed_is_told_once(pair: Pair) -> None:
    before = len(pair.node.reports)

    pair.hold(told(Event(event_type=2), SOME))

    (report,) = pair.node.reports[before:]
    assert report.transaction_uid == TRANSACTION
    assert report.committed == {"1.2.3"}
    assert report.failed == {"1.2.4": 0x0112}


def test_what_is_named_as_failed_is_not_committed_whatever_else_is_said(
    pair: Pair,
) -> None:
    before = len(pair.node.reports)

    both = information(TRANSACTION, committed=["1.2.3"], failed={"1.2.3": 0x0213})
    pair.hold(told(dataset=both))

    (report,) = pair.node.reports[before:]
    assert (report.committed, report.failed) == (frozenset(), {"1.2.3": 0x0213})


def test_events_and_echoes_are_answered_in_their_order(pair: Pair) -> None:
    """Pynetdicom answers events in a thread of their own, whenever it comes to them."""
    sent = [
        message(9, echo(1)),
        message(1, Event(message_id=2).encode(), ONE)
        + message(3, Event(message_id=3).encode(), explicit_one()),
        message(9, echo(4)),
    ]
    request = event_offer(ROLE_SCP).encode()
    ours, _ = pair.hold(Dialogue(request=request, sent=sent, answers=4))

    assert [
        line.partition(": ")[2] for line in ours.lines() if "message id" in line
    ] == [f"message id {number:04X}" for number in (1, 2, 3, 4)]
    assert statuses(ours.heard) == [0, 0, 0, 0]


def explicit_one() -> bytes:
    return information(TRANSACTION, committed=["1.2.3"], explicit=True)
