"""Group commit: one round of syncs and one transaction for all that wait.

There is no committing thread. Whoever comes first leads: it commits what waits, its
own instance included, and hands the lead to the first that came meanwhile. Alone, an
association pays for no hand-over between threads.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from dicom_node.core.errors import (
    DatabaseError,
    NodeError,
    OutOfResources,
    ReceiveError,
)
from dicom_node.core.types import ReceivedInstance, Recorded
from dicom_node.receive.doubts import Doubts, PublishedFiles, remove
from dicom_node.receive.faults import pass_point

log = logging.getLogger("dicom_node.receive")

MAX_GROUP: Final = 64
# To sync one so large, or to compare it with the same bytes that are here, takes long:
# nobody else should wait for it, so it is a group of its own.
LARGE_BYTES: Final = 16 << 20

Outcome = Recorded | NodeError
Record = Callable[[Sequence[ReceivedInstance]], Sequence[Recorded | ReceiveError]]


class Part(Protocol):
    """A file that is being received."""

    def start_sync(self) -> None:
        """Begin to write back."""

    def sync(self) -> None:
        """Put the bytes on stable storage."""

    def publish(self, key: str) -> None:
        """Give the file its name."""

    def release(self) -> None:
        """Let go of a published file: it has its row, or never gets one."""

    def discard(self) -> None:
        """Remove what is there, unless it was published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitOptions:
    """How to commit.

    Args:
        durable: sync files and folders; False leaves that to the operating system.
        max_wait_seconds: how long the leader waits for instances on their way.
        record: enters instances in one transaction; DatabaseError if it failed.
        recorded_keys: says which of these keys have a row.
        committed: told how many of a group were recorded and the seconds it took.
    """

    durable: bool
    max_wait_seconds: float
    record: Record
    recorded_keys: Callable[[Sequence[str]], frozenset[str]]
    committed: Callable[[int, float], None]


@dataclass(slots=True, eq=False)
class _Entry:
    part: Part
    instance: ReceivedInstance
    done: threading.Event | None = None
    leads: bool = False
    published: bool = False
    doubtful: bool = False
    outcome: Outcome | None = None


