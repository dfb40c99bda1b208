"""Go fast over the elements that need no closer look.

Nothing is decided here: whatever is unusual stays where it is for `elements.walk`,
and an element that is skipped is one that the walk would have passed as well.
"""

from typing import Final

from dicom_node.receive.layout import (
    DELIMITERS,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_END,
    PIXEL_GROUP,
    SEQUENCE_END,
    SEQUENCE_TAGS,
    UNDEFINED,
)
from dicom_node.receive.private import CREATOR_ELEMENTS
from dicom_node.receive.progress import BYTES_AT_ONCE, Frame, Progress

_SHORT_BYTES: Final = 64  # of most values that are wanted
_NOTHING: Final[frozenset[int]] = frozenset()
# What is notable in the even and in the odd groups that have nothing wanted.
_OTHER: Final = (_NOTHING, CREATOR_ELEMENTS)


def skim_explicit(progress: Progress, frame: Frame) -> None:
    """Go over elements of explicit VR (PS3.5 7.1.2)."""
    encoding, wanted, values = frame.encoding, frame.wanted, progress.values
    unpack, short_vr = encoding.header, encoding.short_vr
    data, position = progress.data, progress.position
    end = min(frame.end, progress.known, position + BYTES_AT_ONCE)
    last, count, empty, current = end - 8, 0, 0, -1
    while position <= last:
        group, element, vr, length = unpack(data, position)
        if group != current:
            if not wanted.lowest_group <= group < PIXEL_GROUP:
                break
            current, notable = group, wanted.notable.get(group, _OTHER[group & 1])
        if vr in short_vr:
            stop = position + 8 + length
            if element in notable:
                tag = group << 16 | element
                if stop > end or length > _SHORT_BYTES or tag in values:
                    break
                value = bytes(data[position + 8 : stop])
                if group & 1:
                    frame.blocks.declare(tag, value)
                else:
                    values[tag] = value
            if not length:
                empty += 1
        elif vr == encoding.sequence_vr and element not in notable:
            stop = _skim_sequence(progress, frame, position + 8, end)
        elif vr in encoding.plain_vr and element not in notable:
            stop = _skim_long(progress, frame, position + 8, end)
        else:
            break
        if not stop:
            break
        position = stop
        count += 1
    progress.advance(position, count, empty)


def skim_implicit(progress: Progress, frame: Frame) -> None:
    """Go over elements of implicit VR (PS3.5 7.1.3)."""
    wanted, longest = frame.wanted, progress.longest
    unpack, item_starts = IMPLICIT_LITTLE.peek, IMPLICIT_LITTLE.item_starts
    data, position = progress.data, progress.position
    end = min(frame.end, progress.known, position + BYTES_AT_ONCE)
    last, count, empty, current = end - 12, 0, 0, -1
    while position <= last:
        group, element, length, start = unpack(data, position)
        if group != current:
            if not wanted.lowest_group <= group < PIXEL_GROUP:
                break
            current = group
            if group & 1:
                notable = frame.blocks.notable(group)
            else:
                notable = wanted.notable_implicit.get(group, _NOTHING)
        stop = position + 8 + length
        if element in notable and group << 16 | element in SEQUENCE_TAGS:
            stop = _skim_sequence(progress, frame, position + 4, end)
            if not stop:
                break
            length = 1  # whether it is empty has been counted
        elif start in item_starts or length > longest:
            break
        elif element in notable:
            if not _note(progress, frame, group << 16 | element, (position + 8, stop)):
                break
            if group & 1:
                current = -1  # what is notable in the group may have changed
        if not length:
            empty += 1
        position = stop
        count += 1
    progress.advance(position, count, empty)


def _note(progress: Progress, frame: Frame, tag: int, span: tuple[int, int]) -> bool:
    """Keep a wanted value or a private creator; False if it needs a closer look."""
    start, stop = span
    creator = tag >> 16 & 1 and tag & 0xFFFF in CREATOR_ELEMENTS
    if not creator and (tag not in frame.wanted.tags or tag in progress.values):
        return False
    if stop > min(frame.end, progress.known) or stop - start > _SHORT_BYTES:
        return False
    value = bytes(progress.data[start:stop])
    if creator:
        frame.blocks.declare(tag, value)
    else:
        progress.values[tag] = value
    return True


