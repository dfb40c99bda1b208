"""Decide whether a data set is safe to keep and parse, and read what routing needs."""

import re
from dataclasses import dataclass
from typing import Final

from dicom_node.core.errors import CannotUnderstand
from dicom_node.core.ids import (
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    StudyInstanceUID,
)
from dicom_node.core.types import RoutingHeader
from dicom_node.receive import header as tags
from dicom_node.receive.elements import walk
from dicom_node.receive.header import WANTED, Header
from dicom_node.receive.inflate import inflated
from dicom_node.receive.layout import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Encoding,
    PixelElement,
)
from dicom_node.receive.limits import ScanLimits as ScanLimits
from dicom_node.receive.progress import Prefix, Wanted
from dicom_node.receive.series import Series, SeriesPart
from dicom_node.receive.structures import Structures
from dicom_node.receive.view import DatasetView as DatasetView
from dicom_node.receive.view import Source

IMPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_VR_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
# What Pixel Data is in each transfer syntax (PS3.5 8.2, A.1 to A.5).
_NATIVE: Final = frozenset(
    {
        IMPLICIT_VR_LITTLE_ENDIAN,
        EXPLICIT_VR_LITTLE_ENDIAN,
        DEFLATED,
        EXPLICIT_VR_BIG_ENDIAN,
    }
)
_ENCAPSULATED: Final = ("1.2.840.10008.1.2.4.", "1.2.840.10008.1.2.5")  # JPEG, RLE

# PS3.5 9.1, but leading zeros in a component are accepted: the wild has them.
_UID: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_MAX_UID_LENGTH: Final = 64
_ENCODINGS: Final = {
    IMPLICIT_VR_LITTLE_ENDIAN: IMPLICIT_LITTLE,
    EXPLICIT_VR_BIG_ENDIAN: EXPLICIT_BIG,
}
_WANTED: Final = Wanted(WANTED)
_STRUCTURES: Final = Structures(_WANTED)
_SERIES: Final = Series()
_PIXEL_DATA: Final = 0x7FE00010
_BITS_OF_FLOAT: Final = {0x7FE00008: 32, 0x7FE00009: 64}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedDataset:
    """A data set whose structure holds.

    Args:
        pixels: where the pixel values lie in the data set, inflated if it is deflated.
    """

    sop_class_uid: SOPClassUID
    sop_instance_uid: SOPInstanceUID
    study_instance_uid: StudyInstanceUID
    series_instance_uid: SeriesInstanceUID
    header: RoutingHeader
    pixels: tuple[PixelElement, ...]


def scan(
    view: DatasetView, transfer_syntax_uid: str, limits: ScanLimits
) -> ScannedDataset:
    """Check a data set before anything parses it: structure, identity, pixel claims.

    Raises:
        CannotUnderstand: it cannot be parsed within the limits, lacks an identifier,
            or its pixels are not what its header says.
        OutOfResources: there is no room to inflate it.
    """
    view = as_walked(view, transfer_syntax_uid, limits)
    scanned = _scanned(view, encoding_of(transfer_syntax_uid), limits)
    for pixel in scanned.pixels:
        _check_form(pixel, transfer_syntax_uid)
    return scanned


def _scanned(
    view: DatasetView, encoding: Encoding, limits: ScanLimits
) -> ScannedDataset:
    structure = _STRUCTURES.find(view, encoding, limits)
    if structure is None:
        return _walked(view, encoding, limits)
    part = _SERIES.find(structure, view, encoding)
    if part is not None:
        return _of_series(
            part, Header(structure.of_image(view.head), little=encoding.little)
        )
    scanned = _walked(view, encoding, limits, structure.prefix(view.head))
    _SERIES.learn(structure, view, encoding, _part_of(scanned))
    return scanned


def _walked(
    view: DatasetView,
    encoding: Encoding,
    limits: ScanLimits,
    prefix: Prefix | None = None,
) -> ScannedDataset:
    with Source(view) as source:
        elements = walk(source, encoding, wanted=_WANTED, limits=limits, prefix=prefix)
    if prefix is None:
        _STRUCTURES.learn(view, encoding, limits, elements)
    header = Header(elements.values, little=encoding.little)
    sop_class_uid = _uid(header, tags.SOP_CLASS_UID, "SOP Class UID")
    sop_instance_uid = _uid(header, tags.SOP_INSTANCE_UID, "SOP Instance UID")
    study_uid = _uid(header, tags.STUDY_INSTANCE_UID, "Study Instance UID")
    series_uid = _uid(header, tags.SERIES_INSTANCE_UID, "Series Instance UID")
    for pixel in elements.pixels:
        _check_pixels(header, pixel, limits)
    return ScannedDataset(
        sop_class_uid=SOPClassUID(sop_class_uid),
        sop_instance_uid=SOPInstanceUID(sop_instance_uid),
        study_instance_uid=StudyInstanceUID(study_uid),
        series_instance_uid=SeriesInstanceUID(series_uid),
        header=header.routing(has_pixels=bool(elements.pixels)),
        pixels=elements.pixels,
    )


