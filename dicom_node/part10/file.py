"""Read a file that this node wrote, and prove that it is what was received."""

import hashlib
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final

from dicom_node.core.errors import CannotUnderstand, StoreError
from dicom_node.part10.digest import dataset_digest, name_digest, names
from dicom_node.part10.head import FileHead, read_head

HEAD_BYTES: Final = 1 << 16
_MAX_FILE_HEAD: Final = 4096
_BLOCK_BYTES: Final = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Part10File:
    """A Part 10 file as it was when it was opened.

    Args:
        beginning: the first bytes of the data set, all of them if there are
            `size_bytes`.
        size_bytes: of the data set.
        modified_at: seconds since 1970.
    """

    path: Path
    head: FileHead
    beginning: bytes
    size_bytes: int
    modified_at: float

    @contextmanager
    def dataset(self) -> Iterator[memoryview]:
        """Give read access to the data set without loading it.

        Raises:
            StoreError: the file cannot be opened, or is not as long as it was.
        """
        start = self.head.size_bytes
        size = start + self.size_bytes
        with _reading(), self.path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size != size:
                raise StoreError("a stored file is not as long as it was")
            mapping = mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_READ)
        with mapping, memoryview(mapping) as whole, whole[start:] as view:
            yield view

    def blocks(self) -> Iterator[memoryview]:
        """Read the data set; a disk that fails is an error here, not a signal.

        Each block is overwritten by the next, so that all stay in the cache.

        Raises:
            StoreError: it cannot be read.
        """
        room = memoryview(bytearray(_BLOCK_BYTES))
        with _reading(), self.path.open("rb", buffering=0) as stream:
            stream.seek(self.head.size_bytes)
            while count := stream.readinto(room):
                yield room[:count]


def open_stored(path: Path) -> Part10File:
    """Open a file of this node.

    Raises:
        StoreError: it cannot be read.
        CannotUnderstand: it has another head than this node writes.
    """
    with _reading(), path.open("rb") as stream:
        head = read_head(stream.read(_MAX_FILE_HEAD))
    return open_behind(path, head)


def open_behind(path: Path, head: FileHead) -> Part10File:
    """Open a file with this head.

    Raises:
        StoreError: it cannot be read.
    """
    with _reading(), path.open("rb") as stream:
        status = os.fstat(stream.fileno())
        stream.seek(head.size_bytes)
        beginning = stream.read(HEAD_BYTES)
    return Part10File(
        path=path,
        head=head,
        beginning=beginning,
        size_bytes=max(status.st_size - head.size_bytes, 0),
        modified_at=status.st_mtime,
    )


def digest_of(file: Part10File) -> bytes:
    """Return the digest of the data set, 16 bytes.

    Raises:
        StoreError: the file cannot be read.
    """
    digest = dataset_digest()
    for block in file.blocks():
        digest.update(block)
    return digest.digest()


def checked_digest(key: str, file: Part10File) -> str:
    """Return the digest of the data set, 32 hexadecimal digits.

    Raises:
        StoreError: the file cannot be read.
        CannotUnderstand: it is not what was stored under this key.
    """
    digest = digest_of(file)
    with _reading(), file.path.open("rb") as stream:
        head = stream.read(file.head.size_bytes)
        # What version 0.1 kept is named by the SHA-256 of the whole file.
        if not names(key, name_digest(head, digest)) and key != _sha256(stream):
            raise CannotUnderstand("the file is not what was stored under its key")
    return digest.hex()


def is_named_by_content(key: str, path: Path) -> bool:
    """Say whether a file is what its key names; reads it once and keeps nothing.

    Raises:
        StoreError: it cannot be read.
        CannotUnderstand: it has another head than this node writes.
    """
    digest = dataset_digest()
    room = memoryview(bytearray(_BLOCK_BYTES))
    with _reading(), path.open("rb", buffering=0) as stream:
        count = stream.readinto(room)
        start = read_head(room[: min(count, _MAX_FILE_HEAD)]).size_bytes
        head = bytes(room[:start])
        digest.update(room[start:count])
        while count := stream.readinto(room):
            digest.update(room[:count])
    return names(key, name_digest(head, digest.digest()))


def _sha256(stream: BufferedReader) -> str:
    stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"a stored file cannot be read: {type(error).__name__}") from (
            None
        )
