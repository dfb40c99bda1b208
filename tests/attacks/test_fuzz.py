"""The fuzzer's sessions: what is valid is served, what is damaged is survived."""

import random

from dicom_node.store.instances import InstanceFiles
from tests.attacks.receiver import Receiver
from tests.attacks.sessions import valid_session
from tests.attacks.wire_fuzz import damaged_session, run_batch, run_session

SEED = 20261122
SESSIONS = 1000


def test_valid_sessions_get_exactly_their_answers(receiver: Receiver) -> None:
    for number in range(60):
        session = valid_session(random.Random(f"valid {number}"))
        answers = run_session(receiver, session.pdus, finish=True)
        expected = session.answers[:]
        assert answers[: len(expected)] == expected, number
        assert set(answers[len(expected) :]) <= {"closed"}, number


def test_the_same_seed_makes_the_same_bytes() -> None:
    assert damaged_session(SEED, 7) == damaged_session(SEED, 7)
    assert damaged_session(SEED, 7) != damaged_session(SEED, 8)


def test_damaged_sessions_are_survived(receiver: Receiver) -> None:
    counts = run_batch(receiver, SEED, range(SESSIONS))
    assert counts["accepted"] > SESSIONS / 2, "most get past the association request"
    assert counts["0x0000"] > SESSIONS / 4
    assert counts["aborted"] > SESSIONS / 10
    files = InstanceFiles(receiver.store)
    assert all(files.intact(key) for key in receiver.known_keys())