def _part_of(scanned: ScannedDataset) -> SeriesPart:
    return SeriesPart(
        sop_class_uid=scanned.sop_class_uid,
        study_instance_uid=scanned.study_instance_uid,
        series_instance_uid=scanned.series_instance_uid,
        header=scanned.header,
        pixels=scanned.pixels,
    )


def _of_series(part: SeriesPart, header: Header) -> ScannedDataset:
    """Check what an image of a series that was checked has of its own."""
    sop_instance_uid = _uid(header, tags.SOP_INSTANCE_UID, "SOP Instance UID")
    return ScannedDataset(
        sop_class_uid=part.sop_class_uid,
        sop_instance_uid=SOPInstanceUID(sop_instance_uid),
        study_instance_uid=part.study_instance_uid,
        series_instance_uid=part.series_instance_uid,
        header=header.numbered(part.header),
        pixels=part.pixels,
    )


def as_walked(
    view: DatasetView, transfer_syntax_uid: str, limits: ScanLimits
) -> DatasetView:
    """View the data set as elements: inflated, if it is deflated.

    Raises:
        CannotUnderstand: it cannot be inflated within the limits.
    """
    return inflated(view, limits) if transfer_syntax_uid == DEFLATED else view


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    """Return how the elements of a transfer syntax are laid out (PS3.5 10.1)."""
    return _ENCODINGS.get(transfer_syntax_uid, EXPLICIT_LITTLE)


def is_uid(value: str) -> bool:
    """Say whether this can be a UID; leading zeros are taken."""
    return len(value) <= _MAX_UID_LENGTH and bool(_UID.fullmatch(value))


def _uid(header: Header, tag: int, name: str) -> str:
    value = header.raw(tag).decode("ascii", "replace")
    if not value:
        raise CannotUnderstand(f"{name} is missing")
    if not is_uid(value):
        raise CannotUnderstand(f"{name} is not a UID of at most 64 characters")
    return value


def _check_pixels(header: Header, pixel: PixelElement, limits: ScanLimits) -> None:
    """Compare what the header claims with what is there (PS3.3 C.7.6.3).

    All sizes are Python integers, so no claim can overflow.
    """
    rows, columns = header.short(tags.ROWS), header.short(tags.COLUMNS)
    if not rows or not columns:
        raise CannotUnderstand("Rows or Columns is missing or zero")
    bits = _BITS_OF_FLOAT.get(pixel.tag) or header.short(tags.BITS_ALLOCATED) or 0
    if bits != 1 and (bits % 8 or not 8 <= bits <= 64):
        raise CannotUnderstand("Bits Allocated is neither 1 nor a multiple of 8")
    frames = _frames(header)
    frame_bits = rows * columns * _samples_per_pixel(header) * bits
    if frame_bits // 8 > limits.max_frame_bytes:
        raise CannotUnderstand("a frame would be larger than the limit")
    length = pixel.end - pixel.start
    if pixel.fragments is not None:
        if pixel.fragments < frames:
            raise CannotUnderstand("Number of Frames is above what Pixel Data holds")
        return
    if header.code(tags.PHOTOMETRIC_INTERPRETATION) == "YBR_FULL_422":
        frame_bits = frame_bits * 2 // 3  # two samples per pixel, PS3.3 C.7.6.3.1.2
    claimed = (frame_bits * frames + 7) // 8
    if claimed > limits.max_native_bytes:
        raise CannotUnderstand("the pixels would be larger than the limit")
    if length < claimed:
        raise CannotUnderstand("Pixel Data is shorter than the header says")


def _check_form(pixel: PixelElement, transfer_syntax_uid: str) -> None:
    """Refuse pixels that no reader of the transfer syntax would find.

    Float Pixel Data is native in every syntax: none encapsulates it.
    """
    of_float = pixel.tag != _PIXEL_DATA
    if pixel.fragments is not None:
        if of_float or transfer_syntax_uid in _NATIVE:
            raise CannotUnderstand(
                "Pixel Data is encapsulated, but not in its transfer syntax"
            )
    elif not of_float and transfer_syntax_uid.startswith(_ENCAPSULATED):
        raise CannotUnderstand("Pixel Data is native, but not in its transfer syntax")


def _samples_per_pixel(header: Header) -> int:
    samples = header.short(tags.SAMPLES_PER_PIXEL)
    if samples is None:
        return 1
    if not 1 <= samples <= 4:
        raise CannotUnderstand("Samples per Pixel is not 1 to 4")
    return samples


def _frames(header: Header) -> int:
    """Return Number of Frames; what is absent, empty or zero counts as one."""
    if not header.code(tags.NUMBER_OF_FRAMES):
        return 1
    frames = header.number(tags.NUMBER_OF_FRAMES)
    if frames is None or frames < 0:
        raise CannotUnderstand("Number of Frames is not a number of frames")
    return frames or 1
