"""Places of associations are counted over processes and survive a `kill -9`."""

import os
import signal
import threading
from collections.abc import Callable

import pytest

from dicom_node.receive.slots import Slots

CT1, CT2 = "10.0.0.1", "10.0.0.2"


def forked(work: Callable[[], None]) -> int:
    """Do work in a forked process that then waits to be killed; return its id."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os.write(writer, b"x")
            signal.pause()
        finally:
            os._exit(1)
    os.close(writer)
    assert os.read(reader, 1) == b"x", "the work failed"
    os.close(reader)
    return pid


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_limits_hold_in_all_and_per_address() -> None:
    slots = Slots(3, 2)
    assert [slots.take(CT1), slots.take(CT1), slots.take(CT1)] == [True, True, False]
    assert [slots.take(CT2), slots.take(CT2)] == [True, False]
    slots.give_back(CT1)
    assert slots.take(CT2)
    assert slots.count() == 3


def test_what_was_not_taken_cannot_be_given_back() -> None:
    slots = Slots(2, 2)
    slots.take(CT1)
    slots.give_back(CT2)
    assert slots.count() == 1


def test_limits_hold_over_processes() -> None:
    slots = Slots(4, 2)
    child = forked(lambda: None if slots.take(CT1) else os._exit(2))
    try:
        assert slots.count() == 1
        assert [slots.take(CT1), slots.take(CT1)] == [True, False]
        slots.give_back(CT1)
        slots.give_back(CT1)
        assert slots.count() == 1, "another process's place is not ours to free"
    finally:
        kill(child)


def test_the_places_of_a_killed_process_are_reclaimed() -> None:
    slots = Slots(4, 4)

    def take_two() -> None:
        if not (slots.take(CT1) and slots.take(CT2)):
            os._exit(2)

    child = forked(take_two)
    slots.take(CT1)
    kill(child)
    assert slots.reclaim(child) == 2
    assert slots.count() == 1


def test_a_full_house_looks_for_processes_that_are_gone() -> None:
    slots = Slots(1, 1)
    kill(forked(lambda: None if slots.take(CT1) else os._exit(2)))
    assert slots.take(CT2)


def test_a_process_killed_while_it_holds_the_lock_lets_go_of_it() -> None:
    slots = Slots(2, 2)
    lock = slots._locked()
    child = forked(lock.__enter__)
    done = threading.Event()

    def take() -> None:
        slots.take(CT1)
        done.set()

    thread = threading.Thread(target=take)
    thread.start()
    assert not done.wait(0.2), "the lock did nothing"
    kill(child)
    assert done.wait(10)
    thread.join()


def test_threads_of_many_processes_never_exceed_the_limit() -> None:
    slots = Slots(50, 50)

    def crowd() -> None:
        def come_and_go() -> None:
            for _ in range(200):
                if slots.take(CT1) and slots.count() <= 50:
                    slots.give_back(CT1)

        threads = [threading.Thread(target=come_and_go) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    children = [forked(crowd) for _ in range(3)]
    try:
        crowd()
        assert slots.count() == 0
    finally:
        for child in children:
            kill(child)


@pytest.mark.parametrize("size", [1, 1000])
def test_every_place_can_be_taken_and_freed(size: int) -> None:
    slots = Slots(size, size)
    assert all(slots.take(CT1) for _ in range(size))
    assert not slots.take(CT2)
    for _ in range(size):
        slots.give_back(CT1)
    assert slots.count() == 0
