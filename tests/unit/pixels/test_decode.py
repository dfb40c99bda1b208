"""Codestreams: exact values, signs, bits, and headers that contradict them."""

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
)

from dicom_node.core.errors import PixelError
from inference.pixels.decode import decode_frame
from inference.pixels.frames import open_image
from inference.pixels.fused import show_frame
from inference.pixels.raw import read_frame
from tests.unit.pixels.images import SPEC, lut_item, plane, show, write_image

GREY = np.random.default_rng(1).integers(0, 4096, (24, 40)).astype(np.uint16)


def stored(path: Path, index: int = 0) -> npt.NDArray[Any]:
    """Return the stored values of one frame."""
    return decode_frame(open_image(path), index).values


def compressed(path: Path, coded: bytes, syntax: str, **attributes: Any) -> Path:
    """Write a 24 x 40 image of 12 bits around a codestream."""
    header = {
        "Rows": 24, "Columns": 40, "SamplesPerPixel": 1, "BitsAllocated": 16,
        "BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0,
    }  # fmt: skip
    return write_image(path, b"", frames=[coded], syntax=syntax, **header | attributes)


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [12, 16])
def test_lossless_jpeg_is_exact_for_every_predictor(
    tmp_path: Path, predictor: int, bits: int
) -> None:
    coded = imagecodecs.jpeg8_encode(
        GREY, lossless=True, predictor=predictor, bitspersample=bits
    )
    path = compressed(tmp_path / "a", bytes(coded), JPEGLossless)
    assert np.array_equal(stored(path), GREY)


def test_12_bit_lossy_jpeg_keeps_its_12_bits(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(24) * 60, np.arange(40) * 60).astype(np.uint16)
    coded = imagecodecs.jpeg8_encode(smooth, level=100, bitspersample=12)
    path = compressed(tmp_path / "a", bytes(coded), JPEGExtended12Bit)
    got = stored(path).astype(int)
    assert got.max() > 3000
    assert np.abs(got - smooth).max() <= 8


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("syntax", [JPEG2000Lossless, HTJ2KLossless])
def test_jpeg_2000_keeps_value_and_sign(
    tmp_path: Path, dtype: type[np.integer[Any]], syntax: str
) -> None:
    limits = np.iinfo(dtype)
    image = np.random.default_rng(2).integers(
        limits.min, limits.max, (24, 40), endpoint=True
    )
    image = image.astype(dtype)
    if syntax == HTJ2KLossless:
        coded = imagecodecs.htj2k_encode(image, reversible=True)
    else:
        coded = imagecodecs.jpeg2k_encode(image, codecformat="J2K", reversible=True)
    bits = limits.bits
    path = compressed(
        tmp_path / "a", bytes(coded), syntax, BitsAllocated=bits, BitsStored=bits,
        HighBit=bits - 1, PixelRepresentation=int(limits.min < 0),
    )  # fmt: skip
    assert np.array_equal(stored(path), image)


def test_signed_pixels_in_an_unsigned_codestream_get_their_sign(tmp_path: Path) -> None:
    signed = GREY.astype(int) - 2048
    coded = imagecodecs.jpeg2k_encode(
        (signed & 0xFFF).astype(np.uint16), codecformat="J2K", bitspersample=12
    )
    path = compressed(
        tmp_path / "a", bytes(coded), JPEG2000Lossless, PixelRepresentation=1
    )
    assert np.array_equal(stored(path), signed)
    coded = imagecodecs.jpegls_encode((signed & 0xFFF).astype(np.uint16))
    path = compressed(
        tmp_path / "b", bytes(coded), JPEGLSLossless, PixelRepresentation=1
    )
    assert np.array_equal(stored(path), signed)


def test_a_signed_codestream_is_believed_against_the_header(tmp_path: Path) -> None:
    signed = (GREY.astype(int) - 2048).astype(np.int16)
    coded = imagecodecs.jpeg2k_encode(signed, codecformat="J2K", reversible=True)
    path = compressed(
        tmp_path / "a", bytes(coded), JPEG2000Lossless, PixelRepresentation=0
    )
    assert np.array_equal(stored(path), signed)


def test_what_a_signed_codestream_can_hold_is_shown_from_black_to_white(
    tmp_path: Path,
) -> None:
    signed = (GREY.astype(int) - 2048).astype(np.int16)
    coded = imagecodecs.jpeg2k_encode(signed, codecformat="J2K", reversible=True)
    identity = lut_item([4096, 63488, 12], list(range(4096)))  # from -2048
    attributes: dict[str, Any]
    for attributes in ({}, {"VOILUTSequence": [identity]}):
        path = compressed(
            tmp_path / "a", bytes(coded), JPEG2000Lossless, PixelRepresentation=0,
            **attributes,
        )  # fmt: skip
        expected = pytest.approx(GREY / 4095, abs=1e-6)
        assert plane(path) == expected
        raw = read_frame(open_image(path), 1, SPEC)
        assert show_frame(raw)[0] == expected


