"""What an A-ASSOCIATE-RQ may hold besides what pynetdicom reads."""

import pytest
from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.admission import CALLED_UNKNOWN, CALLING_UNKNOWN, Rejection
from dicom_node.receive.contexts import refused_contexts, supported_contexts
from dicom_node.receive.negotiate import accept, read_offer
from dicom_node.receive.request import CALLED, CALLING, read_request
from tests.conformance.wire.pdu import (
    APPLICATION_CONTEXT,
    CONTEXTS,
    CT,
    EXPLICIT,
    Offer,
    item,
    max_length,
    user_item,
)

# pydicom warns of what is no UID; the node lets no warning through.
pytestmark = pytest.mark.filterwarnings("ignore:.*for VR UI")

PLAIN = Offer().encode()
CT_IN_EXPLICIT = CT.encode(), EXPLICIT.encode()


def test_a_request_without_surprises_stays_as_it_is() -> None:
    assert read_request(PLAIN).encoded == PLAIN
    assert read_request(PLAIN).fault is None


def test_items_that_nobody_knows_are_dropped() -> None:
    offer = Offer(
        user_items=(user_item(0x7F, b"new"), max_length(16384), user_item(0x5A, b"")),
        more_items=item(0x77, b"newer"),
    )
    known = Offer(user_items=(max_length(16384),))
    assert read_request(offer.encode()).encoded == known.encode()


@pytest.mark.parametrize("kind", [0, 6, 255])
def test_a_user_identity_of_a_kind_that_nobody_knows_is_dropped(kind: int) -> None:
    """PS3.7 D.3.3.7.1 has kinds 1 to 5; editions before 2020 had fewer."""
    value = bytes((kind, 1, 0, 1)) + b"u" + bytes(2)
    offer = Offer(user_items=(max_length(16384), user_item(0x58, value)))
    known = Offer(user_items=(max_length(16384),))
    assert read_request(offer.encode()).encoded == known.encode()


def test_a_user_identity_of_a_known_kind_stays() -> None:
    for kind in range(1, 6):
        value = bytes((kind, 1, 0, 1)) + b"u" + bytes(2)
        offer = Offer(user_items=(max_length(16384), user_item(0x58, value))).encode()
        assert read_request(offer).encoded == offer


def test_titles_padded_with_zeros_are_taken() -> None:
    offer = Offer(called=b"AINODE".ljust(16, b"\0"), calling=b"RAW".ljust(16, b"\0"))
    request = read_request(offer.encode())
    assert request.fault is None
    assert request.encoded[CALLED] == b"AINODE".ljust(16)
    assert request.encoded[CALLING] == b"RAW".ljust(16)


@pytest.mark.parametrize(
    "title", [b"", b" ", b"\0", b"A\\B", b"A\nB", b"\xff", b"A\0B"]
)
def test_a_title_that_is_none_is_not_recognized(title: bytes) -> None:
    field = title.ljust(16)
    faults: list[Rejection | None] = [
        read_request(Offer(called=field).encode()).fault,
        read_request(Offer(calling=field).encode()).fault,
        read_request(Offer(called=field, calling=field).encode()).fault,
    ]
    assert faults == [CALLED_UNKNOWN, CALLING_UNKNOWN, CALLED_UNKNOWN]


def test_a_request_is_refused_unless_it_ends_with_an_item() -> None:
    items = [item(0x10, APPLICATION_CONTEXT), *(c.encode() for c in CONTEXTS)]
    ends = {74 + sum(map(len, items[:count])) for count in range(len(items) + 1)}
    for size in range(74, len(PLAIN)):
        if size in ends:
            assert read_request(PLAIN[:size]).encoded[74:] == PLAIN[74:size]
        else:
            with pytest.raises(CannotUnderstand, match="cut off"):
                read_request(PLAIN[:size])


def test_a_request_without_its_titles_is_refused() -> None:
    with pytest.raises(CannotUnderstand, match="cut off"):
        read_request(PLAIN[:73])


