"""Recognise the header of an image from those that came before it.

The images of a series seldom differ in how their elements lie, and in few values but
their own numbers and places. One comparison of bytes then takes the place of the scan,
and what follows from the other values is kept: the layout, the recipe, the plane.
"""

import struct
from collections.abc import Hashable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from inference.pixels.attributes import tag_of
from inference.pixels.header import LENGTH_BYTES, Header
from inference.pixels.layout import PixelLayout, PixelLimits

# What every image has of its own: nothing that is kept may follow from these.
_OF_IMAGE = """
    SOPInstanceUID StudyInstanceUID SeriesInstanceUID InstanceNumber
    ImagePositionPatient SliceLocation
"""
OF_IMAGE: Final = frozenset(map(tag_of, _OF_IMAGE.split()))
_CHARACTER_SET: Final = tag_of("SpecificCharacterSet")
_META, _SYNTAX = 132, 0x00100002  # as `scan_transfer_syntax` has them
_ELEMENT: Final = struct.Struct("<I2sH").unpack_from
_LENGTH: Final = struct.Struct("<I").unpack_from
_UNDEFINED: Final = b"\xff" * 4
_PIXEL_HEADER: Final = 8  # bytes at least, right before the pixels
_MOST_SHAPES: Final = 24
_MOST_SERIES: Final = 32  # each may keep a table of 256 KiB a plane
_MOST_MISSED: Final = 256

