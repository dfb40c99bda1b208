"""Headers inside a codestream that contradict the ones outside, or one another."""

import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from pydicom.uid import HTJ2KLossless, JPEG2000Lossless, JPEGBaseline8Bit

from dicom_node.core.errors import PixelError
from inference.pixels.decode import decode_frame
from inference.pixels.native import Samples
from inference.pixels.read import open_image
from tests.unit.pixels.images import write_image

SIDE = 2048
SMALL = np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)
COD, COC = b"\xff\x52", b"\xff\x53"
SMALLEST = 0x11  # precincts of two by two coefficients


def _decode(path: Path, code: bytes, side: int, syntax: str) -> Samples:
    write_image(
        path, b"", frames=[code], syntax=syntax, Rows=side, Columns=side,
        SamplesPerPixel=1, BitsAllocated=8, BitsStored=8, HighBit=7,
        PixelRepresentation=0,
    )  # fmt: skip
    return decode_frame(open_image(path), 0).values


def _styles(code: bytes) -> tuple[bytes, bytes, int]:
    """Make COD and COC segments of tiny precincts; say where the code's COD ends.

    Source: ISO/IEC 15444-1 A.6.1, A.6.2.
    """
    begin = code.index(COD)
    (length,) = struct.unpack_from(">H", code, begin + 2)
    segment = code[begin + 4 : begin + 2 + length]
    precincts = bytes([SMALLEST] * (segment[5] + 1))
    whole = bytes([segment[0] | 1]) + segment[1:10] + precincts
    component = bytes([0, 1]) + segment[5:10] + precincts
    made = [
        marker + struct.pack(">H", len(body) + 2) + body
        for marker, body in ((COD, whole), (COC, component))
    ]
    return made[0], made[1], begin + 2 + length


def _into_tile(code: bytes, segment: bytes) -> bytes:
    """Put a marker segment into the first tile-part's header and mend its length."""
    at = code.index(b"\xff\x90")
    (size,) = struct.unpack_from(">I", code, at + 6)
    grown = struct.pack(">I", size + len(segment) if size else 0)
    return code[: at + 6] + grown + code[at + 10 : at + 12] + segment + code[at + 12 :]


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, HTJ2KLossless])
def test_precincts_are_counted_in_every_header_that_may_name_them(
    tmp_path: Path, syntax: str
) -> None:
    # 210 bytes of these take eight gigabytes and two minutes of OpenJPEG.
    blank = np.zeros((SIDE, SIDE), np.uint8)
    code = bytes(
        imagecodecs.jpeg2k_encode(blank, level=0, codecformat="j2k", reversible=True)
        if syntax == JPEG2000Lossless
        else imagecodecs.htj2k_encode(blank)
    )
    assert not _decode(tmp_path / "good", code, SIDE, syntax).any()
    cod, coc, end = _styles(code)
    bombs = {
        "COC of the image": code[:end] + coc + code[end:],
        "COD of a tile": _into_tile(code, cod),
        "COC of a tile": _into_tile(code, coc),
    }
    for name, bomb in bombs.items():
        with pytest.raises(PixelError, match="too many precincts"):
            _decode(tmp_path / name, bomb, SIDE, syntax)


def test_only_the_codestream_of_a_jp2_file_reaches_the_decoder(tmp_path: Path) -> None:
    def encode(pixels: Samples, kind: str) -> bytes:
        return bytes(
            imagecodecs.jpeg2k_encode(
                pixels, level=0, codecformat=kind, reversible=True
            )
        )

    wrapped = encode(SMALL, "jp2")
    found = _decode(tmp_path / "wrapped", wrapped, 64, JPEG2000Lossless)
    assert np.array_equal(found, SMALL)

    large = encode(np.zeros((512, 512), np.uint8), "jp2")
    decoy = bytes(16) + encode(SMALL, "j2k")
    box = struct.pack(">I4s", len(decoy) + 8, b"uuid") + decoy
    behind_type = 12 + struct.unpack_from(">I", large, 12)[0]
    lying = large[:behind_type] + box + large[behind_type:]
    with pytest.raises(PixelError, match="Rows and Columns"):
        _decode(tmp_path / "decoy", lying, 64, JPEG2000Lossless)
    with pytest.raises(PixelError):
        _decode(tmp_path / "cut", wrapped[:60] + b"\xff\xd9", 64, JPEG2000Lossless)


def test_a_second_frame_header_of_a_jpeg_is_refused(tmp_path: Path) -> None:
    code = bytes(imagecodecs.jpeg8_encode(SMALL, level=90))
    at = code.index(b"\xff\xc0")
    end = at + 2 + struct.unpack_from(">H", code, at + 2)[0]
    larger = code[at : at + 5] + struct.pack(">HH", 30000, 30000) + code[at + 9 : end]
    with pytest.raises(PixelError, match="JPEG Baseline"):
        _decode(tmp_path / "a", code[:end] + larger + code[end:], 64, JPEGBaseline8Bit)
