"""Received instances: written while they arrive, published when they are whole."""

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final

from dicom_node.core.errors import CannotUnderstand, OutOfResources, StoreError
from dicom_node.part10.file import checked_digest, is_named_by_content, open_stored
from dicom_node.store.files import (
    FILE_MODE,
    FILE_SUFFIX,
    FOLDER_MODE,
    KEY,
    PART_SUFFIX,
    PART_TRIES,
    PARTS,
    FileStore,
    out_of_resources,
    sync_folder,
)

_DIGEST_DIGITS: Final = 32
_RANDOM_BYTES: Final = 16
# So many keys in a row have the same folder: those of a group share its sync.
_KEYS_OF_A_FOLDER: Final = 1024
_SYNC_FILE_RANGE_WRITE: Final = 2
_IOV_MAX: Final = 1024
# Between two looks at the free space of the disk while one data set is written.
_SPACE_STEP_BYTES: Final = 64 << 20


class PartFile:
    """A file that is being received: invisible until it is published.

    It is used by one thread at a time. Its lock tells `reconcile` that its writer
    lives.
    """

    def __init__(self, path: str, files: "InstanceFiles") -> None:
        self._path = path
        self._files = files
        self._space_at = _SPACE_STEP_BYTES
        self.size_bytes = 0
        self._descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE
        )
        self._published = False
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if not os.fstat(self._descriptor).st_nlink:
                raise OSError(errno.EAGAIN, "reconcile took it for a dead one")
        except OSError:
            self.discard()
            raise

    def write(self, buffers: Sequence[bytes | memoryview]) -> None:
        """Append the buffers.

        Raises:
            OutOfResources: the disk does not take them.
        """
        try:
            if len(buffers) <= _IOV_MAX:
                self._write(buffers)
            else:
                for start in range(0, len(buffers), _IOV_MAX):
                    self._write(buffers[start : start + _IOV_MAX])
        except OSError as error:
            raise out_of_resources(error) from None
        if self.size_bytes > self._space_at:
            self._space_at = self.size_bytes + _SPACE_STEP_BYTES
            self._files.require_space()

    def _write(self, buffers: Sequence[bytes | memoryview]) -> None:
        wanted = sum(map(len, buffers))
        written = os.writev(self._descriptor, buffers)
        self.size_bytes += written
        if written < wanted:  # a full disk shortens a write without an exception
            rest = memoryview(b"".join(buffers))[written:]
            while rest:
                written = os.write(self._descriptor, rest)
                self.size_bytes += written
                rest = rest[written:]

    @contextmanager
    def mapped(self, start: int) -> Iterator[memoryview]:
        """Give read access to the file from `start` on, without loading it."""
        try:
            mapping = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise out_of_resources(error) from None
        with mapping, memoryview(mapping) as whole, whole[start:] as view:
            yield view

    def start_sync(self) -> None:
        """Begin to write back, so that several files are written side by side."""
        _start_write_back(self._descriptor)

    def sync(self) -> None:
        """Put the bytes on stable storage.

        Raises:
            OutOfResources: the disk failed. After EIO the kernel may have dropped the
                pages: this file is never synced again.
        """
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise out_of_resources(error) from None

    def publish(self, key: str) -> None:
        """Give the file its name; `InstanceFiles.sync_names` makes it last.

        Raises:
            OutOfResources: the disk does not take the name.
        """
        try:
            os.rename(self._path, self._files.file_name(key))
        except OSError as error:
            raise out_of_resources(error) from None
        self._published = True

    def release(self) -> None:
        """Let go of a published file: it has its row, or never gets one.

        Until then its lock keeps `reconcile` away.
        """
        if self._published and self._descriptor >= 0:
            self._close()

    def discard(self) -> None:
        """Remove what is there, unless it was published."""
        if self._published:
            self.release()
        elif self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        try:
            os.close(descriptor)
        except OSError:
            return  # what matters was synced, and is checked there


