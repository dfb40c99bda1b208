"""Decode JPEG 2000 and HTJ2K at a fraction of their size, for small model inputs.

A wavelet holds smaller images inside the large one. Their values may reach beyond the
range of the pixels; they are clipped to it, as OpenJPEG does. OpenJPH would wrap, and
turn white black: it is told of four bits more than there are, and clipped here.
"""

import importlib
import math
from dataclasses import dataclass
from io import BytesIO
from typing import cast

import numpy as np
from PIL import Image

from inference.api import InputSpec
from inference.pixels.codecs import HTJ2K, JPEG_2000, LOSSY, has_extension
from inference.pixels.codestream import Codestream, unwrap
from inference.pixels.decode import StoredFrame, fragments_of, inspect
from inference.pixels.fragments import read_frame_view
from inference.pixels.native import Samples
from inference.pixels.read import FrameSource
from inference.pixels.resample import place_frame
from inference.pixels.wanted import OVERLAY_BIT_POSITIONS

_CODESTREAM = b"\xff\x4f\xff\x51"
_DEPTH = 42  # offset of the first component's bit depth, ISO/IEC 15444-1 A.5.1
_SPARE_BITS = 4
_MOST_PIXELS = 89_000_000  # Pillow warns of larger images
_MARK = 90  # fits every type and is no extreme of any
_FAR_OUTSIDE = 2  # of the range: a wavelet reaches half of it at most
_PHOTOMETRICS = ("MONOCHROME1", "MONOCHROME2", "RGB", "YBR_RCT", "YBR_ICT")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReducedFrame:
    """A frame decoded at 1 / `factor` of its size in each direction."""

    frame: StoredFrame
    factor: int


def decode_reduced(
    source: FrameSource, index: int, spec: InputSpec
) -> ReducedFrame | None:
    """Decode frame `index`, from 0, as small as the model's input allows.

    Returns:
        None where the frame must be decoded whole: another coding, hardly larger than
        the input, a sign that the codestream does not know of, or anything that
        a full decode must judge.

    Raises:
        PixelError: the frame is broken, or is not what the header says.
    """
    layout = source.layout
    if (
        source.transfer_syntax_uid not in (*JPEG_2000, *HTJ2K)
        or layout.photometric not in _PHOTOMETRICS
    ):
        return None
    frame = unwrap(read_frame_view(source.pixels, fragments_of(source, index)))
    codestream = inspect(frame, source)
    levels = _count_levels(codestream, spec)
    if not levels or not _is_plain(frame, codestream, source):
        return None
    values = _decode(frame, codestream, levels)
    if values is None:
        return None
    is_lossy = source.transfer_syntax_uid in LOSSY or not codestream.is_reversible
    bits = codestream.precision
    if not is_lossy:
        bits = min(bits, layout.bits_stored)
        if _largest(values) >= _FAR_OUTSIDE << bits:
            return None  # bits above the pixels' that no header tells of
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1)
    if not codestream.is_signed:
        low, high = 0, (1 << bits) - 1
    kind = f"{'i' if codestream.is_signed else 'u'}{1 if bits <= 8 else 2}"
    stored = np.clip(values, low, high).astype(kind)
    return ReducedFrame(frame=StoredFrame(values=stored), factor=1 << levels)


def _count_levels(codestream: Codestream, spec: InputSpec) -> int:
    """Count halvings after which the part that is used still fills the input."""
    geometry = place_frame((codestream.rows, codestream.columns), spec)
    ratio = min(
        (geometry.rows.stop - geometry.rows.start) / geometry.size[0],
        (geometry.columns.stop - geometry.columns.start) / geometry.size[1],
    )
    return min(int(math.log2(ratio)) if ratio >= 2 else 0, codestream.levels)