class GroupCommitter:
    """Makes instances last; safe for threads."""

    def __init__(self, files: PublishedFiles, options: CommitOptions) -> None:
        self._files = files
        self._options = options
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._waiting: list[_Entry] = []
        self._leading = False
        self._expected = 0
        self._doubts = Doubts(files, options.recorded_keys)

    def expect(self, count: int) -> None:
        """Say that an instance is on its way (+1), or is not any more (-1)."""
        with self._lock:
            self._expected += count
            if count < 0 and self._leading:
                self._arrived.notify()

    def commit(self, part: Part, instance: ReceivedInstance) -> Recorded:
        """Return when the instance is on stable storage and recorded.

        Raises:
            ReceiveError: it was refused, or the disk failed; nothing of it stays.
            DatabaseError: it is not known whether it was recorded; the file stays
                until that is.
        """
        entry = _Entry(part, instance)
        if instance.size_bytes >= LARGE_BYTES:
            self._commit([entry])
            return _result(entry)
        with self._lock:
            self._waiting.append(entry)
            if self._leading:
                entry.done = threading.Event()
                self._arrived.notify()
            self._leading = True
        if entry.done is not None:
            entry.done.wait()
            if not entry.leads:
                return _result(entry)
        self._lead(entry)
        return _result(entry)

    def _lead(self, own: _Entry) -> None:
        try:
            while own.outcome is None:
                self._commit(self._next_group())
        finally:
            with self._lock:
                heir = self._waiting[0] if self._waiting else None
                self._leading = heir is not None
            if heir is not None and heir.done is not None:
                heir.leads = True
                heir.done.set()

    def _next_group(self) -> list[_Entry]:
        with self._lock:
            if self._expected:
                self._await_others()
            group = self._waiting[:MAX_GROUP]
            del self._waiting[:MAX_GROUP]
            return group

    def _await_others(self) -> None:
        until = time.monotonic() + self._options.max_wait_seconds
        while self._expected and len(self._waiting) < MAX_GROUP:
            left = until - time.monotonic()
            if left <= 0:
                break
            self._arrived.wait(left)

    def _commit(self, group: list[_Entry]) -> None:
        begun = time.monotonic()
        try:
            self._settle(group)
            recorded = sum(isinstance(entry.outcome, Recorded) for entry in group)
            if recorded:
                self._options.committed(recorded, time.monotonic() - begun)
        except Exception as error:  # noqa: BLE001 - everybody has to hear something
            log.error("commit failed", extra={"reason": type(error).__name__})
        finally:
            for entry in group:
                if entry.outcome is None:
                    self._fail(entry, RuntimeError())
                entry.part.release()
                if entry.done is not None:
                    entry.done.set()

    def _settle(self, group: list[_Entry]) -> None:
        try:
            self._publish(group)
            self._record([entry for entry in group if entry.outcome is None])
        except Exception as error:  # noqa: BLE001 - the files are to be dealt with
            for entry in group:
                if entry.outcome is None:
                    self._fail(entry, error)
        for entry in group:
            if isinstance(entry.outcome, ReceiveError):
                self._drop(entry)

    def _publish(self, group: list[_Entry]) -> None:
        """Sync the files, give them their names, sync the folders."""
        if self._options.durable:
            if len(group) > 1:
                for entry in group:
                    entry.part.start_sync()
            for entry in group:
                try:
                    entry.part.sync()
                except ReceiveError as error:
                    entry.outcome = error
        pass_point("after-fsync")
        for entry in group:
            if entry.outcome is not None:
                continue
            try:
                entry.part.publish(entry.instance.file_key)
            except ReceiveError as error:
                entry.outcome = error
            else:
                entry.published = True
        named = [entry for entry in group if entry.published]
        if self._options.durable and named:
            try:
                self._files.sync_names([entry.instance.file_key for entry in named])
            except OutOfResources as error:
                for entry in named:
                    entry.outcome = error
        pass_point("after-rename")

    def _record(self, group: list[_Entry]) -> None:
        if not group:
            return
        pass_point("before-commit")
        try:
            outcomes = self._options.record([entry.instance for entry in group])
        except DatabaseError as error:
            for entry in group:
                entry.outcome = error
                self._doubt(entry)
            return
        except Exception as error:
            if len(group) == 1:
                raise
            # One that cannot be recorded must not take the others with it.
            log.error("group split", extra={"reason": type(error).__name__})
            for entry in group:
                self._record_alone(entry)
            return
        pass_point("after-commit")
        for entry, outcome in zip(group, outcomes, strict=True):
            entry.outcome = outcome
            if isinstance(outcome, Recorded) and outcome.file_key not in (
                "",
                entry.instance.file_key,
            ):
                remove(self._files, entry.instance.file_key)  # kept under another key
        self._doubts.settle()

    def _record_alone(self, entry: _Entry) -> None:
        try:
            self._record([entry])
        except Exception as error:  # noqa: BLE001 - the next one is to be recorded
            self._fail(entry, error)

    def _fail(self, entry: _Entry, error: Exception) -> None:
        log.error("instance failed", extra={"reason": type(error).__name__})
        entry.outcome = ReceiveError("an internal error")
        self._doubt(entry)

    def _doubt(self, entry: _Entry) -> None:
        """Keep a file whose transaction may or may not have happened."""
        if entry.published and not entry.doubtful:
            entry.doubtful = True
            entry.part.release()  # from here on whoever locks it decides what it is
            self._doubts.add(entry.instance.file_key)

    def _drop(self, entry: _Entry) -> None:
        if not entry.published:
            entry.part.discard()
        elif not entry.doubtful:
            remove(self._files, entry.instance.file_key)


def _result(entry: _Entry) -> Recorded:
    if isinstance(entry.outcome, Recorded):
        return entry.outcome
    raise entry.outcome or OutOfResources("the commit failed")
