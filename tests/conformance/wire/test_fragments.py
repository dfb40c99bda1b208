"""The same message cut in every way is the same message (PS3.8 E.1, 9.3.5)."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.wire.datasets import new_uid, small_dataset
from tests.conformance.wire.intended import surprises
from tests.conformance.wire.pair import Dialogue, Pair
from tests.conformance.wire.pdu import (
    BIG_ENDIAN,
    COMMAND,
    CT,
    EXPLICIT,
    IMPLICIT,
    LAST,
    MR,
    P_DATA,
    Store,
    echo,
    fragments,
    message,
    pdu,
    pdv,
    split,
)

# Context id, SOP class and transfer syntax of the contexts that are offered.
PLACES = ((3, CT, EXPLICIT), (5, MR, IMPLICIT), (7, CT, BIG_ENDIAN))
UID = new_uid()
COMMAND_SET = Store(sop_instance_uid=UID).encode()
DATASET = small_dataset(UID)
HALF = len(DATASET) // 2


@dataclass(frozen=True, slots=True)
class Cuts:
    """How one store is cut.

    Args:
        place: index into PLACES.
        filler: size of the data set's last element.
        command: sizes of the command's fragments; the rest is one more.
        dataset: the same for the data set.
        values: how many PDVs go into each PDU; the rest goes into one more.
    """

    place: int
    filler: int
    command: list[int]
    dataset: list[int]
    values: list[int]

    def encode(self) -> bytes:
        """Return the PDUs of the store."""
        context_id, sop_class_uid, syntax = PLACES[self.place]
        uid = new_uid()
        command = Store(sop_instance_uid=uid, sop_class_uid=sop_class_uid).encode()
        content = small_dataset(
            uid,
            sop_class_uid=sop_class_uid,
            transfer_syntax_uid=syntax,
            filler=self.filler,
        )
        items = fragments(context_id, COMMAND, split(command, self.command))
        items += fragments(context_id, 0, split(content, self.dataset))
        return b"".join(pdu(P_DATA, b"".join(group)) for group in self._groups(items))

    def _groups(self, items: list[bytes]) -> list[list[bytes]]:
        groups = []
        for count in self.values:
            groups.append(items[:count])
            items = items[count:]
        return [group for group in [*groups, items] if group]


def sizes(most: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, most), max_size=8)


CUTS = st.builds(
    Cuts,
    place=st.integers(0, len(PLACES) - 1),
    filler=st.integers(0, 400).map(lambda half: 2 * half),
    command=sizes(60),
    dataset=sizes(120),
    values=st.lists(st.integers(1, 4), max_size=8),
)


@settings(derandomize=True, max_examples=40, deadline=None, database=None)
@given(stores=st.lists(CUTS, min_size=1, max_size=3), segments=sizes(300))
def test_any_cut_is_answered_and_kept_as_pynetdicom_does(
    pair: Pair, stores: list[Cuts], segments: list[int]
) -> None:
    sent = b"".join(store.encode() for store in stores)
    dialogue = Dialogue(
        sent=[block for block in split(sent, segments) if block], answers=len(stores)
    )
    ours, theirs = pair.hold(dialogue)
    assert ours.lines() == theirs.lines()
    assert len(ours.stored) == len(stores)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_every_fragment_may_be_tiny(pair: Pair, size: int) -> None:
    def pieces(content: bytes) -> list[bytes]:
        return [content[at : at + size] for at in range(0, len(content), size)]

    items = fragments(3, COMMAND, pieces(COMMAND_SET)) + fragments(
        3, 0, pieces(DATASET)
    )
    apart = b"".join(pdu(P_DATA, value) for value in items)
    together = pdu(P_DATA, b"".join(items))
    difference = pair.differ(Dialogue(sent=[apart, together], answers=2))
    assert surprises("tiny fragments", difference) == []


def test_every_byte_may_come_alone(pair: Pair) -> None:
    sent = message(3, COMMAND_SET, DATASET) + message(1, echo(2))
    alone = [sent[at : at + 1] for at in range(len(sent))]
    difference = pair.differ(Dialogue(sent=alone, answers=2))
    assert surprises("bytes alone", difference) == []


@pytest.mark.parametrize("at", range(1, 7))
def test_a_pdu_header_may_come_in_two_segments(pair: Pair, at: int) -> None:
    sent = [
        part
        for whole in (message(1, echo()), message(3, COMMAND_SET, DATASET))
        for part in (whole[:at], whole[at:])
    ]
    assert surprises("header", pair.differ(Dialogue(sent=sent, answers=2))) == []


def values(*items: bytes) -> bytes:
    return pdu(P_DATA, b"".join(items))


FULL_COMMAND = pdv(3, COMMAND | LAST, COMMAND_SET)
CASES = {
    "command and data set in one PDU": [
        values(FULL_COMMAND, pdv(3, LAST, DATASET)),
    ],
    "command and half the data set in one PDU": [
        values(FULL_COMMAND, pdv(3, 0, DATASET[:HALF])),
        values(pdv(3, LAST, DATASET[HALF:])),
    ],
    "half the command, then the rest with the data set": [
        values(pdv(3, COMMAND, COMMAND_SET[:40])),
        values(pdv(3, COMMAND | LAST, COMMAND_SET[40:]), pdv(3, LAST, DATASET)),
    ],
    "empty fragments": [
        values(pdv(3, COMMAND, b"")),
        values(FULL_COMMAND, pdv(3, 0, b"")),
        values(pdv(3, 0, DATASET)),
        values(pdv(3, 0, b""), pdv(3, LAST, b"")),
    ],
    "an empty last command fragment": [
        values(pdv(3, COMMAND, COMMAND_SET), pdv(3, COMMAND | LAST, b"")),
        values(pdv(3, LAST, DATASET)),
    ],
    "the data set before the command's end": [
        values(pdv(3, COMMAND, COMMAND_SET[:40]), pdv(3, 0, DATASET[:HALF])),
        values(pdv(3, COMMAND | LAST, COMMAND_SET[40:])),
        values(pdv(3, LAST, DATASET[HALF:])),
    ],
    "a command in the middle of a data set": [
        values(FULL_COMMAND, pdv(3, 0, DATASET[:HALF])),
        values(pdv(1, COMMAND | LAST, echo(2))),
        values(pdv(3, LAST, DATASET[HALF:])),
    ],
    "a data set on two contexts": [
        values(FULL_COMMAND, pdv(3, 0, DATASET[:HALF])),
        values(pdv(7, LAST, DATASET[HALF:])),
    ],
    "a command on two contexts": [
        values(pdv(1, COMMAND, COMMAND_SET[:40])),
        values(pdv(3, COMMAND | LAST, COMMAND_SET[40:])),
        values(pdv(3, LAST, DATASET)),
    ],
    "three messages in one PDU": [
        values(
            pdv(1, COMMAND | LAST, echo(1)),
            pdv(1, COMMAND | LAST, echo(2)),
            pdv(1, COMMAND | LAST, echo(3)),
        )
    ],
    "the end of one message and the next in one PDU": [
        values(FULL_COMMAND),
        values(pdv(3, LAST, DATASET), pdv(1, COMMAND | LAST, echo(2))),
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_interleaved_values_are_taken_as_pynetdicom_takes_them(
    pair: Pair, case: str
) -> None:
    dialogue = Dialogue(sent=CASES[case], answers=1)
    assert surprises(case, pair.differ(dialogue)) == []


def test_the_cuts_of_these_tests_are_what_they_say() -> None:
    items = fragments(3, COMMAND, split(b"abcdef", [2, 0, 3]))
    assert items == [
        pdv(3, COMMAND, b"ab"),
        pdv(3, COMMAND, b""),
        pdv(3, COMMAND, b"cde"),
        pdv(3, COMMAND | LAST, b"f"),
    ]
    starts = [DATASET.index(uid.encode()) for uid in (CT, UID)]
    assert all(one < two for one, two in pairwise(starts))
