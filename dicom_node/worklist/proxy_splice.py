"""Change a few elements of an encoded data set and leave every other byte as it is.

Source: PS3.5 7.1 (elements), 7.5 (sequences), 6.2.2 note 2 (UN of undefined length).
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_UNDEFINED: Final = 0xFFFFFFFF
_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_DEPTH: Final = 16
# PS3.5 table 7.1-1: these have a length of four bytes.
_LONG: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_TAG: Final = struct.Struct("<HH")
_SHORT_LENGTH: Final = struct.Struct("<H")
_LENGTH: Final = struct.Struct("<I")


class NotUnderstood(ValueError):
    """The bytes are no data set in this encoding; the text holds none of them."""


@dataclass(frozen=True, slots=True)
class Element:
    """Where an element lies, from its tag to its end.

    Args:
        tag: group and element as one number, e.g. 0x00400100.
        value: where its value starts.
    """

    tag: int
    vr: bytes
    start: int
    value: int
    end: int


def read_elements(encoded: bytes, *, explicit: bool) -> tuple[Element, ...]:
    """Return the elements of the outermost level, in their order.

    Raises:
        NotUnderstood: a length does not fit.
    """
    elements = []
    position = 0
    while position < len(encoded):
        element = _element(encoded, position, explicit=explicit, depth=0)
        elements.append(element)
        position = element.end
    return tuple(elements)


def values_of(encoded: bytes, elements: tuple[Element, ...]) -> Mapping[int, bytes]:
    """Return the values of the outermost level by tag."""
    return {one.tag: encoded[one.value : one.end] for one in elements}


def splice(
    encoded: bytes, changes: Mapping[int, tuple[bytes, bytes]], *, explicit: bool
) -> bytes:
    """Return the data set with these elements in the place of their former selves.

    Args:
        changes: VR and value by tag; VRs with a length of two bytes.

    Raises:
        NotUnderstood: it cannot be read.
    """
    elements = read_elements(encoded, explicit=explicit)
    parts = [
        (one.tag, encoded[one.start : one.end])
        for one in elements
        if one.tag not in changes
    ]
    parts += [
        (tag, _encode(tag, vr, value, explicit=explicit))
        for tag, (vr, value) in changes.items()
    ]
    return b"".join(part for _, part in sorted(parts, key=lambda part: part[0]))


def _encode(tag: int, vr: bytes, value: bytes, *, explicit: bool) -> bytes:
    value += b" " * (len(value) % 2)
    head = _TAG.pack(tag >> 16, tag & 0xFFFF)
    if explicit:
        return head + vr + _SHORT_LENGTH.pack(len(value)) + value
    return head + _LENGTH.pack(len(value)) + value


def _element(encoded: bytes, start: int, *, explicit: bool, depth: int) -> Element:
    tag, position = _tag(encoded, start), start + 4
    vr = b""
    if explicit:
        vr, position = encoded[position : position + 2], position + 2
        if not (vr.isalpha() and vr.isupper()):
            raise NotUnderstood("an element has no VR")
    if explicit and vr not in _LONG:
        length, value = _short(encoded, position), position + 2
    else:
        position += 2 if explicit else 0
        length, value = _long(encoded, position), position + 4
    if length == _UNDEFINED:
        end = _end_of_items(
            encoded, value, explicit=explicit and vr != b"UN", depth=depth + 1
        )
    else:
        end = value + length
    if end > len(encoded):
        raise NotUnderstood("an element is longer than its data set")
    return Element(tag, vr, start, value, end)


def _end_of_items(encoded: bytes, start: int, *, explicit: bool, depth: int) -> int:
    if depth > _DEPTH:
        raise NotUnderstood("sequences are nested too deeply")
    position = start
    while True:
        tag, length = _tag(encoded, position), _long(encoded, position + 4)
        position += 8
        if tag == _SEQUENCE_END:
            return position
        if tag != _ITEM:
            raise NotUnderstood("a sequence holds something else than items")
        if length != _UNDEFINED:
            position += length
            continue
        while _tag(encoded, position) != _ITEM_END:
            inner = _element(encoded, position, explicit=explicit, depth=depth)
            position = inner.end
        position += 8


def _tag(encoded: bytes, position: int) -> int:
    if position + 4 > len(encoded):
        raise NotUnderstood("an element is cut off")
    group, element = _TAG.unpack_from(encoded, position)
    return int(group) << 16 | int(element)


def _short(encoded: bytes, position: int) -> int:
    if position + 2 > len(encoded):
        raise NotUnderstood("an element is cut off")
    return int(_SHORT_LENGTH.unpack_from(encoded, position)[0])


def _long(encoded: bytes, position: int) -> int:
    if position + 4 > len(encoded):
        raise NotUnderstood("an element is cut off")
    return int(_LENGTH.unpack_from(encoded, position)[0])
