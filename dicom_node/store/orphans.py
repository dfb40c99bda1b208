"""Remove files that no row names: a worker that died had written them."""

import os
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Final

from dicom_node.store.files import FILE_SUFFIX, KEY, FileStore, unused_file
from dicom_node.store.keys import KeyBuckets

# A file gets its row within seconds; who finds the same bytes here makes it young.
ORPHAN_SECONDS: Final = 86_400.0


def remove_orphans(
    store: FileStore, known_keys: Iterable[str], *, older_seconds: float
) -> int:
    """Remove files without a row, a folder at a time; return how many.

    Args:
        known_keys: of all rows; what is written meanwhile is too young to be touched.
        older_seconds: since a file was written, or last found here by `put`.

    Raises:
        OSError: a folder cannot be read, or a file not be removed.
        DatabaseError: the keys cannot be read; nothing was removed.
    """
    before = time.time() - older_seconds
    removed = 0
    if not store.folder.is_dir():
        return 0
    with closing(
        KeyBuckets(known_keys, folder=store.folder, folder_of=store.folder_of)
    ) as known:
        for name in sorted(os.listdir(store.folder)):
            folder = store.folder / name
            if len(name) != 2 or not folder.is_dir():
                continue
            keys = known.of_folder(name)
            for path in list(folder.glob(f"*{FILE_SUFFIX}")):
                if KEY.fullmatch(path.stem) and bytes.fromhex(path.stem) not in keys:
                    removed += _remove_old(path, before)
    return removed


def _remove_old(path: Path, before: float) -> bool:
    with unused_file(path) as unused:
        old = unused and path.stat().st_mtime < before
        if old:
            path.unlink()
        return old
