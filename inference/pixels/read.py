"""Open a DICOM file up to its pixels: header parsed, pixels left on disk."""

import os
import struct
import zlib
from dataclasses import dataclass
from io import BufferedReader, BytesIO, FileIO
from pathlib import Path
from typing import BinaryIO

from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID

from dicom_node.core.errors import PixelError
from inference.pixels.alike import Alike, Shapes
from inference.pixels.border import third_party
from inference.pixels.codecs import (
    DEFLATED,
    EXPLICIT_BIG,
    IMPLICIT_LITTLE,
    NATIVE,
    UNDECODABLE,
    decodable_transfer_syntaxes,
)
from inference.pixels.fragments import FrameTable, PixelBytes, read_frame_table
from inference.pixels.header import Header, scan_header, scan_transfer_syntax
from inference.pixels.layout import PixelLayout, PixelLimits, read_layout
from inference.pixels.wanted import PIXEL_ELEMENTS

_HEAD_BYTES = 32 << 10
_CHUNK_BYTES = 1 << 20
_UNDEFINED = 0xFFFFFFFF
_SHAPES = Shapes()
_SHORT_LENGTH_VRS = ("US", "SS", "UL", "SL", "FL", "FD", "LO", "SH", "UI")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSource:
    """An image whose header is parsed and whose pixels are not yet decoded.

    Args:
        dataset: what this package and the selection of series ask a header for
            (`wanted.WANTED_KEYWORDS`); of unusual files everything before the pixels.
        frame_table: the fragments of each frame, () for native encoding.
        words_are_swapped: pixel bytes come as big endian 16-bit words (OW).
        alike: what it shares with images of its series; None where nothing is known.
    """

    dataset: Dataset
    number_of_frames: int
    transfer_syntax_uid: str
    layout: PixelLayout
    pixels: PixelBytes
    frame_table: FrameTable
    is_little_endian: bool
    words_are_swapped: bool
    alike: Alike | None = None


def open_image(path: Path, *, limits: PixelLimits = PixelLimits()) -> FrameSource:  # noqa: B008 - frozen
    """Parse the header of an image and check what it claims.

    Raises:
        PixelError: not a DICOM image, a transfer syntax that cannot be decoded,
            or attributes that contradict one another, the limits or the file.
    """
    try:
        with FileIO(path) as file:
            return _open(file, path, limits)
    except OSError:
        raise PixelError("the file cannot be read") from None


def name_transfer_syntax(uid: str) -> str:
    """Return the registered name, which cannot be a sender's text."""
    name = UNDECODABLE.get(uid, UID(uid, validation_mode=IGNORE).name)
    return name if name != uid else "an unregistered one"


def _open(raw: FileIO, path: Path, limits: PixelLimits) -> FrameSource:
    head = raw.read(_HEAD_BYTES)
    size = os.fstat(raw.fileno()).st_size
    content: bytes | None = None
    known = _SHAPES.find(head, limits)
    if known is not None:
        syntax, header = known.syntax, known.header
    else:
        with BufferedReader(raw) as file:
            syntax, header, content = _read(file, head, size, limits)
        size = size if content is None else len(content)
    pixels = _place_pixels(header, size, path=path, content=content)
    alike = known.alike if known else None
    layout = alike.layout if alike else None
    if layout is None:
        layout = read_layout(header.dataset, header.element, limits)
        alike = _SHAPES.keep(known, layout, limits) if known else None
    _check_encoding(layout, syntax, header.length)
    table: FrameTable = ()
    if syntax not in NATIVE:
        table = read_frame_table(pixels, header.dataset, layout.frames)
    is_little = syntax != EXPLICIT_BIG
    return FrameSource(
        dataset=header.dataset,
        number_of_frames=layout.frames,
        transfer_syntax_uid=syntax,
        layout=layout,
        pixels=pixels,
        frame_table=table,
        is_little_endian=is_little,
        words_are_swapped=not is_little and header.vr == "OW",
        alike=alike,
    )


def _read(
    file: BinaryIO, head: bytes, size: int, limits: PixelLimits
) -> tuple[str, Header, bytes | None]:
    """Read a header; return its syntax, itself, and what had to be inflated."""
    scanned = scan_transfer_syntax(head)
    is_usual = scanned is not None
    if scanned is None:
        file.seek(0)
        scanned = _read_transfer_syntax(file), file.tell()
    syntax, start = scanned
    if syntax not in decodable_transfer_syntaxes():
        raise PixelError(
            f"Transfer Syntax cannot be decoded: {name_transfer_syntax(syntax)}"
        )
    content: bytes | None = None
    header: Header | None = None
    if syntax == DEFLATED:
        file.seek(start)
        content = _inflate(file, limits.inflated_bytes)
        file, start = BytesIO(content), 0
    elif syntax != EXPLICIT_BIG:
        is_implicit = syntax == IMPLICIT_LITTLE
        with third_party("the data set cannot be parsed"):
            header = scan_header(
                file, head, size=size, start=start, is_implicit=is_implicit
            )
    if header is None:
        file.seek(start)
        header = _read_header(file, syntax)
    elif is_usual:
        _SHAPES.learn(head, syntax, start, header)
    return syntax, header, content


