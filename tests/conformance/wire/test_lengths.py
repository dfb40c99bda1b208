"""Maximum PDU lengths in both directions (PS3.8 D.1)."""

from collections.abc import Iterator

import pytest

from tests.conformance.wire.answers import Pdu, pdvs, statuses
from tests.conformance.wire.datasets import new_uid, small_dataset
from tests.conformance.wire.intended import surprises
from tests.conformance.wire.pair import (
    Dialogue,
    Difference,
    Outcome,
    Pair,
    running_pair,
)
from tests.conformance.wire.pdu import (
    COMMAND,
    CT,
    EXPLICIT,
    IMPLEMENTATION,
    LAST,
    P_DATA,
    Context,
    Offer,
    Store,
    echo,
    max_length,
    message,
    pdu,
    pdv,
)

PDV_HEADER = 6
# Some senders count the PDU's own header into the length; that much is borne.
TOLERANCE = 1024


def announcing(length: int) -> Dialogue:
    """Return a store and an echo of a sender that takes PDUs of this length."""
    uid = new_uid()
    offer = Offer(user_items=(max_length(length), IMPLEMENTATION))
    stored = message(3, Store(sop_instance_uid=uid).encode(), small_dataset(uid))
    return Dialogue(
        request=offer.encode(), sent=[stored, message(1, echo(2))], answers=2
    )


def data_pdus(outcome: Outcome) -> list[Pdu]:
    return [answer for answer in outcome.heard if answer.kind == P_DATA]


@pytest.mark.parametrize("length", [0, 4096, 16384, 131072, 1 << 20, 0xFFFFFFFF])
def test_responses_come_whole_to_a_sender_that_takes_them(
    pair: Pair, length: int
) -> None:
    dialogue = announcing(length)
    ours, theirs = pair.hold(dialogue)
    assert ours.lines() == theirs.lines()
    assert len(data_pdus(ours)) == 2


@pytest.mark.parametrize("length", [128, 64, 63, 12, 8, 7])
def test_responses_are_cut_to_the_length_that_the_sender_takes(
    pair: Pair, length: int
) -> None:
    dialogue = announcing(length)
    ours, theirs = pair.hold(dialogue)
    assert ours.lines() == theirs.lines()
    assert statuses(ours.heard) == [0, 0]
    assert max(len(answer.body) for answer in data_pdus(ours)) <= length
    for answer in data_pdus(ours):
        assert all(fragment for _, _, fragment in pdvs(answer.body))


@pytest.mark.parametrize("length", [1, 6])
def test_a_length_that_holds_no_fragment_ends_the_association(
    pair: Pair, length: int
) -> None:
    dialogue = Dialogue(
        request=Offer(user_items=(max_length(length), IMPLEMENTATION)).encode(),
        sent=[message(1, echo())],
        answers=1,
    )
    assert surprises("no room for a fragment", pair.differ(dialogue)) == []


@pytest.fixture(scope="module", params=[4096, 16384, 1 << 20])
def limited(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Pair, int]]:
    """A pair with another limit than that of the rest, and the limit."""
    limit: int = request.param
    with running_pair(
        tmp_path_factory.mktemp("limited"), max_pdu_bytes=limit
    ) as running:
        yield running, limit


def large(limit: int, size: int) -> bytes:
    """Return a store whose data set fills three PDUs with variable fields of a size."""
    uid = new_uid()
    dataset = small_dataset(uid, filler=3 * limit)
    return message(
        3, Store(sop_instance_uid=uid).encode(), dataset, size=size - PDV_HEADER
    )


def test_our_limit_is_announced_and_pdus_of_that_size_are_taken(
    limited: tuple[Pair, int],
) -> None:
    pair, limit = limited
    dialogue = Dialogue(sent=[large(limit, limit), large(limit, 1001)], answers=2)
    ours, theirs = pair.hold(dialogue)
    assert ours.lines() == theirs.lines()
    assert f"answer 0: maximum length {limit}" in ours.lines()
    assert [len(item.dataset) > 3 * limit for item in ours.stored] == [True, True]


def test_two_values_may_fill_a_pdu(limited: tuple[Pair, int]) -> None:
    pair, limit = limited
    uid = new_uid()
    command = Store(sop_instance_uid=uid).encode()
    room = limit - 2 * PDV_HEADER - len(command)
    rest = room - len(small_dataset(uid, filler=2)) + 2
    dataset = small_dataset(uid, filler=rest // 2 * 2)
    sent = pdu(P_DATA, pdv(3, COMMAND | LAST, command) + pdv(3, LAST, dataset))
    assert limit - 2 <= len(sent) - 6 <= limit
    ours, theirs = pair.hold(Dialogue(sent=[sent], answers=1))
    assert ours.lines() == theirs.lines()
    assert statuses(ours.heard) == [0]


def test_a_pdu_above_our_limit_is_a_protocol_error(limited: tuple[Pair, int]) -> None:
    pair, limit = limited
    sent = large(limit, limit + TOLERANCE + 2)
    difference = pair.differ(Dialogue(sent=[sent], answers=1))
    assert surprises("a PDU above the limit", difference) == []


def test_a_request_above_our_limit_of_pdus_is_no_error(
    limited: tuple[Pair, int],
) -> None:
    """The limit is on P-DATA-TF alone (PS3.8 D.1)."""
    pair, limit = limited
    syntaxes = (*(f"1.2.826.0.1.3680043.10.4.{n}" for n in range(250)), EXPLICIT)
    offer = Offer(
        contexts=tuple(Context(n, CT, syntaxes) for n in range(1, 2 + limit // 4000, 2))
        if limit < 100_000
        else (Context(1, CT, syntaxes),)
    )
    assert limit > 100_000 or len(offer.encode()) > limit
    assert pair.differ(Dialogue(request=offer.encode())) == Difference([], [])
