"""Scan a little endian header for the elements that images are judged by.

pydicom reads every element before the first one can be asked for. Here everything
but the wanted elements is stepped over, which takes a tenth of the time. Whatever
is unusual ends the scan, and pydicom reads the file instead.
"""

import struct
from dataclasses import dataclass
from typing import BinaryIO, Final, cast

from pydicom.charset import convert_encodings, default_encoding
from pydicom.dataelem import (
    DataElement,
    RawDataElement,
    convert_raw_data_element,
    empty_value_for_VR,
)
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from inference.pixels.attributes import tag_of
from inference.pixels.wanted import PIXEL_ELEMENTS, PIXEL_NUMBERS, WANTED, as_in_file

_WINDOW: Final = 32 << 10
_UNDEFINED: Final = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xE000FFFE, 0xE00DFFFE, 0xE0DDFFFE
_TRANSFER_SYNTAX, _META_GROUP = 0x00100002, 2
_CHARACTER_SET: Final = tag_of("SpecificCharacterSet")

# Size of the length field by VR, PS3.5 7.1.2; another VR ends the scan.
_SHORT = "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US"
_LONG = "OB OD OF OL OV OW SQ SV UC UN UR UT UV"
LENGTH_BYTES: Final = {
    vr.encode(): size for size, vrs in ((2, _SHORT), (4, _LONG)) for vr in vrs.split()
}
_NAMES: Final = {code: code.decode() for code in LENGTH_BYTES}
_EXPLICIT = struct.Struct("<I2sH").unpack_from
_IMPLICIT = struct.Struct("<II").unpack_from
_LENGTH = struct.Struct("<I").unpack_from


class _UnusualError(Exception):
    """The header is not one that is scanned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a scan found.

    Args:
        dataset: the wanted elements, as pydicom would have read them.
        tag: of the pixel element.
        vr: of the pixel element; "OW" in implicit VR.
        length: of its value, 0xFFFFFFFF when undefined.
        start: offset of its value in the file.
        skipped: where the values begin and end that were stepped over; None where
            pydicom read the header.
    """

    dataset: Dataset
    tag: int
    vr: str
    length: int
    start: int
    skipped: tuple[tuple[int, int], ...] | None = None

    @property
    def element(self) -> str:
        """Keyword of the pixel element."""
        return PIXEL_ELEMENTS[self.tag]


class _View:
    """A window on the file that follows the scan; offsets are those of the file."""

    __slots__ = ("base", "buffer", "file", "size")

    def __init__(self, file: BinaryIO, buffer: bytes, size: int) -> None:
        self.file, self.buffer, self.size, self.base = file, buffer, size, 0

    def move(self, start: int, need: int) -> int:
        """Hold `need` bytes from `start`; return where in the buffer they begin."""
        if need > self.size - start:
            raise _UnusualError
        offset = start - self.base
        if offset < 0 or offset + need > len(self.buffer):
            self.file.seek(start)
            self.buffer, self.base = self.file.read(max(need, _WINDOW)), start
            if len(self.buffer) < need:
                raise _UnusualError
            return 0
        return offset


def scan_transfer_syntax(head: bytes) -> tuple[str, int] | None:
    """Find the Transfer Syntax UID and where the data set begins.

    Returns:
        None where the File Meta Information is not as PS3.10 7.1 has it.
    """
    if head[128:132] != b"DICM":
        return None
    position, syntax = 132, ""
    while position + 12 <= len(head):
        number, vr, length = _EXPLICIT(head, position)
        if number & 0xFFFF != _META_GROUP:
            return (syntax, position) if syntax else None
        size = LENGTH_BYTES.get(vr)
        if size is None:
            return None
        value = position + 8
        if size == 4:
            (length,) = _LENGTH(head, value)
            value += 4
        position = value + length
        if number == _TRANSFER_SYNTAX:
            text = head[value:position].strip(b" \0")
            if syntax or not text.replace(b".", b"").isdigit():
                return None
            syntax = text.decode("ascii")
    return None


def scan_header(
    file: BinaryIO, head: bytes, *, size: int, start: int, is_implicit: bool
) -> Header | None:
    """Scan a data set up to its pixels.

    Args:
        head: the beginning of the file.
        size: of the file, in bytes.
        start: offset of the data set.

    Returns:
        None where pydicom must read the file: no pixels, broken off, or an
        encoding that only pydicom gets along with.
    """
    view = _View(file, head, size)
    try:
        offset = view.move(start, 8)
        looks_explicit = head[offset + 4 : offset + 6].isalpha()
        if looks_explicit == is_implicit:
            return None
        return _scan(view, start, is_implicit)
    except (_UnusualError, struct.error):
        return None


