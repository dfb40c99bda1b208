"""Decode one frame into stored values, and nothing but that frame."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from dicom_node.core.errors import PixelError
from inference.pixels import faults
from inference.pixels.border import third_party
from inference.pixels.codecs import (
    HTJ2K,
    JPEG,
    JPEG_2000,
    JPEG_LS,
    LOSSY,
    NATIVE,
    RLE,
    has_extension,
)
from inference.pixels.codestream import Codestream, read_codestream, unwrap
from inference.pixels.complete import ends_flat, with_probe
from inference.pixels.fragments import Fragment, read_frame
from inference.pixels.native import Samples, read_native_frame
from inference.pixels.read import FrameSource, name_transfer_syntax
from inference.pixels.rle import decode_rle

# A codestream of the right family is decoded, whatever process its syntax names.
_SYNTAXES = {
    "jpeg": JPEG,
    "jpeg lossless": JPEG,
    "jpegls": JPEG_LS,
    "jpeg2k": (*JPEG_2000, *HTJ2K),
    "htj2k": (*JPEG_2000, *HTJ2K),
}

# Coding may make noise a little longer, and headers may hold profiles.
_MOST_EXPANSION, _MOST_HEADER_BYTES = 4, 4 << 20

_MARK = 90  # fits every type and is no extreme of any

# Codec -> imagecodecs extension and function.
_FUNCTIONS = {
    "jpeg": ("_jpeg8", "jpeg8_decode"),
    "jpeg lossless": ("_jpeg8", "jpeg8_decode"),
    "jpegls": ("_jpegls", "jpegls_decode"),
    "jpeg2k": ("_jpeg2k", "jpeg2k_decode"),
    "htj2k": ("_htj2k", "htj2k_decode"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFrame:
    """One decoded frame.

    Args:
        values: (rows, columns) or (rows, columns, 3), sign and mask applied.
        is_ybr: the three samples are still YCbCr.
    """

    values: Samples
    is_ybr: bool = False


def decode_frame(source: FrameSource, index: int) -> StoredFrame:
    """Decode frame `index`, counted from 0.

    Raises:
        PixelError: the frame is broken, or is not what the header says.
    """
    layout = source.layout
    faults.pass_frame(layout.rows)
    is_ybr = layout.photometric in ("YBR_FULL", "YBR_FULL_422")
    is_lossy = source.transfer_syntax_uid in LOSSY
    if source.transfer_syntax_uid in NATIVE:
        values = read_native_frame(source, index)
        precision = layout.bits_allocated
    else:
        if source.transfer_syntax_uid == RLE:
            frame = _read_compressed(source, index)
            values, precision = decode_rle(frame, source), layout.bits_allocated
        else:
            frame, codestream = open_codestream(source, index)
            values = _decode(frame, codestream, source)
            precision = codestream.precision
            is_lossy = is_lossy or not codestream.is_reversible
            # libjpeg has done the colour, by the codestream's marks or our word.
            is_ybr = is_ybr and codestream.codec != "jpeg"
            if codestream.is_signed:
                return StoredFrame(values=values)
    if layout.is_float:
        return StoredFrame(values=values)
    return StoredFrame(
        values=_stored(values, source, precision, is_lossy=is_lossy), is_ybr=is_ybr
    )


def as_decoded(source: FrameSource, frame: StoredFrame) -> FrameSource:
    """Give an image the sign that a codestream's values have against its header."""
    if source.layout.is_signed or frame.values.dtype.kind != "i":
        return source
    return replace(source, layout=replace(source.layout, is_signed=True))


def open_codestream(source: FrameSource, index: int) -> tuple[bytes, Codestream]:
    """Read a compressed frame and what its own header says, without decoding it.

    Raises:
        PixelError: the frame is broken off, or is not what the header says.
    """
    frame = unwrap(_read_compressed(source, index))
    return frame, inspect(frame, source)


def inspect(frame: bytes | memoryview, source: FrameSource) -> Codestream:
    """Return what a frame's own header says; PixelError as `open_codestream`."""
    codestream = read_codestream(frame)
    _check(codestream, source)
    return codestream


def _read_compressed(source: FrameSource, index: int) -> bytes:
    return read_frame(source.pixels, fragments_of(source, index))


def fragments_of(source: FrameSource, index: int) -> tuple[Fragment, ...]:
    """Return a frame's fragments, but none that no coding of it could need."""
    fragments = source.frame_table[index]
    size = sum(fragment.size for fragment in fragments)
    most = source.layout.frame_bits // 8 * _MOST_EXPANSION + _MOST_HEADER_BYTES
    if size > most:
        raise PixelError(f"a frame has fragments of more than {most} bytes")
    return fragments


def _check(codestream: Codestream, source: FrameSource) -> None:
    """Compare the codestream's header with the data set's, before allocating."""
    layout = source.layout
    if source.transfer_syntax_uid not in _SYNTAXES[codestream.codec]:
        raise PixelError(
            "Pixel Data does not hold what Transfer Syntax UID says "
            f"({name_transfer_syntax(source.transfer_syntax_uid)})"
        )
    if (codestream.rows, codestream.columns) != (layout.rows, layout.columns):
        raise PixelError("Rows and Columns are not those of the codestream")
    if codestream.samples != layout.samples:
        raise PixelError("SamplesPerPixel is not that of the codestream")
    if codestream.is_signed and codestream.samples == 3:
        raise PixelError("Pixel Data holds a colour with a sign (PixelRepresentation)")
    if codestream.precision > max(layout.bits_allocated, 8):
        raise PixelError("BitsAllocated is below the precision of the codestream")


