"""Files without a row go once they are old; nothing that is in use goes."""

import os
import threading
import time
from pathlib import Path

import pytest

from dicom_node.core.errors import DatabaseError
from dicom_node.store.files import FileStore
from dicom_node.store.orphans import remove_orphans

DAY = 86_400.0


def _keep(store: FileStore, content: bytes, *, age_seconds: float) -> str:
    key = store.put(content)
    moment = time.time() - age_seconds
    os.utime(store.path(key), (moment, moment))
    return key


def _remove(store: FileStore, *known: str) -> int:
    return remove_orphans(store, known, older_seconds=DAY)


def test_only_what_is_old_and_has_no_row_goes(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    assert _remove(FileStore(tmp_path / "none")) == 0
    known = _keep(store, b"has a row", age_seconds=2 * DAY)
    young = _keep(store, b"gets its row", age_seconds=DAY - 60)
    old = _keep(store, b"its worker died", age_seconds=DAY + 60)
    other = tmp_path / "ab" / "not ours.dcm"
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(b"")
    os.utime(other, (0, 0))
    assert _remove(store, known) == 1
    assert [store.path(key).exists() for key in (known, young, old)] == [1, 1, 0]
    assert other.exists()


def test_bytes_that_are_put_again_are_young(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    key = _keep(store, b"written by a job that is tried again", age_seconds=2 * DAY)
    assert store.put(b"written by a job that is tried again") == key
    assert _remove(store) == 0
    assert store.intact(key)


def test_who_puts_bytes_that_are_being_removed_writes_them_anew(
    tmp_path: Path,
) -> None:
    store = FileStore(tmp_path)
    content = b"removed at this very moment"
    key = _keep(store, content, age_seconds=2 * DAY)
    with store.unused(key) as mine:
        assert mine
        putting = threading.Thread(target=store.put, args=(content,))
        putting.start()
        store.path(key).unlink()
    putting.join(10)
    assert store.intact(key)


def test_a_database_that_is_down_removes_nothing(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    key = _keep(store, b"has a row, if one could ask", age_seconds=2 * DAY)

    def down() -> list[str]:
        raise DatabaseError("locked")

    with pytest.raises(DatabaseError):
        remove_orphans(store, (k for _ in "x" for k in down()), older_seconds=DAY)
    assert store.intact(key)
