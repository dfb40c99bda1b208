"""Which receivers count as stuck."""

from dataclasses import dataclass
from pathlib import Path

from dicom_node.observe.slots import Slot
from dicom_node.supervise import Beats


@dataclass
class _Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> "_Clock":
        self.now += seconds
        return self


def _looks(beats: Beats, clock: _Clock, folder: Path, *, seconds: int) -> list[int]:
    """Look once a second; return after how many seconds something was stuck."""
    return [
        second
        for second in range(1, seconds + 1)
        if clock.pass_by(1) and beats.stuck(folder)
    ]


def test_a_receiver_whose_sign_of_life_stays_the_same_is_stuck_once(
    tmp_path: Path,
) -> None:
    clock = _Clock()
    beats = Beats(30, clock)
    slot = Slot(tmp_path, "receive")
    slot.beat()
    assert _looks(beats, clock, tmp_path, seconds=60) == [32]
    slot.close()


def test_a_receiver_that_goes_on_is_not_stuck(tmp_path: Path) -> None:
    clock = _Clock()
    beats = Beats(30, clock)
    slot = Slot(tmp_path, "receive")
    for _ in range(10):
        slot.beat()
        assert _looks(beats, clock, tmp_path, seconds=20) == []
    slot.close()


def test_a_machine_that_slept_has_no_stuck_receiver(tmp_path: Path) -> None:
    clock = _Clock()
    beats = Beats(30, clock)
    slot = Slot(tmp_path, "receive")
    slot.beat()
    assert _looks(beats, clock, tmp_path, seconds=5) == []
    clock.pass_by(86_400)
    assert beats.stuck(tmp_path) == []
    slot.close()


def test_a_receiver_that_never_gave_a_sign_of_life_is_left_alone(
    tmp_path: Path,
) -> None:
    clock = _Clock()
    beats = Beats(30, clock)
    slot = Slot(tmp_path, "receive")
    assert _looks(beats, clock, tmp_path, seconds=60) == []
    slot.close()
    assert _looks(beats, clock, tmp_path, seconds=60) == []


def test_a_dead_receiver_is_not_stuck(tmp_path: Path) -> None:
    clock = _Clock()
    beats = Beats(30, clock)
    slot = Slot(tmp_path, "receive")
    slot.beat()
    slot.values[1] = 2.0**22 + 1  # a process id that cannot be
    assert _looks(beats, clock, tmp_path, seconds=60) == []
    slot.close()
