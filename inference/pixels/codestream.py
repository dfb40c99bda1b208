"""Headers of compressed frames: what the codestream itself says it holds."""

import struct
from dataclasses import dataclass
from typing import TypeVar

from dicom_node.core.errors import PixelError
from inference.pixels.jpeg2000 import read_jpeg_2000

_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_LOSSLESS_JPEG = 0xC3
_MOST_SCANS = 64  # a progressive image has about ten; each is a pass over the frame
_JPEG_LS = 0xF7
_JP2_SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"
_END_OF_IMAGE, _TAIL = b"\xff\xd9", 1024

_Frame = TypeVar("_Frame", bytes, memoryview)


@dataclass(frozen=True, slots=True, kw_only=True)
class Codestream:
    """Size and kind of one compressed frame.

    Args:
        codec: "jpeg", "jpeg lossless", "jpegls", "jpeg2k" or "htj2k".
        precision: bits a sample.
        is_signed: JPEG 2000 alone can say so.
        is_ybr: whether the samples are YCbCr by the codestream's own marks;
            None when it does not say.
        is_reversible: nothing is lost in coding, as far as the header tells.
        levels: JPEG 2000 alone, of decomposition.
    """

    codec: str
    rows: int
    columns: int
    samples: int
    precision: int
    is_signed: bool = False
    is_ybr: bool | None = None
    is_reversible: bool = True
    levels: int = 0


def read_codestream(frame: bytes | memoryview) -> Codestream:
    """Read the header of a JPEG, JPEG-LS, JPEG 2000 or HTJ2K frame.

    Raises:
        PixelError: it is none of these, or broken off. libjpeg and OpenJPEG only
            warn of that and fill the rest with grey.
    """
    # Coded data never hold this marker, but padding of any kind may follow it.
    if _END_OF_IMAGE not in bytes(frame[-_TAIL:]):
        raise PixelError("Pixel Data holds a codestream that is broken off")
    try:
        if frame[:2] == b"\xff\xd8":
            return _read_jpeg(bytes(frame))
        if frame[:4] == b"\xff\x4f\xff\x51":
            return _read_jpeg_2000(frame)
    except (struct.error, IndexError):
        raise PixelError("Pixel Data holds a codestream that is broken off") from None
    raise PixelError("Pixel Data does not begin with a known codestream")


def unwrap(frame: _Frame) -> _Frame:
    """Take the codestream out of a JP2 file, which PS3.5 A.4.4 forbids and some send.

    A decoder must not see the file: its boxes may hold another codestream, and a
    palette that makes other samples of these.

    Source: ISO/IEC 15444-1 I.4, I.5.4.
    """
    if frame[:12] != _JP2_SIGNATURE:
        return frame
    position = 0
    while position + 8 <= len(frame):
        size, kind = struct.unpack_from(">I4s", frame, position)
        start = position + 8
        if size == 1 and start + 8 <= len(frame):
            (size,) = struct.unpack_from(">Q", frame, start)
            start += 8
        end = position + size if size else len(frame)
        if kind == b"jp2c":
            return frame[start:end]
        if end < start:
            break
        position = end
    return frame[:0]


def _read_jpeg(frame: bytes) -> Codestream:
    """Walk the marker segments up to the frame header. Source: ITU-T T.81 B.2."""
    if frame.count(b"\xff\xda") > _MOST_SCANS:
        raise PixelError(f"Pixel Data holds a JPEG of over {_MOST_SCANS} scans")
    is_jfif, adobe_transform, position = False, -1, 2
    while True:
        if frame[position] != 0xFF:
            raise PixelError("Pixel Data holds a JPEG with a broken marker")
        marker = frame[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        position += 2
        if marker in _STANDALONE:
            continue
        (length,) = struct.unpack_from(">H", frame, position)
        segment = frame[position + 2 : position + length]
        if marker == 0xE0 and segment[:5] == b"JFIF\0":
            is_jfif = True
        elif marker == 0xEE and segment[:5] == b"Adobe" and len(segment) >= 12:
            adobe_transform = segment[11]
        elif marker in _START_OF_FRAME:
            return _frame_header(marker, segment, is_jfif, adobe_transform)
        elif marker in (0xD9, 0xDA):
            raise PixelError("Pixel Data holds a JPEG without a frame header")
        position += max(length, 2)


def _frame_header(
    marker: int, segment: bytes, is_jfif: bool, adobe_transform: int
) -> Codestream:
    precision, rows, columns, samples = struct.unpack_from(">BHHB", segment)
    components = [segment[6 + 3 * i : 9 + 3 * i] for i in range(samples)]
    names = bytes(component[0] for component in components)
    is_subsampled = len({component[1] for component in components}) > 1
    is_ybr: bool | None = None
    if adobe_transform >= 0:
        is_ybr = adobe_transform == 1
    elif names == b"RGB":
        is_ybr = False
    elif is_jfif or is_subsampled:
        is_ybr = True
    codec = "jpegls" if marker == _JPEG_LS else "jpeg"
    if marker == _LOSSLESS_JPEG:
        codec, is_ybr = "jpeg lossless", False  # PS3.5 8.2.1: no transformation
    return Codestream(
        codec=codec,
        rows=rows,
        columns=columns,
        samples=samples,
        precision=precision,
        is_ybr=is_ybr if samples == 3 else None,
        is_reversible=codec != "jpeg",
    )


def _read_jpeg_2000(frame: bytes | memoryview) -> Codestream:
    header = read_jpeg_2000(frame)
    return Codestream(
        codec="htj2k" if header.is_high_throughput else "jpeg2k",
        rows=header.rows,
        columns=header.columns,
        samples=header.samples,
        precision=header.precision,
        is_signed=header.is_signed,
        is_reversible=header.is_reversible,
        levels=header.levels,
    )