def test_overshoot_of_lossy_htj2k_does_not_turn_white_into_black(
    tmp_path: Path,
) -> None:
    # OpenJPH, as imagecodecs calls it, returns 256 as 0.
    image = np.zeros((24, 40), np.uint8)
    image[:, 20:] = 255
    coded = imagecodecs.htj2k_encode(image, level=0.05, reversible=False)
    path = compressed(
        tmp_path / "a", bytes(coded), HTJ2K, BitsAllocated=8, BitsStored=8, HighBit=7
    )
    got = stored(path).astype(int)
    assert np.abs(got - image).max() < 64


def test_overlay_bits_survive_no_lossless_codec(tmp_path: Path) -> None:
    noisy = GREY | 0x8000
    coded = imagecodecs.jpegls_encode(noisy)
    path = compressed(tmp_path / "a", bytes(coded), JPEGLSLossless)
    assert np.array_equal(stored(path), GREY)


def rle(*segments: bytes) -> bytes:
    """Pack segments as literal runs (PS3.5 G.3, G.5)."""
    packed = []
    for segment in segments:
        runs = [segment[i : i + 128] for i in range(0, len(segment), 128)]
        coded = b"".join(bytes([len(run) - 1]) + run for run in runs)
        packed.append(coded + b"\0" * (len(coded) % 2))
    starts = [64 + sum(map(len, packed[:i])) for i in range(len(packed))]
    header = [len(packed), *starts] + [0] * (15 - len(packed))
    return struct.pack("<16I", *header) + b"".join(packed)


def test_rle_takes_the_most_significant_bytes_first(tmp_path: Path) -> None:
    coded = rle((GREY >> 8).astype(np.uint8).tobytes(), GREY.astype(np.uint8).tobytes())
    assert np.array_equal(stored(compressed(tmp_path / "a", coded, RLELossless)), GREY)


