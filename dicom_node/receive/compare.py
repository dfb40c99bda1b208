"""Compare stored files by their bytes: equal digests alone prove nothing."""

from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Final

from dicom_node.core.errors import CannotUnderstand, DatabaseError, StoreError
from dicom_node.part10.file import Part10File, checked_digest, open_stored
from dicom_node.receive import header as tags
from dicom_node.receive.elements import walk
from dicom_node.receive.header import Header
from dicom_node.receive.layout import PixelElement
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.progress import Wanted
from dicom_node.receive.scan import (
    DEFLATED,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    as_walked,
    encoding_of,
)
from dicom_node.receive.view import DatasetView, Source

# What says how the bytes of Pixel Data become pixels (PS3.3 C.7.6.3).
_NUMBERS: Final = (
    tags.ROWS,
    tags.COLUMNS,
    tags.SAMPLES_PER_PIXEL,
    tags.PLANAR_CONFIGURATION,
    tags.BITS_ALLOCATED,
    tags.BITS_STORED,
    tags.HIGH_BIT,
    tags.PIXEL_REPRESENTATION,
)
_WANTED: Final = Wanted(
    frozenset(_NUMBERS) | {tags.PHOTOMETRIC_INTERPRETATION, tags.NUMBER_OF_FRAMES}
)
# Transfer syntaxes that have native pixels as the same bytes.
_LITTLE_ENDIAN: Final = frozenset(
    {IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, DEFLATED}
)
_BLOCK_BYTES: Final = 1 << 20

_Shape = tuple[object, ...]


class FileCompare:
    """Compares the files under two keys; safe for threads.

    Args:
        path_of: where the file with a key lies.
    """

    def __init__(self, path_of: Callable[[str], Path], limits: ScanLimits) -> None:
        self._path_of = path_of
        self._limits = limits

    def same_dataset(self, kept: str, other: str) -> bool:
        """Say whether the data sets under two file keys are the same bytes.

        Raises:
            StoreError: the kept file is gone, or is not any more what was received.
            DatabaseError: the other one is; nothing can be said.
        """
        left, right = self._open(kept), self._open_new(other)
        self._check(kept, left)
        return left.size_bytes == right.size_bytes and all(
            ours == theirs
            for ours, theirs in zip_longest(left.blocks(), right.blocks())
        )

    def same_pixels(self, kept: str, other: str) -> bool:
        """Say whether two files hold the same pixels as encoded, or both none.

        Encodings that only decoding could compare count as different.

        Raises:
            StoreError: the kept file is gone, or is not any more what was received.
            DatabaseError: the other one is; nothing can be said.
        """
        left, right = self._open(kept), self._open_new(other)
        self._check(kept, left)
        try:
            ours, theirs = self._view(left), self._view(right)
            shape, spans = self._pixels(left, ours)
            other_shape, other_spans = self._pixels(right, theirs)
        except CannotUnderstand as error:
            raise StoreError(f"a stored file cannot be compared: {error}") from None
        return shape == other_shape and _equal(ours, spans, theirs, other_spans)

    def _open(self, key: str) -> Part10File:
        try:
            return open_stored(self._path_of(key))
        except CannotUnderstand as error:
            raise StoreError(f"a stored file is damaged: {error}") from None

    def _open_new(self, key: str) -> Part10File:
        """Open what has just come: that it is gone says nothing of the kept file."""
        try:
            return self._open(key)
        except StoreError as error:
            raise DatabaseError(f"the new file cannot be compared: {error}") from None

    def _check(self, key: str, file: Part10File) -> None:
        try:
            checked_digest(key, file)
        except CannotUnderstand as error:
            raise StoreError(f"a stored file is damaged: {error}") from None

    def _view(self, file: Part10File) -> DatasetView:
        view = DatasetView(file.beginning, file.size_bytes, file.dataset)
        return as_walked(view, file.head.transfer_syntax_uid, self._limits)

    def _pixels(
        self, file: Part10File, view: DatasetView
    ) -> tuple[_Shape, tuple[PixelElement, ...]]:
        """Return what must be equal for equal bytes to be equal pixels, and where."""
        syntax = file.head.transfer_syntax_uid
        encoding = encoding_of(syntax)
        with Source(view) as source:
            elements = walk(source, encoding, wanted=_WANTED, limits=self._limits)
        if not elements.pixels:
            return (), ()
        header = Header(elements.values, little=encoding.little)
        shape = (
            "little endian" if syntax in _LITTLE_ENDIAN else syntax,
            header.code(tags.PHOTOMETRIC_INTERPRETATION),
            header.number(tags.NUMBER_OF_FRAMES) or 1,
            *(header.short(tag) or 0 for tag in _NUMBERS),
            *((pixel.tag, pixel.fragments) for pixel in elements.pixels),
        )
        return shape, elements.pixels


def _equal(
    left: DatasetView,
    left_spans: tuple[PixelElement, ...],
    right: DatasetView,
    right_spans: tuple[PixelElement, ...],
) -> bool:
    with Source(left) as ours, Source(right) as theirs:
        for one, other in zip(left_spans, right_spans, strict=True):
            length = one.end - one.start
            if length != other.end - other.start:
                return False
            ours.reach_all()
            theirs.reach_all()
            for offset in range(0, length, _BLOCK_BYTES):
                size = min(_BLOCK_BYTES, length - offset)
                start, begin = one.start + offset, other.start + offset
                block = bytes(ours.data[start : start + size])
                if block != theirs.data[begin : begin + size]:
                    return False
    return True