Elements = dict[BaseTag, RawDataElement]


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """What images have in common that differ in nothing but `OF_IMAGE`.

    Args:
        kept: what follows from that, by what it is. Two threads may both find it out.
    """

    elements: Elements
    layout: PixelLayout
    limits: PixelLimits
    kept: dict[Hashable, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """How the elements of a header lie.

    Args:
        syntax: Transfer Syntax UID.
        mask: of all bytes up to the pixels, 0 where a value may differ.
        seen: the bytes, and 0 where the mask is.
        own, others: of the wanted values that may differ, where they begin and end:
            those of `OF_IMAGE`, and those that the images of a series have alike.
    """

    syntax: str
    mask: npt.NDArray[np.uint8]
    seen: bytes
    own: tuple[tuple[BaseTag, int, int], ...]
    others: tuple[tuple[BaseTag, int, int], ...]
    header: Header
    elements: Elements

    def fits(self, head: bytes) -> bool:
        """Say whether a scan of this header would take the same way."""
        size = len(self.seen)
        if head[size - _PIXEL_HEADER : size] != self.seen[-_PIXEL_HEADER:]:
            return False
        there = np.frombuffer(head, np.uint8, size)
        return (there & self.mask).tobytes() == self.seen

    def series(self, head: bytes) -> Hashable:
        """Return what the images of a series have alike."""
        return id(self), *[head[start:stop] for _, start, stop in self.others]

    def fill(self, head: bytes, alike: Alike | None) -> Elements:
        """Return the elements of a header that fits."""
        elements = dict(alike.elements if alike else self.elements)
        for tag, start, stop in self.own if alike else (*self.own, *self.others):
            elements[tag] = _with_value(self.elements[tag], head[start:stop])
        return elements

    def head_of(self, elements: Elements) -> Header:
        """Return the header that has these elements."""
        first = self.header.dataset
        dataset = Dataset(dict[BaseTag, RawDataElement | DataElement](elements))
        is_implicit, is_little = first.original_encoding
        dataset.set_original_encoding(
            is_implicit, is_little, first.original_character_set
        )
        return Header(
            dataset=dataset,
            tag=self.header.tag,
            vr=self.header.vr,
            length=self.header.length,
            start=self.header.start,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The header of an image that lies like one before.

    Args:
        alike: None for the first of a series.
    """

    header: Header
    syntax: str
    alike: Alike | None
    _series: Hashable
    _elements: Elements


class Shapes:
    """The shapes of the latest headers; safe for threads."""

    def __init__(self) -> None:
        self._shapes: tuple[_Shape, ...] = ()
        self._series: dict[Hashable, Alike] = {}
        self._missed: dict[int, int] = {}
        self._lock = Lock()

    def find(self, head: bytes, limits: PixelLimits) -> Known | None:
        """Return the header of an image, None if it has to be scanned.

        Args:
            head: the beginning of its file.
        """
        for shape in self._shapes:
            if shape.fits(head):
                series = shape.series(head)
                alike = self._series.get(series)
                if alike is not None and alike.limits != limits:
                    alike = None
                elements = shape.fill(head, alike)
                if len(shape.seen) in self._missed:
                    with self._lock:
                        self._missed.pop(len(shape.seen), None)
                return Known(
                    shape.head_of(elements), shape.syntax, alike, series, elements
                )
        return None

    def learn(self, head: bytes, syntax: str, start: int, header: Header) -> None:
        """Remember how a header lies that was scanned, at its 2nd, 4th, 8th miss.

        Args:
            start: offset of the data set.
        """
        size = header.start
        if header.skipped is None or size > len(head):
            return
        with self._lock:
            missed = self._missed.pop(size, 0) + 1
            self._missed[size] = missed
            if len(self._missed) > _MOST_MISSED:
                del self._missed[next(iter(self._missed))]
            if missed < 2 or missed & (missed - 1):
                return
        made = _make_shape(head[:size], syntax, start, header)
        if made is not None:
            with self._lock:
                self._shapes = (made, *self._shapes)[:_MOST_SHAPES]

    def keep(self, known: Known, layout: PixelLayout, limits: PixelLimits) -> Alike:
        """Remember the first of a series, once it has passed every check."""
        alike = Alike(elements=known._elements, layout=layout, limits=limits)
        with self._lock:
            self._series[known._series] = alike
            if len(self._series) > _MOST_SERIES:
                del self._series[next(iter(self._series))]
        return alike


def _make_shape(head: bytes, syntax: str, start: int, header: Header) -> _Shape | None:
    dataset = header.dataset
    elements: dict[BaseTag, RawDataElement] = {}
    for tag in dataset.keys():  # noqa: SIM118 - its own iteration is another
        element: object = dataset.get_item(tag)
        if not isinstance(element, RawDataElement):
            return None
        elements[tag] = element
    mask = np.full(len(head), 0xFF, np.uint8)
    mask[:128] = 0  # the preamble
    for first, last in (*_skipped_in_meta(head, start), *(header.skipped or ())):
        mask[first:last] = 0
    own: list[tuple[BaseTag, int, int]] = []
    others: list[tuple[BaseTag, int, int]] = []
    for tag, raw in elements.items():
        first, last = raw.value_tell, raw.value_tell + raw.length
        # Items of undefined length are walked through; text follows the character set.
        if head[first - 4 : first] == _UNDEFINED or tag == _CHARACTER_SET:
            continue
        if raw.length:
            mask[first:last] = 0
            (own if tag in OF_IMAGE else others).append((tag, first, last))
    return _Shape(
        syntax=syntax,
        mask=mask,
        seen=(np.frombuffer(head, np.uint8) & mask).tobytes(),
        own=tuple(own),
        others=tuple(others),
        header=header,
        elements=elements,
    )


def _skipped_in_meta(head: bytes, end: int) -> list[tuple[int, int]]:
    """Find the values of the File Meta Information but for the Transfer Syntax UID."""
    found = []
    position = _META
    while position < end:
        number, vr, length = _ELEMENT(head, position)
        value = position + 8
        if LENGTH_BYTES[vr] == 4:
            (length,) = _LENGTH(head, value)
            value += 4
        position = value + length
        if number != _SYNTAX:
            found.append((value, position))
    return found


def _with_value(raw: RawDataElement, value: bytes) -> RawDataElement:
    tag, vr, length, _, place, is_implicit, is_little, *_ = raw
    return RawDataElement(tag, vr, length, value, place, is_implicit, is_little)
