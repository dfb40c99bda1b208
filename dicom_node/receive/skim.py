"""Go fast over the elements that need no closer look.

Nothing is decided here: whatever is unusual stays where it is for `elements.walk`,
and an element that is skipped is one that the walk would have passed as well.
"""

import time
from typing import Final

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.layout import (
    CLOSER_TAGS,
    CREATOR_ELEMENTS,
    LAYOUTS,
    PIXEL_TAGS,
    UNDEFINED,
    Frame,
    PixelElement,
    WalkLimits,
)
from dicom_node.receive.view import Source

MAX_VALUE_BYTES: Final = 4096  # of a wanted value, the rest does not matter
# At most so many elements between two looks at the clock.
_ELEMENTS_AT_ONCE: Final = 10_000
_BYTES_AT_ONCE: Final = 8 * _ELEMENTS_AT_ONCE


class Wanted:
    """Top-level tags whose values are kept, prepared for skimming."""

    __slots__ = ("low_words", "tags")

    def __init__(self, tags: frozenset[int]) -> None:
        self.tags = tags - PIXEL_TAGS
        self.low_words = CREATOR_ELEMENTS.union(tag & 0xFFFF for tag in tags)


_NONE: Final = Wanted(frozenset())


class Progress:
    """How far a walk has come, and what it has found."""

    __slots__ = (
        "_deadline",
        "_next_look",
        "elements_left",
        "empty_left",
        "limits",
        "longest",
        "pixels",
        "position",
        "source",
        "values",
        "wanted",
    )

    def __init__(self, source: Source, wanted: Wanted, limits: WalkLimits) -> None:
        self.source = source
        self.wanted = wanted
        self.limits = limits
        self.longest = min(limits.max_element_bytes, UNDEFINED - 1)
        self.position = 0
        self.elements_left = limits.max_elements
        self.empty_left = limits.max_empty_elements
        self.values: dict[int, bytes] = {}
        self.pixels: list[PixelElement] = []
        self._deadline = 0.0
        self._next_look = limits.max_elements - _ELEMENTS_AT_ONCE

    def count(self, elements: int = 1, empty: int = 0) -> None:
        """Take elements off what is left.

        Raises:
            CannotUnderstand: there are too many, or they have taken too long.
        """
        self.elements_left -= elements
        self.empty_left -= empty
        if self.elements_left < 0 or self.empty_left < 0:
            raise CannotUnderstand("the data set has too many elements or empty ones")
        if self.elements_left < self._next_look:
            self.look_at_clock()

    def look_at_clock(self) -> None:
        """Raise CannotUnderstand once the walk has worked for too long."""
        self._next_look = self.elements_left - _ELEMENTS_AT_ONCE
        now = time.thread_time()
        if not self._deadline:
            self._deadline = now + self.limits.max_seconds
        elif now > self._deadline:
            raise CannotUnderstand("the data set takes too long to read")


def skim_explicit(progress: Progress, frame: Frame, *, top: bool) -> None:
    """Go over elements of explicit VR (PS3.5 7.1.2)."""
    layout = LAYOUTS[frame.encoding.little]
    unpack, peek = layout.explicit.unpack_from, layout.peek.unpack_from
    short_vr, long_vr, items = layout.short_vr, layout.long_vr, layout.items
    notable = progress.wanted if top else _NONE
    wanted, low_words, values = notable.tags, notable.low_words, progress.values
    lowest = 2 if top else -1  # no data set may have elements of our File Meta
    data, position = progress.source.data, progress.position
    end = min(frame.end, progress.source.known, position + _BYTES_AT_ONCE)
    last, count, empty = end - 8, 0, 0
    while position <= last:
        group, element, vr, length = unpack(data, position)
        if vr in short_vr:
            stop = position + 8 + length
            if element in low_words:
                tag = group << 16 | element
                if tag in wanted:
                    if stop > end or tag in values or length > MAX_VALUE_BYTES:
                        break
                    values[tag] = bytes(data[position + 8 : stop])
                elif group & 1 and element in CREATOR_ELEMENTS:
                    break
        elif vr in long_vr and position + 16 <= end:
            length, first = peek(data, position + 8)
            if length > progress.longest or first in items or element in low_words:
                break
            stop = position + 12 + length
        else:
            break
        if not lowest < group < 0xFFFE:
            break
        if not length:
            empty += 1
        position = stop
        count += 1
    progress.position = position
    progress.count(count, empty)


def skim_implicit(progress: Progress, frame: Frame, *, top: bool) -> None:
    """Go over elements of implicit VR (PS3.5 7.1.3)."""
    unpack, items = LAYOUTS[True].implicit_peek.unpack_from, LAYOUTS[True].items
    wanted, values = (progress.wanted if top else _NONE).tags, progress.values
    lowest = 2 if top else -1
    data, position, longest = progress.source.data, progress.position, progress.longest
    end = min(frame.end, progress.source.known, position + _BYTES_AT_ONCE)
    last, count, empty = end - 12, 0, 0
    while position <= last:
        group, element, length, first = unpack(data, position)
        tag = group << 16 | element
        if length > longest or first in items or not lowest < group < 0xFFFE:
            break
        stop = position + 8 + length
        if group & 1:
            if element in CREATOR_ELEMENTS or frame.creators:
                break
        elif tag in wanted:
            if stop > end or tag in values or length > MAX_VALUE_BYTES:
                break
            values[tag] = bytes(data[position + 8 : stop])
        elif tag in CLOSER_TAGS:
            break
        if not length:
            empty += 1
        position = stop
        count += 1
    progress.position = position
    progress.count(count, empty)
