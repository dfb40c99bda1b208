"""Recognise how the elements of a data set lie from those that came before.

Which way a walk takes depends on the bytes that it looks at: tags, VRs, lengths and
here and there the beginning of a value. The images of a series seldom differ in these
up to their pixels, so one comparison takes the place of most of the walk.
"""

import threading
from dataclasses import dataclass
from typing import Final

from dicom_node.receive.elements import Walk
from dicom_node.receive.header import OF_IMAGE
from dicom_node.receive.layout import PIXEL_TAGS, Elements, Encoding
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.private import PrivateBlocks
from dicom_node.receive.progress import Frame, Prefix, Wanted
from dicom_node.receive.view import DatasetView, Source

_PIXEL_DATA: Final = {True: b"\xe0\x7f\x10\x00", False: b"\x7f\xe0\x00\x10"}
_MAX_GAP: Final = 256  # bytes that nobody looked at and that are compared as well
_MAX_LOOKED: Final = 1 << 14
_MAX_LENGTH: Final = 1 << 16  # up to the pixels
_MAX_STRUCTURES: Final = 32  # of one encoding
_MAX_MISSED: Final = 256


@dataclass(frozen=True, slots=True)
class Look:
    """Where a walk looked and what it saw.

    Args:
        mask: ones where it looked, in the order of `int.from_bytes(..., "little")`.
        seen: the bytes there, and zeros.
    """

    start: int
    stop: int
    mask: int
    seen: int

    def fits(self, head: bytes) -> bool:
        """Say whether a walk would see the same here."""
        there = int.from_bytes(head[self.start : self.stop], "little")
        return there & self.mask == self.seen


@dataclass(frozen=True, slots=True, eq=False)
class Structure:
    """What a walk saw up to the pixels, and what it found.

    Args:
        position: where the pixel element begins, or the end.
        values: tag, start and end of what is wanted.
        of_series: start and end of those that the images of a series have alike.
    """

    limits: ScanLimits
    position: int
    looks: tuple[Look, ...]
    values: tuple[tuple[int, int, int], ...]
    of_series: tuple[tuple[int, int], ...]
    count: int
    empty: int
    blocks: PrivateBlocks

    def fits(self, head: bytes) -> bool:
        """Say whether a walk over this data set would take the same way."""
        if self.position > len(head):
            return False
        return all([look.fits(head) for look in self.looks])

    def of_image(self, head: bytes) -> dict[int, bytes]:
        """Return the values that every image of a series has of its own."""
        return {
            tag: head[start:stop] for tag, start, stop in self.values if tag in OF_IMAGE
        }

    def prefix(self, head: bytes) -> Prefix:
        """Return how far a walk over a data set that fits has come at the pixels."""
        return Prefix(
            position=self.position,
            count=self.count,
            empty=self.empty,
            values={tag: head[start:stop] for tag, start, stop in self.values},
            blocks=self.blocks.copy(),
        )


class Structures:
    """The structures of the latest data sets; safe for threads.

    Of values it holds no more than private creators and the first four bytes of
    private ones.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._known: dict[Encoding, tuple[Structure, ...]] = {}
        self._missed: dict[tuple[Encoding, int], None] = {}
        self._lock = threading.Lock()

    def find(
        self, view: DatasetView, encoding: Encoding, limits: ScanLimits
    ) -> Structure | None:
        """Return the structure of a data set, None if it has to be walked."""
        head, size = view.head, view.size_bytes
        pixels = _PIXEL_DATA[encoding.little]
        for known in self._known.get(encoding, ()):
            position = known.position
            if (
                (position == size or head.startswith(pixels, position))
                and known.limits is limits
                and known.fits(head)
            ):
                return known
        return None

    def learn(
        self,
        view: DatasetView,
        encoding: Encoding,
        limits: ScanLimits,
        elements: Elements,
    ) -> None:
        """Remember a data set that was walked, if one of its length came before."""
        pixels = elements.pixels
        length = pixels[0].start if pixels else view.size_bytes
        if length > min(len(view.head), _MAX_LENGTH):
            return
        key = encoding, length
        with self._lock:
            if key not in self._missed:
                self._missed[key] = None
                if len(self._missed) > _MAX_MISSED:
                    del self._missed[next(iter(self._missed))]
                return
            del self._missed[key]
        with Source(view) as source:
            found = _Recorder(source, limits).record(encoding, self._wanted)
        if found is not None:
            with self._lock:
                before = self._known.get(encoding, ())
                self._known[encoding] = (found, *before)[:_MAX_STRUCTURES]


class _Stop(Exception):
    """The recording ends here."""


class _Recorder(Walk):
    """A walk up to the pixels that writes down where it looks, and skips nothing."""

    def __init__(self, source: Source, limits: ScanLimits) -> None:
        super().__init__(source, limits)
        self._looks: list[tuple[int, int]] = []
        self._spans: list[tuple[int, int, int]] = []
        self._fit = True

    def record(self, encoding: Encoding, wanted: Wanted) -> Structure | None:
        """Return the structure, None if it is not worth remembering."""
        blocks = PrivateBlocks()
        try:
            self.run(encoding, wanted)
        except _Stop:
            blocks = self._stack[0].blocks
        looks = _join(self._looks, bytes(self.data)) if self._fit else ()
        if not looks or sum(look.stop - look.start for look in looks) > _MAX_LOOKED:
            return None
        return Structure(
            limits=self.limits,
            position=self.position,
            looks=looks,
            values=tuple(self._spans),
            of_series=tuple(
                [
                    (start, stop)
                    for tag, start, stop in self._spans
                    if tag not in OF_IMAGE
                ]
            ),
            count=self.limits.max_elements - self.elements_left,
            empty=self.limits.max_empty_elements - self.empty_left,
            blocks=blocks,
        )

    def _skim(self, frame: Frame) -> None:
        start = self.position
        if len(self._stack) == 1 and start + 8 <= frame.end:
            self._require(start + 8)
            group, element, _, _ = frame.encoding.header(self.data, start)
            if group << 16 | element in PIXEL_TAGS:
                raise _Stop

    def _look(self, start: int, stop: int) -> None:
        self._require(stop)
        self._looks.append((start, stop))

    def _value(self, tag: int, start: int, stop: int) -> None:
        self._require(stop)
        self._spans.append((tag, start, stop))
        super()._value(tag, start, stop)

    def _require(self, stop: int) -> None:
        if stop > self.known:
            self._fit = False
            raise _Stop


def _join(looks: list[tuple[int, int]], head: bytes) -> tuple[Look, ...]:
    """Make one of what was looked at close to one another."""
    joined: list[list[tuple[int, int]]] = []
    end = -1 - _MAX_GAP
    for look in sorted(looks):
        if look[0] - end > _MAX_GAP:
            joined.append([])
        joined[-1].append(look)
        end = max(end, look[1])
    return tuple(_mask(group, head) for group in joined)


def _mask(looks: list[tuple[int, int]], head: bytes) -> Look:
    first, last = looks[0][0], max(stop for _, stop in looks)
    ones = bytearray(last - first)
    for start, stop in looks:
        ones[start - first : stop - first] = b"\xff" * (stop - start)
    mask = int.from_bytes(ones, "little")
    there = int.from_bytes(head[first:last], "little")
    return Look(start=first, stop=last, mask=mask, seen=there & mask)
