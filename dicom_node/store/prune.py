"""Remove the files of studies that are done with, and never another.

The order survives a crash at any moment: the study is marked, its files go, their
folders are synced, the mark is closed. What was marked and not closed is gone through
again at the next run.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import db.retention
from db.engine import Database
from db.retention import Candidate, Prunable, Removal, Scope
from dicom_node.core.clock import Clock
from dicom_node.store.files import FileStore, sync_folder
from dicom_node.store.instances import InstanceFiles

log = logging.getLogger("dicom_node.store")

_STUDIES_AT_ONCE: Final = 100
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRules:
    """What goes.

    Args:
        older_than: of studies to which nothing has happened for so long.
        until_free: stop as soon as so many bytes are free on the disk; None: go on.
    """

    states: frozenset[Prunable]
    older_than: timedelta
    until_free: int | None = None

    def scope(self, now: datetime) -> Scope:
        """Return which studies may go now."""
        return Scope(states=self.states, before=now - self.older_than)

    @property
    def reason(self) -> str:
        """For the timeline."""
        hours = self.older_than.total_seconds() / 3600
        age = f"older than {hours / 24:g} days" if hours >= 24 else f"{hours:g} h old"
        return age if self.until_free is None else f"the disk was filling up, {age}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What went, or would go.

    Args:
        files: instances and reports.
    """

    studies: int = 0
    files: int = 0
    size_bytes: int = 0
    states: dict[Prunable, int] = field(default_factory=dict)

    def plus(self, state: Prunable | None, files: int, size_bytes: int) -> "Pruned":
        """Add a study."""
        states = dict(self.states)
        if state is not None:
            states[state] = states.get(state, 0) + 1
        return replace(
            self,
            studies=self.studies + (state is not None),
            files=self.files + files,
            size_bytes=self.size_bytes + size_bytes,
            states=states,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruner:
    """Removes files; several may run at once.

    Args:
        stopped: ends a run between two studies.
        on_pruned: called after each study with what went until then.
    """

    database: Database
    instances: InstanceFiles
    reports: FileStore
    clock: Clock
    stopped: Callable[[], bool] = lambda: False
    on_pruned: Callable[[Pruned], None] = lambda _so_far: None

    def preview(self, rules: PruneRules) -> Pruned:
        """Say what would go; reports are not counted."""
        found = Pruned()
        free = self.instances.free_bytes()
        for one in self._candidates(rules):
            if self._enough(rules, free + found.size_bytes):
                break
            found = found.plus(one.state, one.files, one.size_bytes)
        return found

    def run(self, rules: PruneRules) -> Pruned:
        """Remove what the rules let go.

        Raises:
            StoreError: a file cannot be removed; the next run goes on there.
        """
        found = Pruned()
        for removal in db.retention.unfinished(self.database):
            found = found.plus(None, *self._remove(removal, again=True))
        for one in self._candidates(rules):
            if self.stopped() or self._enough(rules, self.instances.free_bytes()):
                break
            removal_or_none = db.retention.mark(
                self.database,
                one.study_id,
                rules.scope(self.clock.now()),
                reason=rules.reason,
                now=self.clock.now(),
            )
            if removal_or_none is None:
                continue
            found = found.plus(one.state, *self._remove(removal_or_none))
            self.on_pruned(found)
        if found.files:
            log.info(
                "files pruned",
                extra={"count": found.files, "size_bytes": found.size_bytes},
            )
        return found

    def _candidates(self, rules: PruneRules) -> Iterator[Candidate]:
        scope = rules.scope(self.clock.now())
        last = None
        while True:
            page = db.retention.candidates(
                self.database, scope, after=last, limit=_STUDIES_AT_ONCE
            )
            yield from page
            if len(page) < _STUDIES_AT_ONCE:
                return
            last = page[-1]

    def _enough(self, rules: PruneRules, free_bytes: int) -> bool:
        return rules.until_free is not None and free_bytes >= rules.until_free

    def _remove(self, removal: Removal, *, again: bool = False) -> tuple[int, int]:
        """Remove a study's files, instances first; return how many, and their size."""
        files, size = _remove_all(self.instances, removal.instance_keys)
        written, written_size = _remove_all(self.reports, removal.report_keys)
        db.retention.finish(
            self.database,
            removal,
            what=("the rest after an interruption, " if again else "")
            + f"{files} images and {written} reports, "
            f"{(size + written_size) / _MIB:.1f} MiB",
            now=self.clock.now(),
        )
        return files + written, size + written_size


def _remove_all(store: FileStore, keys: Iterable[str]) -> tuple[int, int]:
    """Remove files so that a power cut does not bring them back."""
    files = size = 0
    folders: set[Path] = set()
    for key in keys:
        path = store.path(key)
        try:
            size += path.stat().st_size
        except OSError:
            continue  # gone before
        store.delete(key)
        files += 1
        folders.add(path.parent)
    for folder in folders:
        sync_folder(folder)
    return files, size
