"""The stored files of a study, as inference and the report take them."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Final

from dicom_node.core.errors import StoreError
from dicom_node.core.protocols import InstanceStore
from dicom_node.core.types import InputFile, Instance

# Fewer files are checked before threads have begun.
_FILES_A_THREAD: Final = 16


def open_inputs(
    store: InstanceStore,
    evidence: Sequence[Instance],
    *,
    pruned_at: datetime | None = None,
) -> tuple[InputFile, ...]:
    """Find the files of a revision and check that none changed at rest.

    Args:
        pruned_at: of the study, for the text of the error.

    Raises:
        StoreError: a file is gone or differs; there must never be a result of it.
    """
    files = [_input(store, item) for item in evidence]
    changed = _count_changed(store, [item.file_key for item in evidence])
    if changed:
        raise StoreError(
            f"{changed} of {len(files)} stored files {_why(pruned_at)}: "
            "send the study again"
        )
    return tuple(files)


def intact_inputs(
    store: InstanceStore, evidence: Sequence[Instance]
) -> tuple[InputFile, ...]:
    """Return those files of a revision that are there and did not change at rest."""
    return tuple(
        _input(store, item) for item in evidence if store.intact(item.file_key)
    )


def _count_changed(store: InstanceStore, keys: Sequence[str]) -> int:
    """Count the files that are gone or differ; a thread for each core reads them."""
    threads = min(len(os.sched_getaffinity(0)), len(keys) // _FILES_A_THREAD)

    def count(part: Sequence[str]) -> int:
        return sum(not store.intact(key) for key in part)

    if threads < 2:
        return count(keys)
    parts = [keys[number::threads] for number in range(threads)]
    with ThreadPoolExecutor(threads, thread_name_prefix="intact") as pool:
        return sum(pool.map(count, parts))


def _input(store: InstanceStore, item: Instance) -> InputFile:
    return InputFile(
        sop_instance_uid=item.sop_instance_uid,
        sop_class_uid=item.sop_class_uid,
        series_instance_uid=item.series_instance_uid,
        path=store.path(item.file_key),
        header=item.header,
        dataset_digest=item.dataset_digest,
    )


def _why(pruned_at: datetime | None) -> str:
    if pruned_at is None:
        return "are gone or differ from what was received"
    return f"are gone since retention removed them on {pruned_at:%Y-%m-%d}"
