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
_BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file of this node, open at the time it was made.

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

    def blocks(self) -> Iterator[bytes]:
        """Read the data set; a disk that fails is an error here, not a signal.

        Raises:
            StoreError: it cannot be read.
        """
        with _reading(), self.path.open("rb") as stream:
            stream.seek(self.head.size_bytes)
            while block := stream.read(_BLOCK_BYTES):
                yield block


def open_stored(path: Path) -> StoredFile:
    """Open a file of this node.

    Raises:
        StoreError: it cannot be read.
        CannotUnderstand: it has another head than this node writes.
    """
    with _reading(), path.open("rb") as stream:
        beginning = stream.read(HEAD_BYTES)
        head = read_head(beginning)
        status = os.fstat(stream.fileno())
    return StoredFile(
        path=path,
        head=head,
        beginning=beginning[head.size_bytes :],
        size_bytes=status.st_size - head.size_bytes,
        modified_at=status.st_mtime,
    )


def checked_digest(key: str, file: StoredFile) -> str:
    """Return the digest of the data set, 32 hexadecimal digits.

    Raises:
        StoreError: the file cannot be read.
        CannotUnderstand: it is not what was stored under this key.
    """
    digest = dataset_digest()
    for block in file.blocks():
        digest.update(block)
    with _reading(), file.path.open("rb") as stream:
        head = stream.read(file.head.size_bytes)
        if names(key, name_digest(head, digest.digest())):
            return digest.hexdigest()
        if _sha256(stream) == key:  # what was kept by version 0.1 has such a key
            return digest.hexdigest()
    raise CannotUnderstand("the file is not what was stored under its key")


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
