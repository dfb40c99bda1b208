"""Decoding large JPEG 2000 and HTJ2K frames at a fraction of their size."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
import torch
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile

from inference.api import InputSpec
from inference.pixels.frames import open_image
from inference.pixels.fused import to_input
from inference.pixels.raw import RawFrame, read_frame
from tests.unit.pixels.images import write_image

J2K, HTJ2K = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201"
J2K_LOSSY, HTJ2K_LOSSY = "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.203"
SPEC = InputSpec(
    size=(60, 50), channels=1, windowing_fallback="full_range", reduced_decode=True
)
Pixels = npt.NDArray[Any]


def hard(bits: int, signed: bool, size: tuple[int, int] = (520, 410)) -> Pixels:
    """Make an image of extremes, which wavelets overshoot at every edge."""
    low = -(1 << bits - 1) if signed else 0
    high = low + (1 << bits) - 1
    rng = np.random.default_rng(bits)
    pixels = np.where(rng.random(size) < 0.5, low, high)
    pixels[:200] = np.where((np.arange(size[1]) // 16) % 2, low, high)
    kind = f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}"
    return pixels.astype(kind)


def encode(pixels: Pixels, codec: str, bits: int, *, reversible: bool = True) -> bytes:
    if codec == "htj2k":
        return bytes(
            imagecodecs.htj2k_encode(pixels, reversible=reversible, resolutions=5)
        )
    options: dict[str, Any] = {"codecformat": "J2K", "resolutions": 6}
    return bytes(
        imagecodecs.jpeg2k_encode(
            pixels,
            level=0 if reversible else 60,
            reversible=reversible,
            bitspersample=bits,
            **options,
        )
    )


def write(path: Path, pixels: Pixels, frame: bytes, syntax: str, **more: Any) -> Path:
    return write_image(path, pixels, frames=[frame], syntax=syntax, **more)


def by_pillow(frame: bytes, levels: int, *, bits: int, signed: bool) -> Pixels:
    """Decode with OpenJPEG, which clips; `bits` as the codestream has them.

    Pillow rounds sizes to the nearest, OpenJPEG up: both must agree on these.
    """
    with Jpeg2KImageFile(BytesIO(frame)) as picture:
        picture.reduce = levels
        picture.load()
        values = np.asarray(picture).astype(int)
    container = 8 if bits <= 8 else 16
    return (values >> container - bits) - (signed << bits - 1)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("codec", ["jpeg2k", "htj2k"])
def test_extremes_are_clipped_as_openjpeg_clips_them(
    tmp_path: Path, codec: str, bits: int, signed: bool
) -> None:
    pixels = hard(bits, signed, (517, 416))
    frame = encode(pixels, codec, bits)
    path = write(
        tmp_path / "a.dcm",
        pixels,
        frame,
        HTJ2K if codec == "htj2k" else J2K,
        BitsStored=bits,
        HighBit=bits - 1,
    )
    raw = read_frame(open_image(path), 1, SPEC)
    assert raw.windowing.endswith(", decoded at 1/8")
    assert raw.shape == (65, 52)
    depth = (frame[42] & 0x7F) + 1  # imagecodecs writes HTJ2K of 12 bits as 16
    expected = by_pillow(frame, 3, bits=depth, signed=signed)
    low = -(1 << bits - 1) if signed else 0
    assert raw.stored.dtype.kind == pixels.dtype.kind
    assert np.array_equal(raw.stored, np.clip(expected, low, low + (1 << bits) - 1))


@pytest.mark.parametrize(
    ("codec", "syntax"), [("jpeg2k", J2K_LOSSY), ("htj2k", HTJ2K_LOSSY)]
)
def test_lossy_frames_look_as_the_whole_ones_do(
    tmp_path: Path, codec: str, syntax: str
) -> None:
    rows, columns = np.mgrid[:520, :410]
    smooth = (2000 + 1500 * np.sin(rows / 60) * np.cos(columns / 50)).astype("u2")
    frame = encode(smooth, codec, 12, reversible=False)
    path = write(tmp_path / "a.dcm", smooth, frame, syntax, BitsStored=12, HighBit=11)
    # The wavelet's samples lie up to 3.5 pixels beside the middle of what they stand
    # for: at this image's mean slope, a hundredth of its range.
    assert_close(path, 0.03)


def assert_close(path: Path, tolerance: float) -> RawFrame:
    source = open_image(path)
    whole = replace(SPEC, reduced_decode=False)
    raw = read_frame(source, 1, SPEC)
    assert "decoded at 1/" in raw.windowing
    device = torch.device("cpu")
    made = to_input([raw], SPEC, device)
    expected = to_input([read_frame(source, 1, whole)], whole, device)
    assert (made - expected).abs().mean() < tolerance
    return raw


def test_colour_is_decoded_small_too(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:520, :410]
    colours = np.stack([rows % 256, columns % 256, (rows + columns) // 4], -1)
    for codec, syntax in (("jpeg2k", J2K), ("htj2k", HTJ2K)):
        frame = encode((colours // 2).astype("u1"), codec, 8)
        path = write(
            tmp_path / codec,
            (colours // 2).astype("u1"),
            frame,
            syntax,
            PhotometricInterpretation="YBR_RCT",
        )
        spec = InputSpec(size=(60, 50), reduced_decode=True)
        raw = read_frame(open_image(path), 1, spec)
        assert raw.windowing == "colour, decoded at 1/8"
        assert raw.shape == (65, 52)


@pytest.mark.parametrize(
    ("resize", "size", "factor"),
    [
        ("stretch", (130, 100), 4),
        ("stretch", (131, 100), 2),
        ("stretch", (400, 400), 1),
        ("fit", (65, 60), 8),
        ("crop", (60, 60), 4),
        ("stretch", (4, 4), 32),
    ],
)
def test_the_frame_is_never_smaller_than_the_input(
    tmp_path: Path, resize: str, size: tuple[int, int], factor: int
) -> None:
    pixels = hard(12, False)
    path = write(
        tmp_path / "a.dcm", pixels, encode(pixels, "jpeg2k", 12), J2K,
        BitsStored=12, HighBit=11,
    )  # fmt: skip
    spec = replace(SPEC, resize=resize, size=size)
    raw = read_frame(open_image(path), 1, spec)
    assert raw.shape == (-(-520 // factor), -(-410 // factor))
    assert raw.windowing.endswith(f"1/{factor}") or factor == 1


@pytest.mark.parametrize(
    "attributes",
    [
        {"PixelRepresentation": 1},  # two's complement that the codestream hides
        {"BitsStored": 12, "HighBit": 11, "FOREIGN": 12},
        {"PhotometricInterpretation": "PALETTE COLOR", "PALETTE": True},
    ],
)
def test_what_averages_would_spoil_is_decoded_whole(
    tmp_path: Path, attributes: dict[str, Any]
) -> None:
    pixels = hard(16, False)
    foreign = attributes.pop("FOREIGN", None)
    if attributes.pop("PALETTE", False):
        pixels = hard(8, False)
        for colour in ("Red", "Green", "Blue"):
            name = f"{colour}PaletteColorLookupTable"
            attributes[f"{name}Descriptor"] = [256, 0, 8]
            attributes[f"{name}Data"] = bytes(range(256))
    frame = encode(pixels, "htj2k", pixels.dtype.itemsize * 8)
    path = write(tmp_path / "a.dcm", pixels, frame, HTJ2K, **attributes)
    if foreign:
        path = write_with_overlay(path, foreign)
    raw = read_frame(open_image(path), 1, replace(SPEC, channels=3, mean=(0.5,) * 3))
    assert "decoded at" not in raw.windowing
    assert raw.shape == (520, 410)


def write_with_overlay(path: Path, position: int) -> Path:
    dataset = pydicom.dcmread(path)
    dataset.add_new(0x60020102, "US", position)
    dataset.save_as(path)
    return path


def test_a_card_that_says_nothing_gets_whole_frames(tmp_path: Path) -> None:
    pixels = hard(8, False)
    path = write(tmp_path / "a.dcm", pixels, encode(pixels, "jpeg2k", 8), J2K)
    assert not InputSpec(size=(8, 8)).reduced_decode
    raw = read_frame(open_image(path), 1, replace(SPEC, reduced_decode=False))
    assert np.array_equal(raw.stored, pixels)
