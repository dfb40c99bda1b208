"""What `put` returned is on stable storage; what it refused left nothing."""

import errno
import fcntl
import hashlib
import os
from pathlib import Path

import pytest

from dicom_node.core.errors import OutOfResources, StoreError
from dicom_node.store.files import PARTS, FileStore

CONTENT = b"some bytes of a file" * 1000


def all_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_key_is_the_digest_and_the_file_has_the_bytes(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    key = store.put(CONTENT)
    assert key == hashlib.sha256(CONTENT).hexdigest()
    assert store.path(key).read_bytes() == CONTENT
    assert store.path(key) == tmp_path / key[:2] / f"{key}.dcm"


def test_the_same_bytes_again_leave_the_file_as_it_is(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    first = store.put(CONTENT)
    made = store.path(first).stat().st_ino
    second = store.put(CONTENT)
    assert store.path(second).stat().st_ino == made
    assert first == second
    assert len(all_files(tmp_path)) == 1


def test_what_a_killed_writer_left_goes_and_what_another_writes_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(tmp_path)
    assert store.remove_dead_parts() == 0
    dead = tmp_path / PARTS / "dead.part"
    dead.parent.mkdir()
    dead.write_bytes(b"half a repo")
    real, removed = os.fsync, list[int]()

    def another_starts(descriptor: int) -> None:
        removed.append(store.remove_dead_parts())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", another_starts)
    key = store.put(CONTENT)
    assert sum(removed) == 1
    assert all_files(tmp_path) == [store.path(key)]
    assert store.intact(key)


def test_a_part_file_taken_away_before_it_was_locked_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(tmp_path)
    real, taken = fcntl.flock, list[int]()

    def late(descriptor: int, operation: int) -> None:
        if not taken:
            taken.append(descriptor)
            assert store.remove_dead_parts() == 1
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    key = store.put(CONTENT)
    assert taken
    assert all_files(tmp_path) == [store.path(key)]
    assert store.intact(key)


def test_nobody_else_may_read_a_file_or_run_it(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "instances")
    path = store.path(store.put(CONTENT))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("key", ["", "../../x", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_only_a_digest_is_a_key(tmp_path: Path, key: str) -> None:
    with pytest.raises(StoreError):
        FileStore(tmp_path).path(key)


def test_deleting_twice_is_no_error(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    key = store.put(CONTENT)
    store.delete(key)
    store.delete(key)
    assert all_files(tmp_path) == []


def test_below_the_free_space_limit_nothing_is_written(tmp_path: Path) -> None:
    store = FileStore(tmp_path, min_free_bytes=1 << 62)
    with pytest.raises(OutOfResources, match="min_free_bytes"):
        store.put(CONTENT)
    assert all_files(tmp_path) == []


def test_what_is_there_already_needs_no_space(tmp_path: Path) -> None:
    key = FileStore(tmp_path).put(CONTENT)
    assert FileStore(tmp_path, min_free_bytes=1 << 62).put(CONTENT) == key


def test_a_short_write_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:777]))
    store = FileStore(tmp_path)
    assert store.path(store.put(CONTENT)).read_bytes() == CONTENT


@pytest.mark.parametrize("call", ["write", "fsync", "open", "flock"])
@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_fault_is_out_of_resources_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, fault: int
) -> None:
    store = FileStore(tmp_path)
    (tmp_path / "aa").mkdir()

    def fail(*_: object, **__: object) -> int:
        raise OSError(fault, "the text names /some/path")

    module = fcntl if call == "flock" else os
    with monkeypatch.context() as patch:
        patch.setattr(module, call, fail)
        with pytest.raises(OutOfResources) as refused:
            store.put(CONTENT)
    assert errno.errorcode[fault] in str(refused.value)
    assert "/some/path" not in str(refused.value)
    assert all_files(tmp_path) == []
    assert store.put(CONTENT), "the next one finds a working store"


def test_a_write_that_takes_nothing_is_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", lambda *_: 0)
    with pytest.raises(OutOfResources, match="ENOSPC"):
        FileStore(tmp_path).put(CONTENT)
    assert all_files(tmp_path) == []


def test_the_order_is_write_sync_rename_folder_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(tmp_path)
    store.put(CONTENT + b"makes the folders")
    steps: list[str] = []
    real_write, real_sync, real_rename = os.write, os.fsync, Path.rename

    def write(fd: int, data: bytes) -> int:
        steps.append("write")
        return real_write(fd, data)

    def sync(fd: int) -> None:
        kind = "folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "file"
        steps.append(f"sync {kind}")
        real_sync(fd)

    def rename(self: Path, target: Path) -> Path:
        steps.append("rename")
        return real_rename(self, target)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    store.put(CONTENT)
    steps = [step for n, step in enumerate(steps) if step not in steps[:n][-1:]]
    after_folders = steps[steps.index("write") :]
    assert after_folders == ["write", "sync file", "rename", "sync folder"]


def test_an_existing_file_is_synced_into_its_folder_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileStore(tmp_path)
    store.put(CONTENT)
    synced: list[int] = []
    real = os.fsync

    def sync(fd: int) -> None:
        synced.append(fd)
        real(fd)

    monkeypatch.setattr(os, "fsync", sync)
    store.put(CONTENT)
    assert synced, "whoever renamed it may have died before the folder's sync"


def test_free_bytes_counts_before_the_folder_exists(tmp_path: Path) -> None:
    assert FileStore(tmp_path / "not" / "yet").free_bytes() > 0
