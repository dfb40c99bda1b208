"""Data sets that no modality would send, and one that any would."""

import struct
import zlib
from pathlib import Path

import numpy as np
from pydicom.data import get_testdata_file

from tests.integration.receive.wire import CT, EXPLICIT, uid

# What must never be in a log: it stands in every data set that tests send.
PATIENT = "Zsecret^Patient"
UNDEFINED = 0xFFFFFFFF
DEFLATED = "1.2.840.10008.1.2.1.99"
_LONG = {b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC"}
INSTANCE = "1.2.826.0.1.3680043.8.498.1"


def element(tag: int, vr: bytes, value: bytes, *, length: int | None = None) -> bytes:
    """Encode in Explicit VR Little Endian; `length` may be a lie."""
    size = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    if vr in _LONG:
        return head + struct.pack("<HI", 0, size) + value
    return head + struct.pack("<H", size) + value


def image(
    instance: str = INSTANCE,
    *,
    rows: int = 16,
    columns: int = 16,
    frames: int | None = None,
    before: bytes = b"",
    pixels: bytes | None = None,
) -> bytes:
    """Make a small CT in Explicit VR Little Endian.

    Args:
        before: encoded elements between the frames and Rows.
        pixels: the encoded Pixel Data element instead of one that fits 16x16.
    """
    identity = [
        element(0x00080016, b"UI", uid(CT)),
        element(0x00080018, b"UI", uid(instance)),
        element(0x00080060, b"CS", b"CT"),
        element(0x00100010, b"PN", PATIENT.encode() + b" "),
        element(0x00100020, b"LO", PATIENT.encode() + b" "),
        element(0x0020000D, b"UI", uid("1.2.826.0.1.3680043.8.498.2")),
        element(0x0020000E, b"UI", uid("1.2.826.0.1.3680043.8.498.3")),
    ]
    if frames is not None:
        text = str(frames).encode()
        identity.append(element(0x00280008, b"IS", text + b" " * (len(text) % 2)))
    shape = [
        element(0x00280002, b"US", struct.pack("<H", 1)),
        element(0x00280004, b"CS", b"MONOCHROME2 "),
        before,
        element(0x00280010, b"US", struct.pack("<H", rows)),
        element(0x00280011, b"US", struct.pack("<H", columns)),
        element(0x00280100, b"US", struct.pack("<H", 16)),
        element(0x00280101, b"US", struct.pack("<H", 16)),
        element(0x00280102, b"US", struct.pack("<H", 15)),
        element(0x00280103, b"US", struct.pack("<H", 0)),
    ]
    last = element(0x7FE00010, b"OW", bytes(512)) if pixels is None else pixels
    return b"".join([*identity, *shape, last])


def empty_elements(size: int) -> bytes:
    """Fill `size` bytes with elements of eight bytes each, tags ascending."""
    numbers = np.arange(size // 8)
    elements = np.zeros(size // 8, dtype="<u2,<u2,S2,<u2")
    elements["f0"] = 0x0009 + 2 * (numbers >> 16)
    elements["f1"] = numbers & 0xFFFF
    elements["f2"] = b"LO"
    return elements.tobytes()


def nested(depth: int) -> bytes:
    """Open `depth` sequences of undefined length in one another and close them all."""
    opened = element(0x0040A730, b"SQ", b"", length=UNDEFINED)
    opened += struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
    closed = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    return opened * depth + closed * depth


def deflated(*parts: bytes, end: bool = True) -> bytes:
    """Deflate (PS3.5 A.5); without `end` the stream breaks off."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    content = b"".join(deflate.compress(part) for part in parts)
    return content + deflate.flush(zlib.Z_FINISH if end else zlib.Z_FULL_FLUSH)


def deflated_bomb(mebibytes: int) -> bytes:
    """Deflate a CT with so many MiB of zeros as Pixel Data, without making them."""
    head = element(0x7FE00010, b"OW", b"", length=mebibytes << 20)
    # A flushed block refers to nothing before it, so it can be repeated.
    block = deflated(bytes(1 << 20), end=False)
    return deflated(image(pixels=head), end=False) + block * mebibytes + deflated(b"")


def encapsulated(*fragments: bytes) -> bytes:
    """Encode Pixel Data as fragments behind an empty offset table (PS3.5 A.4)."""
    items = b"".join(
        struct.pack("<HHI", 0xFFFE, 0xE000, len(fragment)) + fragment
        for fragment in (b"", *fragments)
    )
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return element(0x7FE00010, b"OB", items + end, length=UNDEFINED)


def real_ct() -> tuple[bytes, str]:
    """Return pydicom's CT as it lies in its file, and its SOP Instance UID."""
    path = Path(str(get_testdata_file("CT_small.dcm")))
    dataset, meta = split_head(path.read_bytes())
    return dataset, meta[0x0003]


def split_head(content: bytes) -> tuple[bytes, dict[int, str]]:
    """Return a file's data set and its File Meta Information, however broken.

    The elements are taken one by one, because some files lie about the length of the
    group. Without a head all of it is the data set, in Explicit VR.
    """
    position = content.find(b"DICM", 0, 256) + 4
    meta = {0x0010: EXPLICIT}
    while position >= 4 and content[position : position + 2] == b"\2\0":
        number, vr, size = struct.unpack_from("<H2sH", content, position + 2)
        position += 8
        if vr in _LONG:
            (size,) = struct.unpack_from("<I", content, position)
            position += 4
        value = content[position : position + size]
        meta[number] = value.decode("latin-1").strip(" \0")
        position += size
    return content[position if position >= 4 else 0 :], meta
