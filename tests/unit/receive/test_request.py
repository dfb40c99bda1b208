"""What an A-ASSOCIATE-RQ may hold besides what pynetdicom reads."""

import pytest

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.admission import CALLED_UNKNOWN, CALLING_UNKNOWN, Rejection
from dicom_node.receive.request import CALLED, CALLING, read_request
from tests.conformance.wire.pdu import (
    APPLICATION_CONTEXT,
    CONTEXTS,
    Offer,
    item,
    max_length,
    user_item,
)

PLAIN = Offer().encode()


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
