"""Radiographs whose pixels are not what they say, and a sender that minds nothing."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import imagecodecs
import numpy as np
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.attacks.datasets import UNDEFINED, element, encapsulated
from tests.attacks.peer import Offer, Peer, context_items, store_message
from tests.e2e.images import make_radiograph

SYNTAXES = (
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
    HTJ2KLossless,
    RLELossless,
)
_PIXEL_DATA = 0x7FE00010
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One data set as it goes over the wire.

    Args:
        dataset: encoded as the transfer syntax says, or not.
    """

    name: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset: bytes


def good_sample(study: str, number: int) -> Sample:
    """Make a radiograph that is in order."""
    image = make_radiograph(study, number=number)
    pixels = element(_PIXEL_DATA, b"OW", image.PixelData)
    return _sample("good", image, ExplicitVRLittleEndian, pixels)


def broken_samples(study: str) -> list[Sample]:
    """Make one of each kind that a decoder must refuse."""
    found: list[Sample] = []

    def add(name: str, syntax: str, pixels: bytes, **attributes: int | str) -> None:
        image = make_radiograph(study, number=100 + len(found))
        for keyword, value in attributes.items():
            setattr(image, keyword, value)
        found.append(_sample(name, image, syntax, pixels))

    values = np.frombuffer(make_radiograph(study).PixelData, "<u2").reshape(64, 64)
    jpeg = bytes(imagecodecs.ljpeg_encode(values, bitspersample=12))
    jpeg_ls = bytes(imagecodecs.jpegls_encode(values))
    j2k = bytes(imagecodecs.jpeg2k_encode(values, level=0, codecformat="j2k"))
    add("native, cut", ExplicitVRLittleEndian, _native(bytes(2 * 64 * 63)))
    for name, syntax, code in (
        ("JPEG lossless", JPEGLosslessSV1, jpeg),
        ("JPEG-LS", JPEGLSLossless, jpeg_ls),
        ("JPEG 2000", JPEG2000Lossless, j2k),
    ):
        add(f"{name}, cut in half", syntax, encapsulated(_even(code[: len(code) // 2])))
        add(f"{name}, only its start", syntax, encapsulated(_even(code[:12])))
    add("native as JPEG 2000", JPEG2000Lossless, _native(values.tobytes()))
    add("noise as JPEG 2000", JPEG2000Lossless, encapsulated(values.tobytes()))
    add("JPEG-LS as RLE", RLELossless, encapsulated(_even(jpeg_ls)))
    add("JPEG 2000 as native", ExplicitVRLittleEndian, _native(_even(j2k)))
    add("another size", JPEGLSLossless, encapsulated(_even(jpeg_ls)), Rows=128)
    huge = _with_size(j2k, 65535, 65535)
    claim = {"Rows": 65535, "Columns": 65535}
    add("65535 x 65535 pixels", JPEG2000Lossless, encapsulated(_even(huge)), **claim)
    add("a codestream that says so", JPEG2000Lossless, encapsulated(_even(huge)))
    add("a million frames", JPEGLSLossless, encapsulated(jpeg_ls), NumberOfFrames=10**6)
    add("65535 x 65535, native", ExplicitVRLittleEndian, _native(bytes(8192)), **claim)
    add("no fragment", JPEGLSLossless, encapsulated())
    lying = encapsulated(_even(jpeg_ls))[:-8].replace(
        struct.pack("<I", len(_even(jpeg_ls))), struct.pack("<I", 0x7FFFFFF0), 1
    )
    add("a fragment without end", JPEGLSLossless, lying)
    offsets = struct.pack("<III", 0, 0xFFFFFF00, 3)
    fragments = [_even(jpeg_ls)[:100], _even(jpeg_ls)[100:]]
    add(
        "offsets to nowhere",
        JPEGLSLossless,
        _encapsulated(offsets, *fragments),
        NumberOfFrames=3,
    )
    found.append(_deflate_bomb(study, mebibytes=3000))
    return found


def send_samples(port: int, samples: Sequence[Sample]) -> Mapping[str, int]:
    """Send over one association; return the status of each SOP Instance UID."""
    numbers = {str(syntax): 2 * place + 1 for place, syntax in enumerate(SYNTAXES)}
    offered = {
        number: (str(ComputedRadiographyImageStorage), (syntax,))
        for syntax, number in numbers.items()
    }
    statuses = {}
    for sample in samples:
        with Peer(port) as peer:
            peer.established(Offer(contexts=context_items(offered)))
            peer.send(
                store_message(
                    sample.dataset,
                    sample.sop_instance_uid,
                    context=numbers[sample.transfer_syntax_uid],
                    sop_class=str(ComputedRadiographyImageStorage),
                )
            )
            statuses[sample.sop_instance_uid] = peer.answer(within=60).status
            peer.release()
    return statuses


def _sample(name: str, image: Dataset, syntax: str, pixels: bytes) -> Sample:
    return Sample(
        name=name,
        sop_instance_uid=str(image.SOPInstanceUID),
        transfer_syntax_uid=syntax,
        dataset=_before_pixels(image) + pixels,
    )


def _before_pixels(image: Dataset) -> bytes:
    if "PixelData" in image:
        del image.PixelData
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, False
    write_dataset(stream, image)
    return bytes(stream.getvalue())


def _native(values: bytes) -> bytes:
    return element(_PIXEL_DATA, b"OW", values)


def _encapsulated(offsets: bytes, *fragments: bytes) -> bytes:
    """Encode with this offset table."""
    items = b"".join(
        struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part
        for part in (offsets, *fragments)
    )
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return element(_PIXEL_DATA, b"OB", items + end, length=UNDEFINED)


def _even(code: bytes) -> bytes:
    return code + b"\0" * (len(code) % 2)


def _with_size(j2k: bytes, rows: int, columns: int) -> bytes:
    """Change size and tile size of a JPEG 2000 codestream (ISO 15444-1 A.5.1)."""
    place = j2k.index(b"\xff\x51") + 6
    size = struct.pack(">IIIIIIII", columns, rows, 0, 0, columns, rows, 0, 0)
    return j2k[:place] + size + j2k[place + 32 :]


def _deflate_bomb(study: str, *, mebibytes: int) -> Sample:
    """Make a few MiB that inflate to this many, as native pixels that fit."""
    image = make_radiograph(study, number=999)
    image.Rows, image.Columns = 32768, 16 * mebibytes
    head = _before_pixels(image)
    head += element(_PIXEL_DATA, b"OW", b"", length=mebibytes << 20)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = deflate.compress(head) + deflate.flush(zlib.Z_FULL_FLUSH)
    # A flushed block refers to nothing before it, so it can be repeated.
    block = deflate.compress(bytes(_MIB)) + deflate.flush(zlib.Z_FULL_FLUSH)
    content = start + block * mebibytes + deflate.flush(zlib.Z_FINISH)
    return Sample(
        name="deflate bomb",
        sop_instance_uid=str(image.SOPInstanceUID),
        transfer_syntax_uid=DeflatedExplicitVRLittleEndian,
        dataset=content + b"\0" * (len(content) % 2),
    )
