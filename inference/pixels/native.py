"""Cut one frame out of native Pixel Data (PS3.5 8.1, PS3.3 C.7.6.3.1)."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from dicom_node.core.errors import PixelError
from inference.pixels.read import FrameSource

# Integers or floats of any size: the file decides.
Samples = npt.NDArray[Any]

# Halves of samples in the wrong order make noise of an image: three times and more
# where it was smooth, 1 where it was not.
_ROUGHER: Final = 2.0


def read_native_frame(source: FrameSource, index: int) -> Samples:
    """Return frame `index` (from 0) as (rows, columns) or (rows, columns, 3).

    Values are as allocated: neither masked nor given a sign. YBR_FULL_422 comes
    back with its chroma repeated.
    """
    layout = source.layout
    if layout.bits_allocated == 1:
        return _read_bits(source, index)
    size = layout.frame_bits // 8
    frame = _read_bytes(source, index * size, size)
    order = "<" if source.is_little_endian else ">"
    kind = "f" if layout.is_float else "u"
    values = np.frombuffer(frame, f"{order}{kind}{layout.bits_allocated // 8}")
    if source.words_are_swapped and layout.bits_allocated == 32 and kind == "u":
        values = _join_words(values, is_signed=layout.is_signed)
    if layout.photometric == "YBR_FULL_422":
        if source.pixels.length * 2 >= size * layout.frames * 3:
            raise PixelError(
                "PhotometricInterpretation is YBR_FULL_422, but Pixel Data is as "
                "long as YBR_FULL would be"
            )
        return _repeat_chroma(values, layout.rows, layout.columns)
    return arrange(values, source)


def arrange(values: Samples, source: FrameSource, *, by_plane: bool = False) -> Samples:
    """Shape a flat frame, bringing colour by plane into colour by pixel."""
    layout = source.layout
    if layout.samples == 1:
        return values.reshape(layout.rows, layout.columns)
    if by_plane or layout.by_plane:
        planes = values.reshape(layout.samples, layout.rows, layout.columns)
        return planes.transpose(1, 2, 0)
    return values.reshape(layout.rows, layout.columns, layout.samples)


def _read_bytes(
    source: FrameSource, offset: int, size: int
) -> bytes | npt.NDArray[np.uint8]:
    """Read bytes in the order of the samples.

    Bytes in big endian OW lie in 16-bit words with the first one low, so each
    pair is swapped; wider samples are swapped by their type instead.
    """
    if not source.words_are_swapped or source.layout.bits_allocated > 8:
        return source.pixels.read_array(offset, size)
    begin, end = offset & ~1, (offset + size + 1) & ~1
    raw = source.pixels.read(begin, min(end, source.pixels.length & ~1) - begin)
    swapped = np.frombuffer(raw, ">u2").astype("<u2").tobytes()
    return swapped[offset - begin : offset - begin + size]


def _join_words(swapped: Samples, *, is_signed: bool) -> Samples:
    """Put 32-bit samples together that came as big endian 16-bit words.

    A sample that crosses the end of a word goes on in the next one: its lower half
    comes first. pydicom and what is written with it swap all four bytes instead;
    that is believed where the standard's order would give noise.

    Args:
        swapped: the samples, had all four bytes been swapped.

    Source: PS3.5 8.2 (CP-565), and A.3 of PS3.5 2016b, before the syntax was retired.
    """
    other = swapped.astype(np.uint32)
    lower, upper = other >> np.uint32(16), other & np.uint32(0xFFFF)
    values = upper << np.uint32(16) | lower
    # Values of 16 bits above nothing but a sign: the halves are the other way round.
    if upper.any() and np.isin(lower, (0, 0xFFFF)).all():
        return other
    kind = "i4" if is_signed else "u4"
    rough = _roughness(values.view(kind)) > _ROUGHER * _roughness(other.view(kind))
    return other if rough else values


def _roughness(values: Samples) -> float:
    """Say how much neighbours differ, relative to the range of all."""
    span = float(values.max()) - float(values.min())
    steps = np.abs(np.diff(values.astype(np.float64)))
    return float(steps.mean()) / span if span and len(steps) else 0.0


def _read_bits(source: FrameSource, index: int) -> Samples:
    """Unpack one-bit pixels; a frame need not begin at a byte (PS3.5 8.1.1)."""
    layout = source.layout
    count = layout.rows * layout.columns
    first = index * count
    begin, end = first // 8, (first + count + 7) // 8
    raw = np.frombuffer(_read_bytes(source, begin, end - begin), np.uint8)
    bits = np.unpackbits(raw, bitorder="little")[first - begin * 8 :]
    return bits[:count].reshape(layout.rows, layout.columns)


def _repeat_chroma(values: Samples, rows: int, columns: int) -> Samples:
    """Spread Y1 Y2 Cb Cr over two pixels (PS3.3 C.7.6.3.1.2)."""
    if columns % 2:
        raise PixelError("YBR_FULL_422 needs an even number of Columns")
    quads = values.reshape(rows, columns // 2, 4)
    image = np.empty((rows, columns, 3), values.dtype)
    image[:, 0::2, 0], image[:, 1::2, 0] = quads[..., 0], quads[..., 1]
    for pixel in (0, 1):
        image[:, pixel::2, 1:] = quads[..., 2:]
    return image
