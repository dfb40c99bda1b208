"""Go fast over the elements that need no closer look.

Nothing is decided here: whatever is unusual stays where it is for `elements.walk`,
and an element that is skipped is one that the walk would have passed as well.
"""

import time
from typing import Final

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.layout import (
    CREATOR_ELEMENTS,
    DELIMITERS,
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_END,
    PIXEL_TAGS,
    SEQUENCE_END,
    SEQUENCE_TAGS,
    UNDEFINED,
    Encoding,
    PixelElement,
    PrivateBlocks,
)
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.view import Source

MAX_VALUE_BYTES: Final = 4096  # of a wanted value, the rest does not matter
_SHORT_BYTES: Final = 64  # of most values that are wanted
# At most so many elements between two looks at the clock.
_ELEMENTS_AT_ONCE: Final = 10_000
_BYTES_AT_ONCE: Final = 8 * _ELEMENTS_AT_ONCE


class Wanted:
    """The tags whose values are kept, prepared for skimming.

    Args:
        tags: not of private elements, and none of Pixel Data.
    """

    __slots__ = ("lowest_group", "notable", "notable_implicit", "tags")

    def __init__(self, tags: frozenset[int], *, lowest_group: int = 3) -> None:
        self.tags = tags
        # Group 0002 would be read as File Meta Information of our file.
        self.lowest_group = lowest_group
        self.notable = _by_group(tags | PIXEL_TAGS)
        self.notable_implicit = _by_group(tags | PIXEL_TAGS | SEQUENCE_TAGS)


def _by_group(tags: frozenset[int]) -> dict[int, frozenset[int]]:
    found: dict[int, set[int]] = {}
    for tag in tags:
        found.setdefault(tag >> 16, set()).add(tag & 0xFFFF)
    return {group: frozenset(elements) for group, elements in found.items()}


_NOTHING: Final[frozenset[int]] = frozenset()
# What is notable in the even and in the odd groups that have nothing wanted.
_OTHER: Final = (_NOTHING, CREATOR_ELEMENTS)
NOT_WANTED: Final = Wanted(frozenset(), lowest_group=0)


class Frame:
    """The whole data set, or a sequence with its open item.

    Attributes:
        encoding: of the elements of the data set that is open.
        end: where that ends, or where what it lies in ends if it has no length.
        defined: whether it has a length.
        last, bounded: the same of the sequence that it is an item of.
        depth: how many sequences it lies in.
        guess: it may be no sequence at all; then its bytes are opaque.
        unknown: a sequence under VR UN, implicit by PS3.5 6.2.2 and explicit in files
            of some writers.
    """

    __slots__ = (
        "blocks",
        "bounded",
        "defined",
        "depth",
        "encoding",
        "end",
        "guess",
        "last",
        "unknown",
        "wanted",
    )

    def __init__(self, encoding: Encoding, end: int, wanted: Wanted) -> None:
        self.encoding = encoding
        self.end = self.last = end
        self.defined = self.bounded = True
        self.guess = self.unknown = False
        self.wanted = wanted
        self.depth = 0
        self.blocks = PrivateBlocks()

    def has_sequence(self, tag: int) -> bool:
        """Say whether a dictionary has a sequence under this tag."""
        return self.blocks.has_sequence(tag) if tag >> 16 & 1 else tag in SEQUENCE_TAGS


class Progress:
    """How far a walk has come, and what it has found."""

    def __init__(self, source: Source, limits: ScanLimits) -> None:
        self._source = source
        self.data = source.data
        self.known = source.known
        self.limits = limits
        self.longest = min(limits.max_element_bytes, UNDEFINED - 1)
        self.position = 0
        self.elements_left = limits.max_elements
        self.empty_left = limits.max_empty_elements
        self.pause = max(limits.max_elements - _ELEMENTS_AT_ONCE, 0)
        self.values: dict[int, bytes] = {}
        self.pixels: list[PixelElement] = []
        self._deadline = 0.0

    def reach_all(self) -> None:
        """Let `data` be the whole data set."""
        self._source.reach_all()
        self.data, self.known = self._source.data, self._source.known

    def look(self) -> None:
        """Raise CannotUnderstand when there are too many elements, or no end of them.

        Due whenever `elements_left` falls below `pause`.
        """
        if self.elements_left < 0 or self.empty_left < 0:
            raise CannotUnderstand("the data set has too many elements or empty ones")
        self.pause = max(self.elements_left - _ELEMENTS_AT_ONCE, 0)
        now = time.thread_time()
        if not self._deadline:
            self._deadline = now + self.limits.max_scan_seconds
        elif now > self._deadline:
            raise CannotUnderstand("the data set takes too long to read")


