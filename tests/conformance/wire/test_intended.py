"""The table of intended differences says what is tested, and by which clause."""

import re

from tests.conformance.wire import (
    test_events,
    test_fragments,
    test_messages,
    test_negotiation,
    test_unexpected,
)
from tests.conformance.wire.intended import INTENDED, surprises
from tests.conformance.wire.pair import Difference

ELSEWHERE = {"no room for a fragment", "a PDU above the limit"}


def test_every_entry_is_a_case_of_some_test() -> None:
    cases = {
        *test_events.CASES,
        *test_fragments.CASES,
        *test_messages.CASES,
        *test_negotiation.CASES,
        *test_unexpected.CASES,
        *ELSEWHERE,
    }
    assert INTENDED.keys() <= cases


def test_every_entry_names_its_clause() -> None:
    for case, entry in INTENDED.items():
        assert re.match(r"PS3\.\d+ [A-Z0-9]", entry.clause), case
        assert entry.ours or entry.theirs, case


def test_what_is_not_in_the_table_is_a_surprise() -> None:
    difference = Difference(["answer 1: released"], ["answer 1: closed"])
    assert surprises("a store", difference) == [
        "only ours: answer 1: released",
        "only pynetdicom: answer 1: closed",
    ]


def test_what_no_longer_differs_is_a_surprise() -> None:
    case = "no message id"
    assert surprises(case, Difference([], ["answer 1: released"])) == [
        "only ours, no longer so: answer ?: aborted by *"
    ]