def _is_plain(frame: memoryview, codestream: Codestream, source: FrameSource) -> bool:
    """Say whether averages of the codestream's values are averages of the pixels."""
    layout = source.layout
    return (
        frame[:4] == _CODESTREAM
        and codestream.codec in ("jpeg2k", "htj2k")
        and 8 <= codestream.precision <= (16 if codestream.samples == 1 else 8)
        and codestream.rows * codestream.columns <= _MOST_PIXELS
        # Two's complement in an unsigned codestream: -1 and 0 would average to half.
        and codestream.is_signed == layout.is_signed
        and layout.high_bit + 1 == layout.bits_stored
        and not _has_foreign_bits(codestream, source)
    )


def _has_foreign_bits(codestream: Codestream, source: FrameSource) -> bool:
    """Say whether overlays may lie in bits above the pixels'.

    Source: PS3.5 8.1.1, retired Overlay Bit Position (60xx,0102).
    """
    if codestream.precision <= source.layout.bits_stored:
        return False
    return any(
        tag in source.dataset and any(source.dataset.get_item(tag).value or b"")
        for tag in OVERLAY_BIT_POSITIONS
    )


def _decode(frame: memoryview, codestream: Codestream, levels: int) -> Samples | None:
    """Return values that may lie outside the range of the pixels; None on a failure."""
    try:
        if codestream.codec == "htj2k" and codestream.is_reversible:
            return _by_openjph(frame, codestream, levels)
        return _by_openjpeg(frame, codestream, levels)
    except Exception:  # noqa: BLE001 - a full decode says what is wrong
        return None


def _largest(values: Samples) -> int:
    """Return the largest magnitude, that of the lowest integer too."""
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))


def _by_openjph(
    frame: memoryview, codestream: Codestream, levels: int
) -> Samples | None:
    """Decode with OpenJPH, which leaves the frame with another bit depth."""
    if not has_extension("_htj2k"):
        return _by_openjpeg(frame, codestream, levels)
    bits = codestream.precision + _SPARE_BITS
    for component in range(codestream.samples):
        frame[_DEPTH + 3 * component] += _SPARE_BITS
    kind = f"{'i' if codestream.is_signed else 'u'}{2 if bits <= 16 else 4}"
    room = np.full(_reduced_shape(codestream, levels), _MARK, kind)
    decode = importlib.import_module("imagecodecs").htj2k_decode
    values = np.asarray(decode(frame, skipres=levels, out=room))
    if (values[-1] == _MARK).all(axis=0).any():  # rows that were never written
        return None
    if codestream.is_signed:
        return values
    # Half the range is added to unsigned values: of the wider one, here.
    excess = (1 << bits - 1) - (1 << codestream.precision - 1)
    wider = "i4" if bits <= 16 else "i8"
    centred: Samples = np.subtract(values, excess, dtype=wider)
    return centred


def _by_openjpeg(
    frame: memoryview, codestream: Codestream, levels: int
) -> Samples | None:
    """Decode with the OpenJPEG inside Pillow, which alone can be told to reduce."""
    picture = Image.open(BytesIO(frame), formats=["JPEG2000"])
    shape = _reduced_shape(codestream, levels)
    # What its own `reduce` does, but for a size that is rounded up as OpenJPEG does.
    (tile,) = picture.tile
    codec, _, layers, *place = cast("tuple[object, ...]", tile[3])
    extent = (0, 0, shape[1], shape[0])
    picture._size = extent[2:]
    picture.tile = [type(tile)(tile[0], extent, 0, (codec, levels, layers, *place))]
    picture.load()
    values = np.asarray(picture)
    if values.shape != shape:
        return None
    if values.dtype == np.uint8:
        container = 8
    elif picture.mode == "I;16":
        container = 16
    else:
        return None
    # Pillow makes values unsigned and moves them to the top of 8 or 16 bits.
    whole = values.astype(np.int32) >> container - codestream.precision
    return whole - (1 << codestream.precision - 1) if codestream.is_signed else whole


def _reduced_shape(codestream: Codestream, levels: int) -> tuple[int, ...]:
    """Say what is left after the halvings, each of which rounds up."""
    step = 1 << levels
    shape = -(-codestream.rows // step), -(-codestream.columns // step)
    return shape if codestream.samples == 1 else (*shape, codestream.samples)
