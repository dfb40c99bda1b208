"""Nobody is let in while the node has been short of disk or database for a while."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from dicom_node.core.errors import DatabaseError
from dicom_node.receive.congestion import LOW_DISK, NO_DATABASE, Congestion, Supplies
from tests.peers import wait_until

LIMIT = 1000
AFTER = 30.0


@dataclass
class World:
    """A disk, a database and a clock."""

    free: int = 2 * LIMIT
    now: float = 100.0
    database: bool = True
    tries: int = 0
    congestion: Congestion = field(init=False)

    def __post_init__(self) -> None:
        supplies = Supplies(
            min_free_bytes=LIMIT,
            free_bytes=self.free_bytes,
            takes_writes=self.takes_writes,
            after_seconds=AFTER,
        )
        self.congestion = Congestion(supplies, clock=lambda: self.now)

    def free_bytes(self) -> int:
        if self.free < 0:
            raise OSError("the disk does not answer")
        return self.free

    def takes_writes(self) -> bool:
        self.tries += 1
        return self.database

    def record(self) -> None:
        if not self.database:
            raise DatabaseError("down")

    def after(self, seconds: float) -> str:
        self.now += seconds
        return self.congestion.reason()


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.congestion.close()


def test_a_low_disk_closes_the_door_only_after_a_while(world: World) -> None:
    assert world.congestion.reason() == ""
    world.free = LIMIT - 1
    assert world.after(2) == ""
    assert world.after(AFTER - 1) == ""
    assert world.after(2) == LOW_DISK


def test_a_disk_that_was_low_for_a_moment_closes_nothing(world: World) -> None:
    world.free = LIMIT - 1
    assert world.after(2) == ""
    world.free = 2 * LIMIT
    assert world.after(AFTER) == ""
    world.free = LIMIT - 1
    assert world.after(2) == ""
    assert world.after(AFTER - 1) == ""


def test_the_door_opens_when_more_is_free_than_the_limit(world: World) -> None:
    world.free = LIMIT - 1
    world.after(2)
    assert world.after(AFTER) == LOW_DISK
    world.free = LIMIT + 1
    assert world.after(2) == LOW_DISK
    world.free = LIMIT + LIMIT // 10
    assert world.after(2) == ""
    world.free = LIMIT
    assert world.after(2) == ""
    assert world.after(AFTER) == ""


def test_a_disk_that_does_not_answer_is_a_low_one(world: World) -> None:
    world.free = -1
    world.after(2)
    assert world.after(AFTER) == LOW_DISK


def test_without_a_limit_the_disk_is_not_asked() -> None:
    congestion = Congestion.never()
    assert congestion.reason() == ""


def test_a_database_that_stays_down_closes_the_door(world: World) -> None:
    record = world.congestion.watched(world.record)
    world.database = False
    with pytest.raises(DatabaseError):
        record()
    assert world.after(AFTER - 1) == ""
    assert world.after(2) == NO_DATABASE


def test_it_opens_by_itself_when_the_database_is_back(world: World) -> None:
    record = world.congestion.watched(world.record)
    world.database = False
    with pytest.raises(DatabaseError):
        record()
    assert world.after(AFTER + 1) == NO_DATABASE
    wait_until(lambda: world.tries > 0, what="the database is tried", seconds=10)
    assert world.congestion.reason() == NO_DATABASE
    world.database = True
    wait_until(
        lambda: world.congestion.reason() == "", what="the door opens", seconds=10
    )


def test_an_instance_that_is_recorded_says_that_the_database_is_back(
    world: World,
) -> None:
    record = world.congestion.watched(world.record)
    world.database = False
    with pytest.raises(DatabaseError):
        record()
    world.database = True
    record()
    assert world.after(AFTER + 1) == ""


def test_who_waits_for_the_database_goes_on_when_it_answers(world: World) -> None:
    record = world.congestion.watched(world.record)
    world.database = False
    with pytest.raises(DatabaseError):
        record()
    gone_on: list[bool] = []
    waiting = threading.Thread(
        target=lambda: gone_on.append(
            world.congestion.await_database(threading.Event())
        )
    )
    waiting.start()
    assert not gone_on
    world.database = True
    waiting.join(10)
    assert gone_on == [True]


def test_who_waits_for_the_database_gives_up_when_told_to(world: World) -> None:
    record = world.congestion.watched(world.record)
    world.database = False
    with pytest.raises(DatabaseError):
        record()
    stop = threading.Event()
    stop.set()
    assert not world.congestion.await_database(stop)