def skim_explicit(progress: Progress, frame: Frame) -> None:
    """Go over elements of explicit VR (PS3.5 7.1.2)."""
    encoding, wanted, values = frame.encoding, frame.wanted, progress.values
    unpack, short_vr = encoding.header, encoding.short_vr
    data, position = progress.data, progress.position
    end = min(frame.end, progress.known, position + _BYTES_AT_ONCE)
    last, count, empty, current = end - 8, 0, 0, -1
    while position <= last:
        group, element, vr, length = unpack(data, position)
        if group != current:
            if not wanted.lowest_group <= group < DELIMITERS:
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
        elif vr == encoding.sequence_vr:
            stop = _skim_sequence(progress, frame, position + 8, end)
            if not stop:
                break
            length = stop - position
        elif vr in encoding.plain_vr and position + 16 <= end:
            length, start = encoding.peek(data, position + 8)
            if start in encoding.item_starts or length > progress.longest:
                break
            if element in notable:
                break
            stop = position + 12 + length
        else:
            break
        if not length:
            empty += 1
        position = stop
        count += 1
    _advance(progress, position, count, empty)


def skim_implicit(progress: Progress, frame: Frame) -> None:
    """Go over elements of implicit VR (PS3.5 7.1.3)."""
    wanted, values, longest = frame.wanted, progress.values, progress.longest
    unpack, item_starts = IMPLICIT_LITTLE.peek, IMPLICIT_LITTLE.item_starts
    data, position = progress.data, progress.position
    end = min(frame.end, progress.known, position + _BYTES_AT_ONCE)
    last, count, empty, current = end - 12, 0, 0, -1
    while position <= last:
        group, element, length, start = unpack(data, position)
        if group != current:
            if not wanted.lowest_group <= group < DELIMITERS:
                break
            current, notable = group, wanted.notable_implicit.get(group, _NOTHING)
            if group & 1:
                notable = frame.blocks.notable(group)
        stop = position + 8 + length
        if element in notable:
            tag = group << 16 | element
            if tag in SEQUENCE_TAGS:
                stop = _skim_sequence(progress, frame, position + 4, end)
                if not stop:
                    break
                length = stop - position
            elif stop > end or length > _SHORT_BYTES or tag in values:
                break
            elif tag in wanted.tags:
                values[tag] = bytes(data[position + 8 : stop])
            elif group & 1 and element in CREATOR_ELEMENTS:
                frame.blocks.declare(tag, bytes(data[position + 8 : stop]))
                current = -1  # what is notable in the group may have changed
            else:
                break
        elif length > longest or start in item_starts:
            break
        if not length:
            empty += 1
        position = stop
        count += 1
    _advance(progress, position, count, empty)


def _skim_sequence(progress: Progress, frame: Frame, position: int, end: int) -> int:
    """Go over a sequence that holds no others.

    Args:
        position: of its length, of four bytes.

    Returns:
        Where it ends, 0 if it needs a closer look.
    """
    if frame.depth >= progress.limits.max_depth or position + 4 > end:
        return 0
    encoding, data = frame.encoding, progress.data
    skim_item = _skim_explicit_item if encoding.explicit else _skim_implicit_item
    (length,) = encoding.length(data, position)
    position, count, empty = position + 4, 0, 0 if length else 1
    bounded, unended = length != UNDEFINED, False
    if bounded:
        if length > end - position:
            return 0
        end = position + length
    while unended or not bounded or position < end:
        if position + 8 > end:
            return 0
        group, element, size = encoding.item(data, position)
        position += 8
        count += 1
        if group != DELIMITERS:
            return 0
        if unended and element == ITEM_END:
            unended = False
        elif element == ITEM and not unended:
            unended = size == UNDEFINED
            item_end = end if unended else position + size
            if item_end > end:
                return 0
            position, elements, empties = skim_item(
                progress, encoding, position, item_end
            )
            if not unended and position != item_end:
                return 0
            count += elements
            empty += empties
        elif element == SEQUENCE_END and not bounded and not unended:
            break
        else:
            return 0
    _advance(progress, progress.position, count, empty)
    return position


def _skim_explicit_item(
    progress: Progress, encoding: Encoding, position: int, end: int
) -> tuple[int, int, int]:
    """Return how far it comes, over how many elements, and how many empty ones."""
    data, unpack, short_vr = progress.data, encoding.header, encoding.short_vr
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
    progress: Progress, encoding: Encoding, position: int, end: int
) -> tuple[int, int, int]:
    """Do as `_skim_explicit_item` does."""
    data, unpack, item_starts = progress.data, encoding.peek, encoding.item_starts
    last, count, empty = end - 12, 0, 0
    while position <= last:
        group, element, length, start = unpack(data, position)
        if group == DELIMITERS or start in item_starts or length > progress.longest:
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


def _advance(progress: Progress, position: int, count: int, empty: int) -> None:
    progress.position = position
    progress.elements_left -= count
    progress.empty_left -= empty
    if progress.elements_left < progress.pause or progress.empty_left < 0:
        progress.look()
