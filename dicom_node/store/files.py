"""Files that survive a power cut: part file, sync, rename, folder sync."""

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dicom_node.core.errors import DiskFailed, OutOfResources, StoreError

PARTS: Final = "parts"
PART_SUFFIX = ".part"
FILE_SUFFIX = ".dcm"
KEY = re.compile(r"[0-9a-f]{64}")
FOLDER_MODE = 0o700
FILE_MODE = 0o600
# So often another process may take a part file for a dead one before it is locked.
PART_TRIES: Final = 8
# One write call takes at most 2^31 - 4096 bytes on Linux.
_WRITE_BYTES = 1 << 30


class FileStore:
    """Keeps files in a local folder, named by the SHA-256 of their bytes.

    A name is never made of a sender's text. A file appears under its name only when
    all of it is on stable storage; what a crash leaves lies in `parts/` and ends in
    `.part`.

    Args:
        min_free_bytes: what must stay free on the file system after a write.
    """

    def __init__(self, folder: Path, *, min_free_bytes: int = 0) -> None:
        self.folder = folder
        self._min_free_bytes = min_free_bytes

    def put(self, content: bytes) -> str:
        """Write, sync, rename; return the key. Bytes that are here stay as they are.

        Raises:
            OutOfResources: no space, or the disk does not take the file.
        """
        key = hashlib.sha256(content).hexdigest()
        path = self.path(key)
        try:
            if _made_young(path, len(content)):
                # Whoever renamed it may have died before syncing the folder.
                sync_folder(path.parent)
                return key
            self.require_space(len(content))
            self._write_file(path, content)
        except OSError as error:
            raise out_of_resources(error) from None
        return key

    def path(self, key: str) -> Path:
        """Return where the file with this key lies.

        Raises:
            StoreError: this is not a key of this store.
        """
        if not KEY.fullmatch(key):
            raise StoreError("a file key is 64 hexadecimal digits")
        return self.folder / self.folder_of(key) / f"{key}{FILE_SUFFIX}"

    def folder_of(self, key: str) -> str:
        """Return the name of the folder that a key's file lies in."""
        return key[:2]

    def intact(self, key: str) -> bool:
        """Say whether the file under this key holds what was put there."""
        try:
            with self.path(key).open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == key
        except OSError:
            return False

    def delete(self, key: str) -> None:
        """Remove the file; nothing happens if it is gone."""
        path = self.path(key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"a file cannot be removed: {_name(error)}") from None

    @contextmanager
    def unused(self, key: str) -> Iterator[bool]:
        """Keep others off a file; give False if one has it, or it is gone."""
        with unused_file(self.path(key)) as unused:
            yield unused

    def remove_dead_parts(self) -> int:
        """Remove what writers that died left in `parts/`; return how many files.

        Raises:
            OSError: the folder cannot be read, or a file not be removed.
        """
        folder = self.folder / PARTS
        if not folder.is_dir():
            return 0
        return sum(map(remove_dead_part, list(folder.glob(f"*{PART_SUFFIX}"))))

    def free_bytes(self) -> int:
        """Return what an unprivileged process may still write."""
        folder = self.folder
        while True:
            try:
                status = os.statvfs(folder)
            except FileNotFoundError:
                if folder == folder.parent:
                    raise
                folder = folder.parent
                continue
            return status.f_bavail * status.f_frsize

    def require_space(self, size_bytes: int = 0) -> None:
        """Check that a file of this size leaves the limit free.

        Raises:
            OutOfResources: it does not, or the file system does not answer.
        """
        try:
            free = self.free_bytes()
        except OSError as error:
            raise out_of_resources(error) from None
        if free - size_bytes < self._min_free_bytes:
            raise OutOfResources("free disk space is below receive.min_free_bytes")

    def _write_file(self, path: Path, content: bytes) -> None:
        self._make_folder(path.parent)
        self._make_folder(self.folder / PARTS)
        for _ in range(PART_TRIES):
            part_path = self.folder / PARTS / f"{uuid.uuid4().hex}{PART_SUFFIX}"
            if _write_renamed(part_path, path, content):
                sync_folder(path.parent)
                return
        raise OSError(errno.EAGAIN, "every part file was taken for a dead one")

    def _make_folder(self, folder: Path) -> None:
        """Make a folder and its parents, each synced into the one above."""
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
        sync_folder(folder.parent)


@contextmanager
def unused_file(path: Path) -> Iterator[bool]:
    """Lock a file; give False if a living process has it, or it is gone."""
    try:
        # NFS gives an exclusive lock only to who may write: flock(2).
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield os.fstat(descriptor).st_nlink > 0
    finally:
        os.close(descriptor)


def remove_dead_part(path: Path) -> bool:
    """Remove a part file unless its writer lives, which then holds its lock."""
    with unused_file(path) as unused:
        if unused:
            path.unlink(missing_ok=True)
        return unused


def _write_renamed(part_path: Path, path: Path, content: bytes) -> bool:
    """Write, sync, rename; give False if another process took the part file away."""
    descriptor = os.open(
        part_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE
    )
    try:
        # Tells who looks for dead part files that this one's writer lives.
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not os.fstat(descriptor).st_nlink:
            return False
        _write_all(descriptor, content)
        # After EIO the kernel may have dropped the pages: this descriptor is never
        # synced twice, the file is removed and the sender told to come again.
        os.fsync(descriptor)
        part_path.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part_path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return True


def _write_all(descriptor: int, content: bytes) -> None:
    """Write every byte: a full disk shortens a write without an exception."""
    view = memoryview(content)
    while view:
        written = os.write(descriptor, view[:_WRITE_BYTES])
        if written <= 0:
            raise OSError(errno.ENOSPC, "short write")
        view = view[written:]


def sync_folder(folder: Path | str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Put a file and its name on stable storage, whoever wrote it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def _made_young(path: Path, size: int) -> bool:
    """Say whether the file is here and whole; it counts as written now.

    The lock is that of whoever removes old files, which is held for a moment.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        status = os.fstat(descriptor)
        if not status.st_nlink or status.st_size != size:
            return False
        os.utime(descriptor)
        return True
    finally:
        os.close(descriptor)


def out_of_resources(error: OSError) -> OutOfResources:
    return DiskFailed(f"the disk did not take the file: {_name(error)}")


def _name(error: OSError) -> str:
    """Name the fault without the path, which the exception's own text holds."""
    return errno.errorcode.get(error.errno or 0, "unknown error")
