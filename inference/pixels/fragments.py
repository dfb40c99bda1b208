"""Where each frame's fragments lie in encapsulated Pixel Data (PS3.5 A.4)."""

import struct
from dataclasses import dataclass
from io import BytesIO, FileIO
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from dicom_node.core.errors import PixelError
from inference.pixels.attributes import has

_ITEM = b"\xfe\xff\x00\xe0"
_ITEM_HEADER = struct.Struct("<4sI")
_SEQUENCE_END = b"\xfe\xff\xdd\xe0"
_MOST_FRAGMENTS = 1 << 16  # beside four a frame; an empty one costs 8 bytes
_STARTS = (b"\xff\xd8", b"\xff\x4f")  # of JPEG and JPEG-LS; of JPEG 2000
_END_OF_IMAGE = b"\xff\xd9"  # the last marker of JPEG, JPEG-LS and JPEG 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelBytes:
    """The value of the pixel element, left where it is until a frame is wanted.

    Args:
        path: the file it lies in, or None when `content` holds it.
        start: offset of the value.
        length: in bytes, up to the end of the file when undefined.
    """

    path: Path | None
    content: bytes
    start: int
    length: int

    def open(self) -> BinaryIO:
        """Open what the value lies in, positioned anywhere."""
        if self.path is None:
            return BytesIO(self.content)
        try:
            return self.path.open("rb")
        except OSError:
            raise PixelError("the file with the Pixel Data cannot be read") from None

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` in the value.

        Raises:
            PixelError: the value ends before that.
        """
        if offset < 0 or size < 0 or offset + size > self.length:
            raise PixelError("Pixel Data is shorter than its header says")
        with self.open() as file:
            file.seek(self.start + offset)
            found = file.read(size)
        if len(found) != size:
            raise PixelError("Pixel Data is shorter than its header says")
        return found

    def read_array(self, offset: int, size: int) -> npt.NDArray[np.uint8]:
        """Return the same as `read` in an array of its own, which may be written to.

        numpy asks for large arrays in large pages, which bytes do not get: half the
        time for a radiograph.
        """
        if offset < 0 or size < 0 or offset + size > self.length:
            raise PixelError("Pixel Data is shorter than its header says")
        found = np.empty(size, np.uint8)
        if self.path is None:
            found[:] = np.frombuffer(self.content, np.uint8, size, self.start + offset)
            return found
        try:
            with FileIO(self.path) as file:
                file.seek(self.start + offset)
                count = _fill(file, found.data)
        except OSError:
            raise PixelError("the file with the Pixel Data cannot be read") from None
        if count != size:
            raise PixelError("Pixel Data is shorter than its header says")
        return found


def _fill(file: FileIO, room: memoryview) -> int:
    """Fill the room, or as much of it as the file has: one call reads 2 GiB at most."""
    count = 0
    while count < len(room) and (some := file.readinto(room[count:])):
        count += some
    return count


@dataclass(frozen=True, slots=True)
class Fragment:
    """One fragment: its item's offset from the first item, its value's place."""

    item_offset: int
    offset: int
    size: int


FrameTable = tuple[tuple[Fragment, ...], ...]


def read_frame_table(pixels: PixelBytes, dataset: Dataset, frames: int) -> FrameTable:
    """Find the fragments of every frame.

    Raises:
        PixelError: the items are broken, or do not make up Number of Frames.
    """
    table, fragments = _walk(pixels, most=_MOST_FRAGMENTS + 4 * frames)
    if not fragments:
        raise PixelError("Pixel Data holds no fragment")
    if frames == 1:
        _check_one_frame(pixels, fragments, table)
        return (tuple(fragments),)
    if len(fragments) == frames:
        return tuple((fragment,) for fragment in fragments)
    grouped = _group(fragments, _extended_offsets(dataset) or table, frames)
    return grouped or _split_at_end_of_image(pixels, fragments, frames)


def _check_one_frame(
    pixels: PixelBytes, fragments: list[Fragment], table: tuple[int, ...]
) -> None:
    """Refuse offsets of several codestreams where the header knows one frame."""
    starts = [part for part in fragments if part.item_offset in table[:2]]
    if len(starts) == 2 and all(
        pixels.read(part.offset, min(part.size, 2)) in _STARTS for part in starts
    ):
        raise PixelError("Pixel Data holds more frames than NumberOfFrames says")


def read_frame(pixels: PixelBytes, fragments: tuple[Fragment, ...]) -> bytes:
    """Return one frame's codestream."""
    return b"".join(pixels.read(part.offset, part.size) for part in fragments)


def read_frame_view(pixels: PixelBytes, fragments: tuple[Fragment, ...]) -> memoryview:
    """Return the same as `read_frame` in memory of its own, which may be written to."""
    parts = [pixels.read_array(part.offset, part.size) for part in fragments]
    return (parts[0] if len(parts) == 1 else np.concatenate(parts)).data


def _walk(pixels: PixelBytes, *, most: int) -> tuple[tuple[int, ...], list[Fragment]]:
    """Read the item headers: the Basic Offset Table and every fragment."""
    table: tuple[int, ...] | None = None
    fragments: list[Fragment] = []
    position = origin = 0
    with pixels.open() as file:
        while position + 8 <= pixels.length:
            file.seek(pixels.start + position)
            tag, size = _ITEM_HEADER.unpack(file.read(8))
            if tag == _SEQUENCE_END:
                break
            position += 8
            if tag != _ITEM or position + size > pixels.length:
                raise PixelError("Pixel Data has a fragment that is broken off")
            if table is None:
                content = file.read(size)
                table = tuple(
                    v for (v,) in struct.iter_unpack("<I", content[: size & ~3])
                )
                origin = position + size
            elif len(fragments) == most:
                raise PixelError(f"Pixel Data has more than {most} fragments")
            else:
                fragments.append(Fragment(position - 8 - origin, position, size))
            position += size
    return table or (), fragments


def _group(
    fragments: list[Fragment], offsets: tuple[int, ...], frames: int
) -> FrameTable | None:
    """Group fragments by an offset table, None if the table cannot be right."""
    places = {part.item_offset: index for index, part in enumerate(fragments)}
    starts = [places.get(offset, -1) for offset in offsets]
    if len(starts) != frames or -1 in starts or starts != sorted(set(starts)):
        return None
    return tuple(tuple(fragments[a:b]) for a, b in pairwise([*starts, len(fragments)]))


def _extended_offsets(dataset: Dataset) -> tuple[int, ...]:
    """Return the Extended Offset Table (PS3.3 C.7.6.3.1.8)."""
    if not has(dataset, "ExtendedOffsetTable"):
        return ()
    value = dataset.get_item("ExtendedOffsetTable").value
    if not isinstance(value, bytes) or len(value) % 8:
        raise PixelError("ExtendedOffsetTable is not made of 64-bit offsets")
    return struct.unpack(f"<{len(value) // 8}Q", value)


def _split_at_end_of_image(
    pixels: PixelBytes, fragments: list[Fragment], frames: int
) -> FrameTable:
    """Group fragments by the end-of-image marker, for want of an offset table."""
    ends = [0]
    for index, part in enumerate(fragments):
        tail = min(part.size, 10)
        if _END_OF_IMAGE in pixels.read(part.offset + part.size - tail, tail):
            ends.append(index + 1)
    if len(ends) - 1 != frames:
        raise PixelError("Pixel Data does not hold NumberOfFrames frames")
    return tuple(tuple(fragments[a:b]) for a, b in pairwise(ends))
