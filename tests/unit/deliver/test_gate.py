"""The gate is closed only when somebody stands before it."""

import threading
from collections.abc import Iterator

import pytest

from dicom_node.deliver.gate import Gate


class Walker(threading.Thread):
    """Goes through a gate again and again, as pynetdicom's thread does."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(daemon=True)
        self._gate = gate
        self._errand = threading.Event()
        self.rounds = 0
        self.over = False

    def run(self) -> None:
        while not self.over:
            self._gate.wait()
            self._errand.wait(0.0002)
            self.rounds += 1


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def walker(gate: Gate) -> Iterator[Walker]:
    walker = Walker(gate)
    walker.start()
    yield walker
    walker.over = True
    gate.set()
    walker.join(5)


def test_nobody_is_behind_a_gate_that_stopped_somebody(
    gate: Gate, walker: Walker
) -> None:
    for _ in range(200):
        gate.stop(walker)
        rounds = walker.rounds
        walker.join(0.001)
        assert walker.rounds == rounds
        gate.set()
        while walker.rounds == rounds:
            walker.join(0.0001)


def test_an_open_gate_lets_everybody_through(gate: Gate) -> None:
    assert gate.is_set()
    assert gate.wait(0)


def test_a_closed_gate_is_waited_for_no_longer_than_asked(gate: Gate) -> None:
    gate.clear()
    assert not gate.wait(0.001)


def test_a_thread_that_has_ended_is_not_waited_for(gate: Gate) -> None:
    ended = threading.Thread(target=int)
    ended.start()
    ended.join()
    gate.stop(ended)
    assert not gate.is_set()
