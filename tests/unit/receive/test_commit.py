"""Group commit: who waits together is committed together, and nobody for another."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest

from dicom_node.core.errors import (
    CannotUnderstand,
    DatabaseError,
    NodeError,
    OutOfResources,
    ReceiveError,
)
from dicom_node.core.ids import InstanceId, StudyId
from dicom_node.core.states import Receipt
from dicom_node.core.types import ReceivedInstance, Recorded
from dicom_node.receive.commit import LARGE_BYTES, CommitOptions, GroupCommitter
from tests.integration.db import samples

SECONDS = 10


@dataclass
class Disk:
    """Notes the order of what is asked of it; may break on demand."""

    calls: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    broken: Callable[[str], bool] = lambda call: False
    held: set[str] = field(default_factory=set)  # by reconcile
    locked: set[str] = field(default_factory=set)

    def note(self, call: str) -> None:
        self.calls.append(call)
        if self.broken(call):
            raise OutOfResources("the disk failed")

    def sync_names(self, keys: Sequence[str]) -> None:
        self.note("sync names")

    def delete(self, key: str) -> None:
        self.names.discard(key)

    @contextmanager
    def unused(self, key: str) -> Iterator[bool]:
        if key in self.held or key not in self.names:
            yield False
            return
        self.locked.add(key)
        yield True
        self.locked.discard(key)


@dataclass
class Part:
    disk: Disk
    name: str
    discarded: bool = False
    released: bool = False

    def start_sync(self) -> None:
        self.disk.note(f"start {self.name}")

    def sync(self) -> None:
        self.disk.note(f"sync {self.name}")

    def publish(self, key: str) -> None:
        self.disk.note(f"publish {self.name}")
        self.disk.names.add(key)

    def release(self) -> None:
        self.released = True

    def discard(self) -> None:
        self.discarded = True


@dataclass
class Table:
    """A database that notes its transactions."""

    transactions: list[list[str]] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    fault: Callable[[Sequence[ReceivedInstance]], None] = lambda items: None
    refused: frozenset[str] = frozenset()
    rows: set[str] = field(default_factory=set)
    asked: Callable[[], None] = lambda: None

    def recorded_keys(self, keys: Sequence[str]) -> frozenset[str]:
        self.asked()
        return frozenset(keys) & self.rows

    def record(
        self, items: Sequence[ReceivedInstance]
    ) -> tuple[Recorded | ReceiveError, ...]:
        self.entered.set()
        assert self.gate.wait(SECONDS)
        self.fault(items)
        self.transactions.append([item.file_key for item in items])
        return tuple(self._one(item) for item in items)

    def _one(self, item: ReceivedInstance) -> Recorded | ReceiveError:
        if item.file_key in self.refused:
            return CannotUnderstand("refused")
        self.rows.add(item.file_key)
        return Recorded(
            receipt=Receipt.NEW,
            study_id=StudyId(1),
            instance_id=InstanceId(1),
            revision=1,
            file_key=item.file_key,
        )


def committer(
    disk: Disk, table: Table, *, durable: bool = True, max_wait_seconds: float = 0.0
) -> GroupCommitter:
    return GroupCommitter(
        disk,
        CommitOptions(
            durable=durable,
            max_wait_seconds=max_wait_seconds,
            record=table.record,
            recorded_keys=table.recorded_keys,
            committed=lambda instances, seconds: None,
        ),
    )


def key(number: int) -> str:
    return f"{number:064x}"


def instance(file_key: str) -> ReceivedInstance:
    return replace(samples.received(), file_key=file_key)


def commit_all(
    commits: GroupCommitter, disk: Disk, table: Table, count: int
) -> list[object]:
    """Commit one, and the others while its transaction waits at the gate."""
    outcomes: list[object] = [None] * count

    def run(number: int) -> None:
        try:
            outcomes[number] = commits.commit(
                Part(disk, str(number)), instance(key(number))
            )
        except NodeError as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    threads[0].start()
    assert table.entered.wait(SECONDS)
    for thread in threads[1:]:
        thread.start()
    deadline = threading.Event()
    while len(commits._waiting) < count - 1:
        assert not deadline.wait(0.001)
    table.gate.set()
    for thread in threads:
        thread.join(SECONDS)
    return outcomes


def test_files_are_synced_and_named_before_their_row_is_committed() -> None:
    disk, table = Disk(), Table()
    table.gate.set()
    recorded = committer(disk, table).commit(Part(disk, "a"), instance(key(1)))
    assert recorded.file_key == key(1)
    assert disk.calls == ["sync a", "publish a", "sync names"]
    assert table.transactions == [[key(1)]]


def test_without_durability_nothing_is_synced() -> None:
    disk, table = Disk(), Table()
    table.gate.set()
    committer(disk, table, durable=False).commit(Part(disk, "a"), instance(key(1)))
    assert disk.calls == ["publish a"]


def test_all_that_wait_share_one_sync_of_names_and_one_transaction() -> None:
    disk, table = Disk(), Table()
    outcomes = commit_all(committer(disk, table), disk, table, 6)
    assert all(isinstance(outcome, Recorded) for outcome in outcomes)
    assert [len(group) for group in table.transactions] == [1, 5]
    assert disk.calls.count("sync names") == 2
    assert len(disk.names) == 6


def test_a_refused_instance_leaves_no_file_and_the_others_stay() -> None:
    disk, table = Disk(), Table(refused=frozenset({key(2)}))
    outcomes = commit_all(committer(disk, table), disk, table, 4)
    assert isinstance(outcomes[2], CannotUnderstand)
    assert disk.names == {key(0), key(1), key(3)}


def test_a_sync_that_fails_fails_its_own_instance_alone() -> None:
    disk = Disk(broken=lambda call: call == "sync 2")
    table = Table()
    outcomes = commit_all(committer(disk, table), disk, table, 4)
    assert isinstance(outcomes[2], OutOfResources)
    assert sum(isinstance(outcome, Recorded) for outcome in outcomes) == 3
    assert key(2) not in disk.names
    assert key(2) not in table.rows


def test_names_that_cannot_be_synced_are_not_recorded() -> None:
    disk, table = Disk(broken=lambda call: call == "sync names"), Table()
    table.gate.set()
    with pytest.raises(OutOfResources):
        committer(disk, table).commit(Part(disk, "a"), instance(key(1)))
    assert (disk.names, table.rows) == (set(), set())


def test_a_poisonous_instance_does_not_take_its_group_with_it() -> None:
    def burst(items: Sequence[ReceivedInstance]) -> None:
        if any(item.file_key == key(2) for item in items):
            raise RuntimeError("a bug")

    disk, table = Disk(), Table(fault=burst)
    outcomes = commit_all(committer(disk, table), disk, table, 4)
    assert isinstance(outcomes[2], ReceiveError)
    assert outcomes[2].status == 0x0110
    assert sum(isinstance(outcome, Recorded) for outcome in outcomes) == 3


def test_a_file_in_doubt_goes_when_the_database_says_that_it_has_no_row() -> None:
    def down(items: Sequence[ReceivedInstance]) -> None:
        raise DatabaseError("gone")

    disk, table = Disk(), Table(fault=down)
    table.gate.set()
    commits = committer(disk, table)
    with pytest.raises(DatabaseError):
        commits.commit(Part(disk, "a"), instance(key(1)))
    assert disk.names == {key(1)}, "the commit may have happened"
    table.fault = lambda items: None
    commits.commit(Part(disk, "b"), instance(key(2)))
    assert disk.names == {key(2)}


def _in_doubt(disk: Disk, table: Table) -> GroupCommitter:
    """Return a committer that does not know of file 1 whether it has a row."""

    def down(items: Sequence[ReceivedInstance]) -> None:
        raise DatabaseError("gone")

    table.fault = down
    table.gate.set()
    commits = committer(disk, table)
    part = Part(disk, "a")
    with pytest.raises(DatabaseError):
        commits.commit(part, instance(key(1)))
    assert part.released, "reconcile may decide"
    table.fault = lambda items: None
    return commits


def test_a_file_in_doubt_that_reconcile_has_is_left_to_it() -> None:
    disk, table = Disk(held={key(1)}), Table()
    commits = _in_doubt(disk, table)
    commits.commit(Part(disk, "b"), instance(key(2)))
    disk.held.clear()  # adopted
    table.rows.add(key(1))
    commits.commit(Part(disk, "c"), instance(key(3)))
    assert disk.names == {key(1), key(2), key(3)}


def test_reconcile_cannot_adopt_a_file_between_the_question_and_its_end() -> None:
    disk, table = Disk(), Table()
    commits = _in_doubt(disk, table)
    table.asked = lambda: locked.append(set(disk.locked))
    locked: list[set[str]] = []
    commits.commit(Part(disk, "b"), instance(key(2)))
    assert locked == [{key(1)}]
    assert disk.names == {key(2)}


def test_nobody_waits_for_the_commit_of_a_very_large_instance() -> None:
    table = Table()
    slow = threading.Event()

    def compare(items: Sequence[ReceivedInstance]) -> None:
        if items[0].file_key == key(1):
            assert slow.wait(SECONDS)

    table.fault = compare
    table.gate.set()
    disk = Disk()
    commits = committer(disk, table)
    large = replace(instance(key(1)), size_bytes=LARGE_BYTES)
    repeat = threading.Thread(target=lambda: commits.commit(Part(disk, "large"), large))
    repeat.start()
    assert table.entered.wait(SECONDS)
    for number in (2, 3):
        commits.commit(Part(disk, str(number)), instance(key(number)))
    assert table.transactions == [[key(2)], [key(3)]]
    slow.set()
    repeat.join(SECONDS)
    assert table.rows == {key(1), key(2), key(3)}


def test_a_leader_waits_for_what_is_on_its_way_but_not_for_long() -> None:
    disk, table = Disk(), Table()
    table.gate.set()
    commits = committer(disk, table, max_wait_seconds=SECONDS)
    commits.expect(1)
    first: list[Recorded] = []
    leader = threading.Thread(
        target=lambda: first.append(commits.commit(Part(disk, "a"), instance(key(1))))
    )
    leader.start()
    commits.expect(-1)
    commits.commit(Part(disk, "b"), instance(key(2)))
    leader.join(SECONDS)
    assert sum(len(group) for group in table.transactions) == 2
    assert first