def _decode(frame: bytes, codestream: Codestream, source: FrameSource) -> Samples:
    """Decode with imagecodecs, else with pydicom's plugins."""
    extension, function = _FUNCTIONS[codestream.codec]
    codec = f"{name_transfer_syntax(source.transfer_syntax_uid)} cannot be decoded"
    options: dict[str, Any] = {}
    if codestream.codec in ("jpeg", "jpeg lossless") and codestream.samples == 3:
        says_ybr = codestream.is_ybr
        if says_ybr is None:
            says_ybr = source.layout.photometric != "RGB"
        options = {"colorspace": "YCBCR" if says_ybr else "RGB", "outcolorspace": "RGB"}
    values: Samples | None = None
    # OpenJPH wraps what lossy coding pushes over the top: 256 becomes 0, white black.
    wraps = codestream.codec == "htj2k" and not codestream.is_reversible
    if has_extension(extension) and not wraps:
        decoder = getattr(importlib.import_module("imagecodecs"), function)
        if codestream.codec == "htj2k":
            options = {"out": _marked(codestream, source)}
        values = _attempt(decoder, frame, options)
        if codestream.codec == "htj2k" and values is not None and _is_marked(values):
            values = None
        if values is not None and codestream.codec in ("jpeg", "jpeg lossless"):
            is_lossless = codestream.is_reversible
            if ends_flat(values, is_lossless=is_lossless):
                probed = _attempt(decoder, with_probe(frame), options)
                if probed is None or not np.array_equal(values, probed):
                    raise PixelError(f"{codec}: its data end before the image does")
    if values is None:
        if codestream.codec in ("jpeg", "jpeg lossless"):
            raise PixelError(f"{codec}: the frame is broken")
        with third_party(f"{codec}: the frame is broken"):
            values = _decode_with_pydicom(frame, source)
    layout = source.layout
    shape = (layout.rows, layout.columns, *((3,) if layout.samples == 3 else ()))
    if values.shape != shape:
        raise PixelError(f"{codec}: the frame has another shape than its header")
    return values


def _marked(codestream: Codestream, source: FrameSource) -> Samples:
    """Make room for a frame, filled with a mark.

    imagecodecs drops the errors of OpenJPH that come once it copies rows, and what
    was in memory before stays in the rest.
    """
    layout = source.layout
    size = 1 if codestream.precision <= 8 else 2 if codestream.precision <= 16 else 4
    kind = "i" if codestream.is_signed else "u"
    shape = (layout.rows, layout.columns, *((3,) if layout.samples == 3 else ()))
    return np.full(shape, _MARK, f"{kind}{size}")


def _is_marked(values: Samples) -> bool:
    """Say whether a component's last row is still the mark."""
    return bool((values[-1] == _MARK).all(axis=0).any())


def _attempt(
    decoder: Callable[..., Samples], frame: bytes, options: dict[str, Any]
) -> Samples | None:
    try:
        return np.asarray(decoder(frame, **options))
    except Exception:  # noqa: BLE001 - each codec has its own error classes
        return None


def _decode_with_pydicom(frame: bytes, source: FrameSource) -> Samples:
    layout = source.layout
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.photometric,
        "planar_configuration": 0,
        "bits_allocated": layout.bits_allocated,
        "bits_stored": layout.bits_stored,
        "pixel_representation": int(layout.is_signed),
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
    }
    decoder = get_decoder(UID(source.transfer_syntax_uid))
    values, _ = decoder.as_array(encapsulate([frame]), index=0, raw=True, **options)
    decoded: Samples = values
    return decoded


def _stored(
    values: Samples, source: FrameSource, precision: int, *, is_lossy: bool
) -> Samples:
    """Cut off foreign bits and give the sign: stored values as PS3.5 8.1.1 has them.

    Old files keep overlays in the bits above Bits Stored. A lossy codestream has
    no such bits; there a value above Bits Stored is overshoot and stays.
    """
    layout = source.layout
    container = values.dtype.itemsize * 8
    bits = min(precision, container)
    size = values.dtype.itemsize
    native = values.astype(values.dtype.newbyteorder("="), copy=False)
    pattern: Samples = native.view(f"u{size}")
    if not is_lossy:
        shift = layout.high_bit + 1 - layout.bits_stored
        if shift and precision > layout.high_bit:
            pattern = pattern >> shift
        bits = min(bits, layout.bits_stored)
    # In place where the values are ours: a second copy takes longer than the change.
    into = pattern if pattern.flags.writeable else np.empty_like(pattern)
    spare = container - bits
    if not spare:
        return pattern.view(f"i{size}") if layout.is_signed else pattern
    if layout.is_signed:
        np.left_shift(pattern, spare, out=into)
        signed: Samples = into.view(f"i{size}")
        signed >>= spare
        return signed
    np.bitwise_and(pattern, pattern.dtype.type((1 << bits) - 1), out=into)
    return into
