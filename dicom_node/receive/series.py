"""Recognise an image from the one before it in its series.

Where two data sets lie alike (`structures`), their walks differ in nothing but values:
with the wanted values alike, too, and the same pixel element to the end, one has to be
checked for both.
"""

import threading
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from dicom_node.core.ids import SeriesInstanceUID, SOPClassUID, StudyInstanceUID
from dicom_node.core.types import RoutingHeader
from dicom_node.receive.layout import PIXEL_TAGS, Encoding, PixelElement
from dicom_node.receive.structures import Structure
from dicom_node.receive.view import DatasetView

_MAX_KNOWN: Final = 64
_HEADER_BYTES: Final = {True: 12, False: 8}  # of a pixel element, by explicit VR
_PLAIN_VR: Final = (b"OB", b"OW")  # what is no sequence whatever its value


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesPart:
    """What the images of a series have alike once they were checked.

    Args:
        header: of one of them; its number counts for that one only.
    """

    sop_class_uid: SOPClassUID
    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID
    header: RoutingHeader
    pixels: tuple[PixelElement, ...]


class Series:
    """The latest series; safe for threads."""

    def __init__(self) -> None:
        self._known: dict[Hashable, SeriesPart] = {}
        self._lock = threading.Lock()

    def find(
        self, structure: Structure, view: DatasetView, encoding: Encoding
    ) -> SeriesPart | None:
        """Return what this data set has in common with one that was checked."""
        return self._known.get(_key(structure, view, encoding))

    def learn(
        self,
        structure: Structure,
        view: DatasetView,
        encoding: Encoding,
        part: SeriesPart,
    ) -> None:
        """Remember a data set that passed every check."""
        if not _ends_with_pixels(structure, view, encoding, part.pixels):
            return
        with self._lock:
            self._known[_key(structure, view, encoding)] = part
            if len(self._known) > _MAX_KNOWN:
                del self._known[next(iter(self._known))]


def _key(structure: Structure, view: DatasetView, encoding: Encoding) -> Hashable:
    head, position = view.head, structure.position
    pixel_header = head[position : position + _HEADER_BYTES[encoding.explicit]]
    values = [head[start:stop] for start, stop in structure.of_series]
    return structure, view.size_bytes, pixel_header, *values


def _ends_with_pixels(
    structure: Structure,
    view: DatasetView,
    encoding: Encoding,
    pixels: tuple[PixelElement, ...],
) -> bool:
    """Say whether the rest of a walk depends on the header of the pixels alone."""
    if not pixels:
        return structure.position == view.size_bytes
    pixel, size = pixels[0], _HEADER_BYTES[encoding.explicit]
    vr = view.head[structure.position + 4 : structure.position + 6]
    return (
        pixel.tag in PIXEL_TAGS
        and pixel.fragments is None
        and structure.position + size == pixel.start < pixel.end == view.size_bytes
        and pixel.start <= len(view.head)
        and (vr in _PLAIN_VR or not encoding.explicit)
    )
