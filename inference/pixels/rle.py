"""RLE Lossless frames (PS3.5 Annex G)."""

import importlib
import struct

import numpy as np
import numpy.typing as npt

from dicom_node.core.errors import PixelError
from inference.pixels.native import Samples, arrange
from inference.pixels.read import FrameSource

_RLE_HEADER = struct.Struct("<16I")


def decode_rle(frame: bytes, source: FrameSource) -> Samples:
    """Decode RLE Lossless: a PackBits segment for each byte of each sample.

    pylibjpeg-rle would panic on a broken frame, and a panic is no Exception.

    Source: PS3.5 Annex G.
    """
    layout = source.layout
    count = layout.rows * layout.columns
    size = (count + 7) // 8 if layout.bits_allocated == 1 else count
    sample_bytes = max(layout.bits_allocated // 8, 1)
    segments = layout.samples * sample_bytes
    if len(frame) < _RLE_HEADER.size:
        raise PixelError("RLE Lossless cannot be decoded: the frame is broken off")
    header = _RLE_HEADER.unpack_from(frame)
    if header[0] != segments:
        raise PixelError("RLE Lossless has not the segments that BitsAllocated needs")
    ends = [*header[2 : segments + 1], len(frame)]
    planes = np.empty((layout.samples, size, sample_bytes), np.uint8)
    for index, (start, end) in enumerate(zip(header[1:], ends, strict=False)):
        sample, byte = divmod(index, sample_bytes)
        # Segments come with the most significant byte first.
        planes[sample, :, sample_bytes - 1 - byte] = _unpack(frame[start:end], size)
    if layout.bits_allocated == 1:
        bits = np.unpackbits(planes.ravel(), bitorder="little")[:count]
        return arrange(bits, source)
    values = planes.reshape(-1).view(f"<u{sample_bytes}")
    return arrange(values, source, by_plane=True)


def _unpack(segment: bytes, size: int) -> npt.NDArray[np.uint8]:
    """Decode one segment, which padding may make a little longer than `size`."""
    decode = importlib.import_module("imagecodecs").packbits_decode
    try:
        found = np.frombuffer(decode(segment, out=size + 128), np.uint8)
    except Exception:  # noqa: BLE001 - the codec's own error class
        found = np.empty(0, np.uint8)
    if len(found) < size:
        raise PixelError("RLE Lossless cannot be decoded: the frame is broken")
    return found[:size]