def _place_pixels(
    header: Header, size: int, *, path: Path, content: bytes | None
) -> PixelBytes:
    """Say where the value of the pixel element lies in a file of `size` bytes."""
    if header.vr in _SHORT_LENGTH_VRS:
        raise PixelError(f"{header.element} has a VR that cannot hold pixels")
    rest = size - header.start
    if header.length != _UNDEFINED and header.length > rest:
        raise PixelError(f"{header.element} is shorter than its length says")
    return PixelBytes(
        path=path if content is None else None,
        content=content or b"",
        start=header.start,
        length=rest if header.length == _UNDEFINED else header.length,
    )


def _read_header(file: BinaryIO, syntax: str) -> Header:
    """Let pydicom read what lies before the pixels."""
    with third_party("the data set cannot be parsed"):
        dataset = read_dataset(
            file,
            syntax == IMPLICIT_LITTLE,
            syntax != EXPLICIT_BIG,
            stop_when=_at_pixels,
        )
    tag, vr, length = _pixel_header(file, dataset)
    return Header(dataset=dataset, tag=tag, vr=vr, length=length, start=file.tell())


def _read_transfer_syntax(file: BinaryIO) -> str:
    """Read preamble and file meta information; leave the file behind them."""
    beginning = file.read(132)
    if beginning[128:] != b"DICM":
        # Some writers leave out preamble and prefix, not the meta information.
        if beginning[:2] != b"\x02\x00":
            raise PixelError("not a DICOM file: the DICM prefix is missing")
        file.seek(0)
    with third_party("the File Meta Information cannot be parsed"):
        meta = read_dataset(file, False, True, stop_when=_behind_meta)
        syntax = str(meta.get("TransferSyntaxUID") or "").strip(" \0")
        if not syntax:
            raise PixelError("TransferSyntaxUID is missing")
        return syntax


def _behind_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag.group != 2


def _at_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag in PIXEL_ELEMENTS


def _pixel_header(file: BinaryIO, dataset: Dataset) -> tuple[int, str, int]:
    """Read tag, VR and length of the pixel element; leave the file at its value."""
    is_implicit, is_little = dataset.original_encoding
    order = "<" if is_little else ">"
    raw = file.read(8)
    if len(raw) < 8:
        raise PixelError("the data set has no Pixel Data")
    group, number = struct.unpack_from(order + "HH", raw)
    tag = group << 16 | number
    if tag not in PIXEL_ELEMENTS:
        raise PixelError("the data set has no Pixel Data")
    if is_implicit:
        return tag, "OW", int(struct.unpack_from(order + "I", raw, 4)[0])
    vr = raw[4:6].decode("ascii", "replace")
    if vr in _SHORT_LENGTH_VRS:
        return tag, vr, 0
    tail = file.read(4)
    if len(tail) < 4:
        raise PixelError(f"{PIXEL_ELEMENTS[tag]} is broken off")
    return tag, vr, struct.unpack(order + "I", tail)[0]


def _inflate(file: BinaryIO, limit: int) -> bytes:
    """Inflate a deflated data set, but no further than the limit."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    content, packed = BytesIO(), b""
    try:
        while not inflater.eof and (packed := packed or file.read(_CHUNK_BYTES)):
            content.write(inflater.decompress(packed, _CHUNK_BYTES))
            packed = inflater.unconsumed_tail
            if content.tell() > limit:
                raise PixelError(
                    f"the data set inflates beyond the limit of {limit} bytes"
                )
    except zlib.error:
        raise PixelError("the deflated data set is broken") from None
    return content.getvalue()  # its own buffer, not a copy of it


def _check_encoding(layout: PixelLayout, syntax: str, length: int) -> None:
    """Check that the value is encapsulated or native as the syntax wants it."""
    if syntax not in NATIVE:
        if layout.is_float:
            raise PixelError(f"{layout.element} cannot be compressed")
        if length != _UNDEFINED:
            raise PixelError("Pixel Data is not encapsulated as its syntax demands")
        return
    if layout.photometric in ("YBR_RCT", "YBR_ICT"):
        raise PixelError("PhotometricInterpretation is one of JPEG 2000 alone")
    if length == _UNDEFINED:
        raise PixelError("Pixel Data has an undefined length in a native syntax")
    if length * 8 < layout.frame_bits * layout.frames:
        raise PixelError(
            f"{layout.element} is shorter than Rows x Columns x NumberOfFrames"
        )