def _scan(view: _View, position: int, is_implicit: bool) -> Header:
    """Step from element to element; the loop is what reading a header costs."""
    found: dict[BaseTag, RawDataElement | DataElement] = {}
    skipped: list[tuple[int, int]] = []
    unpack = _IMPLICIT if is_implicit else _EXPLICIT
    last = -1
    while True:
        buffer, offset = view.buffer, position - view.base
        if offset + 12 > len(buffer):
            offset = view.move(position, min(12, view.size - position))
            buffer = view.buffer
        vr: str | None = None
        if is_implicit:
            number, length = unpack(buffer, offset)
            value = position + 8
        else:
            number, code, length = unpack(buffer, offset)
            field = LENGTH_BYTES.get(code)
            if field is None:
                raise _UnusualError
            value = position + 8
            if field == 4:
                (length,) = _LENGTH(buffer, offset + 8)
                value = position + 12
            vr = _NAMES[code]
        if number & 0xFFFF == 0xFFFE:  # a delimiter where there is nothing to end
            raise _UnusualError
        tag = WANTED.get(number)
        if number in PIXEL_NUMBERS:
            return Header(
                dataset=_as_dataset(found, is_implicit),
                tag=PIXEL_NUMBERS[number],
                vr=vr or "OW",
                length=length,
                start=value,
                skipped=tuple(skipped),
            )
        if length == _UNDEFINED:
            if vr == "UN" or (tag is not None and vr not in ("SQ", None)):
                raise _UnusualError
            end, position = _end_of_items(view, value, is_implicit)
            length = end - value
        else:
            position = value + length
        if tag is not None:
            order = as_in_file(number)
            if order <= last:  # out of order or twice
                raise _UnusualError
            last = order
            found[tag] = _raw(view, tag, (vr, is_implicit), (value, length))
        elif position > view.size:
            raise _UnusualError
        elif position == value + length:  # no items that were walked through
            skipped.append((value, position))


def _raw(
    view: _View, tag: BaseTag, encoding: tuple[str | None, bool], place: tuple[int, int]
) -> RawDataElement:
    vr, is_implicit = encoding
    value, length = place
    if length:
        offset = view.move(value, length)
        content: bytes | None = view.buffer[offset : offset + length]
    else:
        content = cast("bytes | None", empty_value_for_VR(vr, raw=True))
    return RawDataElement(tag, vr, length, content, value, is_implicit, True)


def _as_dataset(
    found: dict[BaseTag, RawDataElement | DataElement], is_implicit: bool
) -> Dataset:
    """Make the data set as `pydicom.filereader.read_dataset` does."""
    dataset = Dataset(found)
    raw = found.get(_CHARACTER_SET)
    if not isinstance(raw, RawDataElement):
        dataset.set_original_encoding(is_implicit, True, default_encoding)
    else:
        names = convert_raw_data_element(raw).value
        dataset.set_original_encoding(is_implicit, True, convert_encodings(names))
    return dataset


def _end_of_items(view: _View, position: int, is_implicit: bool) -> tuple[int, int]:
    """Find the end of a sequence of undefined length.

    Returns:
        Where its delimiter begins, and where the next element does.

    Source: PS3.5 7.5.1, 7.5.2.
    """
    in_item = [False]  # of every open level: inside an item, or between two
    buffer, base = view.buffer, view.base
    while True:
        offset = position - base
        if not 0 <= offset <= len(buffer) - 12:
            offset = view.move(position, min(12, view.size - position))
            buffer, base = view.buffer, view.base
        number, length = _IMPLICIT(buffer, offset)
        position += 8
        if number & 0xFFFF == 0xFFFE:
            if number == (_ITEM_END if in_item[-1] else _SEQUENCE_END):
                in_item.pop()
                if not in_item:
                    return position - 8, position
                continue
            if in_item[-1] or number != _ITEM:
                raise _UnusualError
        elif not in_item[-1]:
            raise _UnusualError
        elif not is_implicit:
            field = LENGTH_BYTES.get(buffer[offset + 4 : offset + 6])
            if field == 2:
                length = length >> 16
            elif field == 4:
                (length,) = _LENGTH(buffer, offset + 8)
                position += 4
            else:
                raise _UnusualError
        if length != _UNDEFINED:
            position += length
        elif buffer[offset + 4 : offset + 6] == b"UN" and not is_implicit:
            raise _UnusualError  # implicit VR inside, PS3.5 6.2.2
        else:
            in_item.append(not in_item[-1])
