"""Look-up tables: one reader for Modality, VOI and palette (PS3.3 C.11, C.7.9)."""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from dicom_node.core.errors import PixelError
from inference.pixels.attributes import numbers, words

Table = npt.NDArray[np.uint16]
_Entry = TypeVar("_Entry", np.uint16, np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """Three values of a LUT Descriptor.

    Args:
        entries: 1..65536.
        first: first value mapped, with its sign.
        bits: of an entry.
    """

    entries: int
    first: int
    bits: int


def read_descriptor(
    dataset: Dataset, keyword: str, *, lowest: float, highest: float
) -> Descriptor:
    """Read a LUT Descriptor.

    The first value mapped is two's complement where the input can be negative,
    whatever VR the file wrote it with; `lowest` and `highest` are what the input
    can be. An unsigned reading stays where it lies inside that range.

    Raises:
        PixelError: it has not three values, or bits beyond 8 to 16.

    Source: PS3.3 C.11.1.1.1, C.11.2.1.1, C.7.6.3.1.5.
    """
    values = [int(value) for value in numbers(dataset, keyword)]
    if len(values) != 3:
        raise PixelError(f"{keyword} has not three values")
    entries, first, bits = values[0] & 0xFFFF, values[1], values[2] & 0xFFFF
    unsigned = first & 0xFFFF
    if first >= 0:
        wraps = unsigned >= 0x8000 and lowest < 0 and unsigned > highest
        first = unsigned - 0x10000 if wraps else unsigned
    elif lowest >= 0:
        first = unsigned
    if not 8 <= bits <= 16:
        raise PixelError(f"{keyword} has entries of neither 8 nor up to 16 bits")
    return Descriptor(entries=entries or 0x10000, first=first, bits=bits)


def read_table(dataset: Dataset, keyword: str, descriptor: Descriptor) -> Table:
    """Read LUT Data: 16-bit words, or bytes packed two to a word.

    Raises:
        PixelError: there are fewer entries than the descriptor says.
    """
    raw = words(dataset, keyword)
    entries = descriptor.entries
    if len(raw) >= entries * 2:
        return np.frombuffer(raw, "<u2", entries).astype(np.uint16)
    if descriptor.bits == 8 and len(raw) >= entries:
        return np.frombuffer(raw, np.uint8, entries).astype(np.uint16)
    raise PixelError(f"{keyword} has fewer entries than its descriptor says")


def look_up(
    values: npt.NDArray[Any], descriptor: Descriptor, table: npt.NDArray[_Entry]
) -> npt.NDArray[_Entry]:
    """Map values; those outside the table get its first or last entry."""
    low = descriptor.first
    high = low + len(table) - 1
    if values.dtype.kind == "f":
        index = np.clip(np.rint(values), low, high).astype(np.int32)
    else:
        is_wide = values.dtype.itemsize > 2
        index = values.astype(np.int64 if is_wide else np.int32)
        np.clip(index, low, high, out=index)
    index -= low
    found: npt.NDArray[_Entry] = table.take(index)
    return found


def expand_segments(raw: bytes, *, bits: int, entries: int) -> Table:
    """Expand segmented palette data: discrete, linear and indirect segments.

    Raises:
        PixelError: it does not expand to exactly the entries of its descriptor.

    Source: PS3.3 C.7.9.2.
    """
    width = 1 if bits == 8 else 2
    data = np.frombuffer(raw[: len(raw) // width * width], f"<u{width}")
    found: list[int] = []
    position = 0
    try:
        while len(found) < entries:
            position = _expand(data, position, found, entries=entries)
    except (IndexError, ValueError):
        raise PixelError("a segmented palette is broken") from None
    if len(found) != entries:
        raise PixelError("a segmented palette has not the entries of its descriptor")
    return np.array(found, np.uint16)


def _expand(
    data: npt.NDArray[np.generic],
    position: int,
    found: list[int],
    *,
    entries: int,
    is_copy: bool = False,
) -> int:
    """Expand the segment at `position`; return where the next one begins.

    Empty segments and those beyond the entries are errors: copies of them would
    take for ever.
    """
    opcode, length = int(data[position]), int(data[position + 1])
    position += 2
    if not length or len(found) >= entries:
        raise ValueError
    if opcode == 0:
        found.extend(int(value) for value in data[position : position + length])
        return position + length
    if opcode == 1:
        ramp = np.linspace(found[-1], float(data[position]), length + 1)[1:]
        found.extend(int(value) for value in np.rint(ramp))
        return position + 1
    if opcode != 2 or is_copy:  # an indirect segment may not refer to another one
        raise ValueError
    # The offset is a 32-bit count of bytes from the first segment.
    width = data.dtype.itemsize
    offset = int.from_bytes(data[position : position + 4 // width].tobytes(), "little")
    target = offset // width
    for _ in range(length):
        target = _expand(data, target, found, entries=entries, is_copy=True)
    return position + 4 // width