class InstanceFiles(FileStore):
    """The folder of received instances.

    A key is the name digest of the file (`dicom_node.part10.digest`) and 16 random
    bytes: it is unique, says whether its file is intact, and holds nothing of the
    sender's text. The first random byte is the folder.
    """

    def __init__(self, folder: Path, *, min_free_bytes: int = 0) -> None:
        super().__init__(folder, min_free_bytes=min_free_bytes)
        self._root = f"{folder}{os.sep}"
        # No other process, before or after, makes parts of this name.
        self._parts = f"{folder / PARTS}{os.sep}{os.urandom(_RANDOM_BYTES).hex()}-"
        self._numbers = count()
        self._keys = count()
        self._folder = os.urandom(1).hex()
        self._ready = False
        self._making = threading.Lock()

    def begin(self) -> PartFile:
        """Open a new part file.

        Raises:
            OutOfResources: the disk does not take it.
        """
        try:
            if not self._ready:
                self._make_folders()
            return self._new_part()
        except FileNotFoundError:
            self._ready = False  # somebody removed the folders; the next one makes them
            raise OutOfResources("the folder of instances is gone") from None
        except OSError as error:
            raise out_of_resources(error) from None

    def _new_part(self) -> PartFile:
        """Open a part file; `reconcile` may take it away before its lock is there."""
        for _ in range(PART_TRIES):
            path = f"{self._parts}{next(self._numbers)}{PART_SUFFIX}"
            try:
                return PartFile(path, self)
            except BlockingIOError:
                continue
        raise OSError(errno.EAGAIN, "reconcile took every part file for a dead one")

    def new_key(self, name_digest: str) -> str:
        """Return a new key for a file with this digest (32 hexadecimal digits)."""
        if len(name_digest) != _DIGEST_DIGITS:
            raise StoreError("a digest of a name has 32 hexadecimal digits")
        number = next(self._keys)
        if not number % _KEYS_OF_A_FOLDER:
            self._folder = os.urandom(1).hex()
        return name_digest + self._folder + os.urandom(_RANDOM_BYTES - 1).hex()

    def path(self, key: str) -> Path:
        """Return where the file with this key lies.

        Raises:
            StoreError: this is not a key of this store.
        """
        if not KEY.fullmatch(key):
            raise StoreError("a file key is 64 hexadecimal digits")
        return Path(self.file_name(key))

    def file_name(self, key: str) -> str:
        """Return `path` as text, which costs less."""
        folder = key[_DIGEST_DIGITS : _DIGEST_DIGITS + 2]
        return f"{self._root}{folder}{os.sep}{key}{FILE_SUFFIX}"

    def folder_of(self, key: str) -> str:
        """Return the name of the folder that a key's file lies in."""
        return key[_DIGEST_DIGITS : _DIGEST_DIGITS + 2]

    def intact(self, key: str) -> bool:
        """Say whether the file under this key holds what was received."""
        path = self.path(key)
        try:
            if not is_named_by_content(key, path):
                checked_digest(key, open_stored(path))
        except (StoreError, CannotUnderstand):
            return False
        return True

    def sync_names(self, keys: Iterable[str]) -> None:
        """Put the names of published files on stable storage.

        Raises:
            OutOfResources: the disk failed.
        """
        try:
            for folder in {os.path.dirname(self.file_name(key)) for key in keys}:
                sync_folder(folder)
        except OSError as error:
            raise out_of_resources(error) from None

    def _make_folders(self) -> None:
        """Make all folders at once: no instance waits for one, and one sync does."""
        with self._making:
            self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            names = [PARTS, *(f"{number:02x}" for number in range(256))]
            for name in names:
                (self.folder / name).mkdir(mode=FOLDER_MODE, exist_ok=True)
            sync_folder(self.folder)
            sync_folder(self.folder.parent)
            self._ready = True


# Where there is none, `sync` writes back by itself.
_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)


def _start_write_back(descriptor: int) -> None:
    if _sync_file_range is not None:
        _sync_file_range(
            descriptor,
            ctypes.c_longlong(0),
            ctypes.c_longlong(0),
            _SYNC_FILE_RANGE_WRITE,
        )