@pytest.mark.parametrize("coded", [b"", b"\0" * 64, rle(b"\1" * 960)])
def test_broken_rle_is_refused(tmp_path: Path, coded: bytes) -> None:
    path = compressed(tmp_path / "a", coded or b"\0\0", RLELossless)
    with pytest.raises(PixelError, match="RLE Lossless"):
        show(path)


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ({"Rows": 48}, "Rows and Columns"),
        ({"Rows": 0xFFFF, "Columns": 0xFFFF}, "limit"),
        ({"Rows": 11000, "Columns": 11000}, "Rows and Columns"),
        ({"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}, "BitsAllocated"),
        (
            {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
            "SamplesPerPixel",
        ),
    ],
)
@pytest.mark.parametrize("codec", ["jpeg2k", "jpegls", "jpeg", "htj2k"])
def test_a_header_that_lies_is_caught_before_memory_is_taken(
    tmp_path: Path, attributes: dict[str, Any], named: str, codec: str
) -> None:
    made: dict[str, tuple[Any, str]] = {
        "jpeg2k": (imagecodecs.jpeg2k_encode(GREY, codecformat="J2K"), JPEG2000),
        "jpegls": (imagecodecs.jpegls_encode(GREY), JPEGLSLossless),
        "jpeg": (imagecodecs.jpeg8_encode(GREY, lossless=True), JPEGLossless),
        "htj2k": (imagecodecs.htj2k_encode(GREY, reversible=True), HTJ2KLossless),
    }
    coded, syntax = made[codec]
    path = compressed(tmp_path / "a", bytes(coded), syntax, **attributes)
    with pytest.raises(PixelError, match=named):
        show(path)


@pytest.mark.parametrize("syntax", [JPEG2000, JPEGLSLossless, JPEGLossless, HTJ2K])
@pytest.mark.parametrize("part", [0.02, 0.1, 0.5, 0.9, 0.99])
def test_a_codestream_that_is_broken_off_is_a_pixel_error(
    tmp_path: Path, syntax: str, part: float
) -> None:
    coded = {
        str(JPEG2000): imagecodecs.jpeg2k_encode(GREY, codecformat="J2K"),
        str(JPEGLSLossless): imagecodecs.jpegls_encode(GREY),
        str(JPEGLossless): imagecodecs.jpeg8_encode(GREY, lossless=True),
        str(HTJ2K): imagecodecs.htj2k_encode(GREY),
    }[syntax]
    cut = bytes(coded)[: int(len(coded) * part) & ~1]
    with pytest.raises(PixelError):
        show(compressed(tmp_path / "a", cut, syntax))


@pytest.mark.parametrize(
    "coded", [b"\0\0", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"GIF89a"]
)
def test_something_else_than_a_codestream_is_refused(
    tmp_path: Path, coded: bytes
) -> None:
    for frame in (coded, coded + b"\xff\xd9"):
        path = compressed(tmp_path / "a", frame, JPEG2000)
        with pytest.raises(PixelError, match="Pixel Data"):
            show(path)


def test_big_endian_bytes_lie_swapped_in_words(tmp_path: Path) -> None:
    image = np.arange(15, dtype=np.uint8).reshape(3, 5)
    words = np.frombuffer(image.tobytes() + b"\0", "<u2").astype(">u2").tobytes()
    header: dict[str, Any] = {
        "Rows": 3, "Columns": 5, "SamplesPerPixel": 1, "BitsAllocated": 8,
        "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0,
    }  # fmt: skip
    path = write_image(tmp_path / "a", words, syntax=ExplicitVRBigEndian, **header)
    assert np.array_equal(stored(path), image)


def test_big_endian_16_bit_values_and_the_second_odd_frame(tmp_path: Path) -> None:
    frames = np.arange(18, dtype=">i2").reshape(2, 3, 3) - 9
    path = write_image(
        tmp_path / "a", frames.astype(">i2").tobytes(), syntax=ExplicitVRBigEndian,
        Rows=3, Columns=3, SamplesPerPixel=1, BitsAllocated=16, BitsStored=16,
        HighBit=15, PixelRepresentation=1, NumberOfFrames=2,
    )  # fmt: skip
    assert np.array_equal(stored(path, 1), frames[1])


def _wide(kind: str) -> npt.NDArray[Any]:
    """Make a slope of 32-bit values with noise in its lower half."""
    noise = np.random.default_rng(1).integers(0, 5000, (12, 16))
    low = -2_000_000 if kind == "i4" else 0
    return (np.linspace(low, 3_000_000, 192).reshape(12, 16) + noise).astype(kind)


_WIDE: dict[str, Any] = {
    "Rows": 12, "Columns": 16, "SamplesPerPixel": 1, "BitsAllocated": 32,
    "BitsStored": 32, "HighBit": 31,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["u4", "i4"])
@pytest.mark.parametrize("divisor", [1, 1000], ids=["32 bits", "16 bits"])
def test_big_endian_32_bit_values_come_with_the_lower_word_first(
    tmp_path: Path, kind: str, divisor: int
) -> None:
    """PS3.5 8.2: a pixel cell goes on, from its low bits on, in the next word."""
    image = (_wide(kind) // divisor).astype(f"<{kind}")
    words = np.frombuffer(image.tobytes(), "<u2").astype(">u2").tobytes()
    header = {**_WIDE, "PixelRepresentation": int(kind == "i4")}
    path = write_image(tmp_path / "a", words, syntax=ExplicitVRBigEndian, **header)
    assert np.array_equal(stored(path), image)


@pytest.mark.parametrize("kind", ["u4", "i4"])
@pytest.mark.parametrize("divisor", [1, 1000], ids=["32 bits", "16 bits"])
def test_values_of_writers_that_swap_all_four_bytes_are_no_noise(
    tmp_path: Path, kind: str, divisor: int
) -> None:
    image = (_wide(kind) // divisor).astype(f">{kind}")
    header = {**_WIDE, "PixelRepresentation": int(kind == "i4")}
    path = write_image(
        tmp_path / "a", image.tobytes(), syntax=ExplicitVRBigEndian, **header
    )
    assert np.array_equal(stored(path), image)


def test_one_bit_frames_need_not_begin_at_a_byte(tmp_path: Path) -> None:
    bits = np.random.default_rng(3).integers(0, 2, (3, 5, 5), np.uint8)
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    path = write_image(
        tmp_path / "a", packed, Rows=5, Columns=5, SamplesPerPixel=1,
        BitsAllocated=1, BitsStored=1, HighBit=0, PixelRepresentation=0,
        NumberOfFrames=3,
    )  # fmt: skip
    for index in range(3):
        assert np.array_equal(stored(path, index), bits[index])


def test_a_deflated_data_set_is_read(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a", GREY, syntax=DeflatedExplicitVRLittleEndian)
    assert np.array_equal(stored(path), GREY)
