"""Slots: numbers of one process that others read and the next one continues."""

import os
import threading
from pathlib import Path

import pytest

from dicom_node.observe.slots import Slot, SlotReading, read_slots


def _only(folder: Path) -> SlotReading:
    [reading] = read_slots(folder)
    return reading


def test_others_read_what_a_process_counted(tmp_path: Path) -> None:
    slot = Slot(tmp_path, "receive")
    slot.add(slot.counter("stored", "ae", "CT1"), 2)
    slot.add(slot.counter("stored", "ae", "CT1"))
    reading = _only(tmp_path)
    assert reading.values == {("stored", "ae", "CT1"): 3.0}
    assert (reading.role, reading.pid, reading.alive) == ("receive", os.getpid(), True)
    assert reading.parent == os.getppid()
    slot.close()


def test_the_next_process_goes_on_counting_and_starts_its_gauges_anew(
    tmp_path: Path,
) -> None:
    first = Slot(tmp_path, "receive")
    first.add(first.counter("stored"), 5)
    first.add(first.gauge("open"), 3)
    first.let_go()  # as after kill -9: nothing is tidied
    assert _only(tmp_path).values == {("stored",): 5.0, ("open",): 3.0}
    second = Slot(tmp_path, "receive")
    second.add(second.counter("stored"))
    second.gauge("open")
    assert _only(tmp_path).values == {("stored",): 6.0, ("open",): 0.0}
    second.close()


def test_a_closed_slot_shows_nobody_alive_and_its_counters(tmp_path: Path) -> None:
    slot = Slot(tmp_path, "receive")
    slot.add(slot.counter("stored"), 5)
    slot.add(slot.gauge("open"))
    slot.beat()
    slot.close()
    reading = _only(tmp_path)
    assert (reading.alive, reading.beat) == (False, 0.0)
    assert reading.values == {("stored",): 5.0, ("open",): 0.0}


def test_late_calls_after_the_end_count_nowhere(tmp_path: Path) -> None:
    slot = Slot(tmp_path, "receive")
    index = slot.counter("stored")
    slot.close()
    slot.add(index)
    slot.beat()
    assert _only(tmp_path).values == {("stored",): 0.0}


def test_two_processes_of_a_role_have_a_slot_each(tmp_path: Path) -> None:
    slots = [Slot(tmp_path, "receive"), Slot(tmp_path, "receive")]
    for number, slot in enumerate(slots):
        slot.add(slot.counter("stored"), number + 1)
    assert [reading.values[("stored",)] for reading in read_slots(tmp_path)] == [1, 2]
    for slot in slots:
        slot.close()


def test_a_process_that_died_is_not_alive_though_its_slot_says_so(
    tmp_path: Path,
) -> None:
    pid = os.fork()
    if pid == 0:
        Slot(tmp_path, "receive").beat()
        os._exit(0)
    os.waitpid(pid, 0)
    reading = _only(tmp_path)
    assert (reading.pid, reading.alive) == (pid, False)
    assert reading.beat > 0


def test_no_addition_of_many_threads_is_lost(tmp_path: Path) -> None:
    slot = Slot(tmp_path, "receive")
    index = slot.counter("stored")

    def add() -> None:
        for _ in range(5000):
            slot.add(index)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _only(tmp_path).values[("stored",)] == 20_000
    slot.close()


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 100, b"DNSLOT1\n" + b"\xff" * 58_000, os.urandom(57_728)],
    ids=["empty", "short", "long", "noise"],
)
def test_a_file_that_is_no_slot_is_not_read_and_is_replaced(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "receive-0.slot").write_bytes(content)
    assert read_slots(tmp_path) == []
    slot = Slot(tmp_path, "receive")
    slot.add(slot.counter("stored"))
    assert _only(tmp_path).values == {("stored",): 1.0}
    slot.close()


def test_a_slot_with_torn_values_starts_anew(tmp_path: Path) -> None:
    slot = Slot(tmp_path, "receive")
    index = slot.counter("stored")
    slot.values[index] = float("nan")
    slot.let_go()
    assert read_slots(tmp_path) == []
    again = Slot(tmp_path, "receive")
    again.add(again.counter("stored"))
    assert _only(tmp_path).values == {("stored",): 1.0}
    again.close()


def test_without_a_folder_the_process_counts_for_itself(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    slot = Slot(blocked / "metrics", "receive")
    slot.add(slot.counter("stored"))
    assert read_slots(blocked / "metrics") == []
    slot.close()


def test_a_slot_has_its_blocks_so_that_a_full_disk_cannot_end_the_process(
    tmp_path: Path,
) -> None:
    slot = Slot(tmp_path, "receive")
    [path] = tmp_path.iterdir()
    found = path.stat()
    assert found.st_blocks * 512 >= found.st_size
    assert found.st_mode & 0o077 == 0
    slot.close()


def test_more_series_than_a_slot_holds_are_dropped_and_harm_none(
    tmp_path: Path,
) -> None:
    slot = Slot(tmp_path, "receive")
    for number in range(1000):
        slot.add(slot.counter("stored", "ae", f"CT{number}"))
    values = _only(tmp_path).values
    assert len(values) == 479
    assert set(values.values()) == {1.0}
    slot.close()