TOO_LONG = b"1.2.840." + b"9" * 60
NO_UIDS = [
    TOO_LONG,
    b"1.2.\xff",
    b"1.2.x",
    b"1..2",
    b"\xe6\xbc\xa2",
    b"1.2." + b"\0" * 70,
]


def context(number: int, abstract: bytes, *syntaxes: bytes) -> bytes:
    names = [item(0x30, abstract), *(item(0x40, syntax) for syntax in syntaxes)]
    return item(0x20, bytes((number, 0, 0, 0)) + b"".join(names))


def results(*contexts: bytes) -> dict[int | None, int | None]:
    """Negotiate these contexts and say the result of each (PS3.8 9.3.3.2)."""
    items = Offer(contexts=(), more_items=b"".join(contexts))
    offer = read_offer(items.encode())
    supported = supported_contexts(offer.contexts, frozenset({EXPLICIT}))
    answer = accept(offer, supported, max_pdu_bytes=16384)
    decoded = A_ASSOCIATE_AC()
    decoded.decode(answer.encoded)
    said = {c.context_id: c.result for c in decoded.presentation_context}
    assert said == answer.results
    assert all(
        UID(c.transfer_syntax or "").is_valid for c in decoded.presentation_context
    )
    return said


@pytest.mark.parametrize("name", NO_UIDS)
def test_an_abstract_syntax_that_is_no_uid_costs_its_context_only(name: bytes) -> None:
    bad, good = context(1, name, EXPLICIT.encode()), context(3, *CT_IN_EXPLICIT)
    assert results(bad, good) == {1: 3, 3: 0}


@pytest.mark.parametrize("name", NO_UIDS)
def test_a_transfer_syntax_that_is_no_uid_is_passed_over(name: bytes) -> None:
    among, alone = (
        context(1, CT_IN_EXPLICIT[0], name, EXPLICIT.encode()),
        context(3, CT_IN_EXPLICIT[0], name),
    )
    assert results(among, alone) == {1: 0, 3: 4}


def test_what_can_be_shown_of_a_name_that_is_none_is_recorded() -> None:
    offer = read_offer(
        Offer(contexts=(), more_items=context(1, TOO_LONG, TOO_LONG)).encode()
    )
    (refused,) = refused_contexts(offer.contexts, {1: 3})
    assert refused.sop_class_uid == "1.2.840." + "9" * 55 + "."
    assert refused.transfer_syntax_uids == (refused.sop_class_uid,)


@pytest.mark.parametrize("name", [TOO_LONG, b"\xff"])
def test_an_application_context_that_is_no_uid_is_not_supported(name: bytes) -> None:
    """PS3.8 Table 9-21: application-context-name-not-supported."""
    assert read_offer(Offer(application_context=name).encode()).fault == Rejection(
        1, 1, 2, "application context not supported"
    )


def counted(name: bytes) -> bytes:
    return len(name).to_bytes(2) + name


@pytest.mark.parametrize(
    "sloppy",
    [
        user_item(0x52, TOO_LONG),
        user_item(0x52, b"\xff"),
        user_item(0x55, b"A VERSION OF MORE THAN 16"),
        user_item(0x55, "版本".encode()),
        user_item(0x54, counted(TOO_LONG) + b"\1\1"),
        user_item(0x54, counted(b"1.2.840.10008.5.1.4.1.1.2") + b"\2\x09"),
        user_item(0x56, counted(b"\xff") + b"\2"),
        user_item(0x57, counted(TOO_LONG) + counted(b"1.2") + bytes(2)),
    ],
)
def test_what_a_sender_says_of_itself_badly_does_not_cost_it_the_association(
    sloppy: bytes,
) -> None:
    offer = Offer(user_items=(sloppy, max_length(16384)))
    assert read_offer(offer.encode()).max_pdu_bytes == 16384
