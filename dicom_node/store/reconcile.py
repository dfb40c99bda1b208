"""Bring the folder and the database together after a crash."""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dicom_node.core.errors import CannotUnderstand, DoesNotMatch, ReceiveError
from dicom_node.core.refusal import SHORTER_THAN_RECEIVED
from dicom_node.store.files import (
    FILE_SUFFIX,
    KEY,
    PART_SUFFIX,
    PARTS,
    FileStore,
    remove_dead_part,
    unused_file,
)
from dicom_node.store.keys import KeyBuckets

log = logging.getLogger("dicom_node.store")

QUARANTINE = "quarantine"
Adopt = Callable[[str, Path], bool]
Quarantined = Callable[[str, Path, ReceiveError], None]
RecordedKeys = Callable[[Sequence[str]], frozenset[str]]


def _tell_nobody(_key: str, _path: Path, _error: ReceiveError) -> None:
    """Leave it at the count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileReport:
    """What a start-up found.

    Args:
        parts_removed: uploads that a crash cut; none was acknowledged.
        adopted: files without a row that have one now.
        quarantined: files without a row that could not get one.
        repeats: files without a row whose bytes are kept in another one.
        missing: how many rows have no file.
    """

    parts_removed: int = 0
    adopted: int = 0
    quarantined: int = 0
    repeats: int = 0
    missing: int = 0


def reconcile(
    store: FileStore,
    known_keys: Iterable[str],
    adopt: Adopt,
    *,
    recorded_keys: RecordedKeys,
    latest: Iterable[tuple[str, int]] = (),
    pruned_keys: Iterable[str] = (),
    on_quarantined: Quarantined = _tell_nobody,
) -> ReconcileReport:
    """Remove part files, adopt files without rows, report rows without files.

    Costs one walk over the folder's names; no file that has a row is opened. Of the
    keys only those of one folder, a 256th, are in memory. It may run while a receiver
    writes: what a receiver has in hand is locked.

    Args:
        adopt: records the file with this key; False if its bytes are kept under
            another one, so that it can go. CannotUnderstand and DoesNotMatch put
            the file into the quarantine folder; anything else ends the run and
            leaves the file for the next one.
        recorded_keys: says which of these keys have a row by now; one that came while
            this ran is left alone.
        latest: keys with the least size of their files, in bytes, of what came last:
            a power cut may have emptied a file that nobody synced.
        pruned_keys: of the known ones, those whose files retention removes: they are
            not missed, and what a crash left of them is not touched here.
        on_quarantined: hears of each file in quarantine: its key, where it lies now,
            and why.
    """
    at, of = store.folder, store.folder_of
    with (
        closing(KeyBuckets(known_keys, folder=at, folder_of=of)) as known,
        closing(KeyBuckets(pruned_keys, folder=at, folder_of=of)) as pruned,
    ):
        walk = _Walk(
            store=store,
            adopt=adopt,
            recorded_keys=recorded_keys,
            on_quarantined=on_quarantined,
        )
        walk.quarantined = _quarantine_short(store, latest, on_quarantined)
        return walk.run(known, pruned)


@dataclass(slots=True, kw_only=True)
class _Walk:
    """One run over the folders; counts what it did."""

    store: FileStore
    adopt: Adopt
    recorded_keys: RecordedKeys
    on_quarantined: Quarantined
    parts: int = 0
    adopted: int = 0
    repeats: int = 0
    quarantined: int = 0
    missing: int = 0

    def run(self, known: KeyBuckets, pruned: KeyBuckets) -> ReconcileReport:
        """Go through the folders that there are, and those that should be."""
        for name in sorted(known.folders.union(_folders(self.store.folder))):
            gone = pruned.of_folder(name)
            missing = known.of_folder(name) - gone
            for path in _files(self.store.folder / name):
                self._look(path, missing, gone)
            self.missing += len(missing)
        report = ReconcileReport(
            parts_removed=self.parts,
            adopted=self.adopted,
            quarantined=self.quarantined,
            repeats=self.repeats,
            missing=self.missing,
        )
        _tell(report)
        return report

    def _look(self, path: Path, missing: set[bytes], pruned: set[bytes]) -> None:
        if path.suffix == PART_SUFFIX:
            self.parts += remove_dead_part(path)
            return
        key = path.stem
        if path.suffix != FILE_SUFFIX or not KEY.fullmatch(key):
            return
        if (raw := bytes.fromhex(key)) in missing:
            missing.remove(raw)
        elif raw not in pruned:
            with unused_file(path) as unused:
                if unused:  # else its receiver has it in hand, or it is gone
                    self._adopt(key, path)

    def _adopt(self, key: str, path: Path) -> None:
        try:
            if self.adopt(key, path):
                self.adopted += 1
            else:
                path.unlink(missing_ok=True)
                self.repeats += 1
        except (CannotUnderstand, DoesNotMatch) as error:
            if self.recorded_keys([key]):
                return
            found = _quarantine(self.store.folder, path, error)
            self.on_quarantined(key, found, error)
            self.quarantined += 1


def _quarantine_short(
    store: FileStore, latest: Iterable[tuple[str, int]], on_quarantined: Quarantined
) -> int:
    found = 0
    for key, size_bytes in latest:
        path = store.path(key)
        try:
            short = path.stat().st_size < size_bytes
        except FileNotFoundError:
            continue
        if short:
            error = CannotUnderstand(SHORTER_THAN_RECEIVED)
            on_quarantined(key, _quarantine(store.folder, path, error), error)
            found += 1
    return found


def _files(folder: Path) -> list[Path]:
    """Return the files of one folder, none if it is not there."""
    try:
        with os.scandir(folder) as entries:
            return [
                Path(entry.path)
                for entry in entries
                if entry.is_file(follow_symlinks=False)
            ]
    except FileNotFoundError:
        return []


def _folders(folder: Path) -> set[str]:
    """Return the folders of keys and of parts; no other is touched."""
    if not folder.is_dir():
        return set()
    with os.scandir(folder) as entries:
        return {
            entry.name
            for entry in entries
            if (len(entry.name) == 2 or entry.name == PARTS)
            and entry.is_dir(follow_symlinks=False)
        }


def _quarantine(folder: Path, path: Path, error: ReceiveError) -> Path:
    """Put a file into quarantine; return where it lies there."""
    target = folder / QUARANTINE / path.name
    target.parent.mkdir(mode=0o700, exist_ok=True)
    path.rename(target)
    log.warning("file quarantined", extra={"reason": type(error).__name__})
    return target


def _tell(report: ReconcileReport) -> None:
    log.info(
        "store reconciled",
        extra={
            "parts_removed": report.parts_removed,
            "adopted": report.adopted,
            "quarantined": report.quarantined,
            "repeats": report.repeats,
            "missing": report.missing,
        },
    )
