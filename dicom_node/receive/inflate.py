"""Inflate a deflated data set under limits and in bounded memory (PS3.5 A.5)."""

import mmap
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from dicom_node.core.errors import CannotUnderstand, OutOfResources
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.view import DatasetView

_RAW_DEFLATE: Final = -zlib.MAX_WBITS
_STEP_BYTES: Final = 1 << 18
# So much is kept in memory; a walk seldom looks behind it.
_HEAD_BYTES: Final = 1 << 18
# A data set of zeros deflates 1000 to 1, a real one rarely 20 to 1: below the floor
# any ratio is taken, above it only what an image can reach.
MAX_RATIO: Final = 100
RATIO_FLOOR_BYTES: Final = 64 << 20


def inflated(deflated: DatasetView, limits: ScanLimits) -> DatasetView:
    """View the inflated data set.

    It is inflated once for its size and its beginning, and a second time into a file
    only if somebody wants to see the whole.

    Raises:
        CannotUnderstand: not a whole raw deflate stream, more than the limit, or more
            than 100 times the deflated bytes once past 64 MiB.
    """
    head, size = bytearray(), 0
    for block in _blocks(deflated, limits):
        size += len(block)
        if len(head) < _HEAD_BYTES:
            head += block[: _HEAD_BYTES - len(head)]

    @contextmanager
    def whole() -> Iterator[memoryview]:
        with _file(deflated, size, limits) as descriptor:
            mapping = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
            with mapping, memoryview(mapping) as view:
                yield view

    return DatasetView(bytes(head), size, whole)


def _blocks(deflated: DatasetView, limits: ScanLimits) -> Iterator[bytes]:
    if deflated.size_bytes == len(deflated.head):
        yield from _inflate(memoryview(deflated.head), limits)
        return
    with deflated.whole() as content:
        yield from _inflate(content, limits)


def _inflate(deflated: memoryview, limits: ScanLimits) -> Iterator[bytes]:
    """Yield the inflated bytes in blocks of at most `_STEP_BYTES`."""
    limit = min(
        limits.max_inflated_bytes, max(RATIO_FLOOR_BYTES, MAX_RATIO * len(deflated))
    )
    inflater = zlib.decompressobj(_RAW_DEFLATE)
    position, pending = 0, b""
    while not inflater.eof:
        if not pending:
            pending = bytes(deflated[position : position + _STEP_BYTES])
            position += len(pending)
        ended = not pending
        try:
            block = inflater.decompress(pending, _STEP_BYTES)
        except zlib.error:
            raise CannotUnderstand(
                "the data set is not deflated as negotiated"
            ) from None
        if ended and not block and not inflater.eof:
            raise CannotUnderstand("the deflated data set is cut off")
        pending = inflater.unconsumed_tail
        limit -= len(block)
        if limit < 0:
            raise CannotUnderstand("the deflated data set inflates past the limit")
        yield block


@contextmanager
def _file(deflated: DatasetView, size: int, limits: ScanLimits) -> Iterator[int]:
    """Inflate into a file without a name."""
    folder = limits.folder
    if folder is not None and not folder.is_dir():
        folder = None
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            status = os.fstatvfs(file.fileno())
            if status.f_bavail * status.f_frsize - size < limits.min_free_bytes:
                raise OutOfResources("free disk space is below receive.min_free_bytes")
            for block in _blocks(deflated, limits):
                _write(file.fileno(), block)
            yield file.fileno()
    except OSError as error:
        raise OutOfResources(
            f"the disk does not take the inflated data set: {type(error).__name__}"
        ) from None


def _write(descriptor: int, block: bytes) -> None:
    """Write every byte: a full disk shortens a write without an exception."""
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
