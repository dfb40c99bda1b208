"""How far a walk over elements has come, and what it has found."""

import time
from dataclasses import dataclass
from typing import Final

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.layout import (
    SEQUENCE_TAGS,
    UNDEFINED,
    Encoding,
    PixelElement,
)
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.private import PrivateBlocks
from dicom_node.receive.view import Source

# At most so many elements between two looks at the clock.
_ELEMENTS_AT_ONCE: Final = 10_000
BYTES_AT_ONCE: Final = 8 * _ELEMENTS_AT_ONCE


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
        self.notable = _by_group(tags)
        self.notable_implicit = _by_group(tags | SEQUENCE_TAGS)


def _by_group(tags: frozenset[int]) -> dict[int, frozenset[int]]:
    found: dict[int, set[int]] = {}
    for tag in tags:
        found.setdefault(tag >> 16, set()).add(tag & 0xFFFF)
    return {group: frozenset(elements) for group, elements in found.items()}


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """How far a walk has come that need not be walked again."""

    position: int
    count: int
    empty: int
    values: dict[int, bytes]
    blocks: PrivateBlocks


class Progress:
    """How far a walk has come, and what it has found."""

    def __init__(self, source: Source, limits: ScanLimits) -> None:
        self._source = source
        self.data = source.data
        self.known = source.known
        self.size = source.size
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

    def advance(self, position: int, count: int, empty: int) -> None:
        """Go on to a position behind so many elements."""
        self.position = position
        self.elements_left -= count
        self.empty_left -= empty
        if self.elements_left < self.pause or self.empty_left < 0:
            self.look()

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