def _skim_long(progress: Progress, frame: Frame, position: int, end: int) -> int:
    """Go over an element of long VR that can be no sequence.

    Args:
        position: of its length, of four bytes.

    Returns:
        Where it ends, 0 if it needs a closer look.
    """
    if position + 8 > end:
        return 0
    length, start = frame.encoding.peek(progress.data, position)
    if start in frame.encoding.item_starts or length > progress.longest:
        return 0
    if not length:
        progress.advance(progress.position, 0, 1)
    return position + 4 + int(length)


def _skim_sequence(progress: Progress, frame: Frame, position: int, end: int) -> int:
    """Go over a sequence that holds no others.

    Args:
        position: of its length, of four bytes.

    Returns:
        Where it ends, 0 if it needs a closer look.
    """
    if frame.depth >= progress.limits.max_depth or position + 4 > end:
        return 0
    (length,) = frame.encoding.length(progress.data, position)
    position += 4
    if length == UNDEFINED:
        return _skim_items(progress, frame, position, end, bounded=False)
    if not length:
        progress.advance(progress.position, 0, 1)
        return position
    if length > end - position:
        return 0
    return _skim_items(progress, frame, position, position + length, bounded=True)


def _skim_items(
    progress: Progress, frame: Frame, position: int, end: int, *, bounded: bool
) -> int:
    encoding, data = frame.encoding, progress.data
    skim_item = _skim_explicit_item if encoding.explicit else _skim_implicit_item
    count = empty = 0
    unended = False
    while position + 8 <= end:
        group, element, size = encoding.item(data, position)
        position += 8
        count += 1
        if group != DELIMITERS:
            return 0
        if element == ITEM and not unended:
            unended = size == UNDEFINED
            item_end = end if unended else position + size
            if item_end > end:
                return 0
            position, elements, empties = skim_item(progress, frame, position, item_end)
            if not unended and position != item_end:
                return 0
            count += elements
            empty += empties
        elif element == ITEM_END and unended:
            unended = False
        elif element == SEQUENCE_END and not unended and not bounded:
            end, bounded = position, True
        else:
            return 0
    if unended or not bounded or position != end:
        return 0
    progress.advance(progress.position, count, empty)
    return position


def _skim_explicit_item(
    progress: Progress, frame: Frame, position: int, end: int
) -> tuple[int, int, int]:
    """Return how far it comes, over how many elements, and how many empty ones."""
    encoding, data = frame.encoding, progress.data
    unpack, short_vr = encoding.header, encoding.short_vr
    last, count, empty = end - 8, 0, 0
    while position <= last:
        group, _, vr, length = unpack(data, position)
        if group == DELIMITERS:
            break
        if vr in short_vr:
            stop = position + 8 + length
        elif vr in encoding.plain_vr and position + 16 <= end:
            length, start = encoding.peek(data, position + 8)
            if start in encoding.item_starts or length > progress.longest:
                break
            stop = position + 12 + length
        else:
            break
        if not length:
            empty += 1
        position = stop
        count += 1
    return position, count, empty


def _skim_implicit_item(
    progress: Progress, frame: Frame, position: int, end: int
) -> tuple[int, int, int]:
    """Do as `_skim_explicit_item` does."""
    encoding, data, longest = frame.encoding, progress.data, progress.longest
    unpack, item_starts = encoding.peek, encoding.item_starts
    last, count, empty = end - 12, 0, 0
    while position <= last:
        group, element, length, start = unpack(data, position)
        if group == DELIMITERS or start in item_starts or length > longest:
            break
        if group & 1:
            if element in CREATOR_ELEMENTS:
                break
        elif group << 16 | element in SEQUENCE_TAGS:
            break
        if not length:
            empty += 1
        position += 8 + length
        count += 1
    return position, count, empty
