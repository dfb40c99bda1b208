"""Codestreams whose end marker is there and whose data are not."""

import contextlib
import random
import struct
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from dicom_node.core.errors import PixelError
from inference.pixels.decode import decode_frame
from inference.pixels.jpeg2000 import read_jpeg_2000
from inference.pixels.read import open_image
from tests.conformance.pixel_fuzz import COLUMNS, ROWS, SEEDS, grey, write_case
from tests.unit.pixels.images import write_image


@pytest.mark.parametrize("name", [name for name in SEEDS if name != "rle"])
@pytest.mark.parametrize("part", [0.4, 0.6, 0.8])
def test_data_that_end_before_the_image_are_refused_in_every_codec(
    tmp_path: Path, name: str, part: float
) -> None:
    coded = SEEDS[name][3]()
    path = tmp_path / "a"
    write_case(path, name, coded)
    assert decode_frame(open_image(path), 0).values.shape[:2] == (ROWS, COLUMNS)
    write_case(path, name, coded[: int(len(coded) * part)] + coded[-2:])
    with pytest.raises(PixelError):
        decode_frame(open_image(path), 0)


@pytest.mark.parametrize("is_lossless", [True, False])
@pytest.mark.parametrize("fill", [0, 200])
def test_a_frame_that_really_ends_flat_is_an_image(
    tmp_path: Path, is_lossless: bool, fill: int
) -> None:
    image = grey(8)
    image[ROWS // 2 :] = fill
    coded = imagecodecs.jpeg8_encode(image, level=100, lossless=is_lossless)
    name = "jpeg-lossless" if is_lossless else "jpeg"
    path = write_image(
        tmp_path / "a", b"", frames=[bytes(coded)], syntax=SEEDS[name][0],
        Rows=ROWS, Columns=COLUMNS, SamplesPerPixel=1, BitsAllocated=8, BitsStored=8,
        HighBit=7, PixelRepresentation=0,
    )  # fmt: skip
    found = decode_frame(open_image(path), 0).values.astype(int)
    assert np.abs(found - image).max() <= (0 if is_lossless else 4)


@pytest.mark.parametrize("is_lossless", [True, False])
def test_fill_bytes_before_the_end_marker_are_no_missing_data(
    tmp_path: Path, is_lossless: bool
) -> None:
    # ITU-T T.81 B.1.1.2; dcmtk makes frames of odd length even with one.
    image = grey(8)
    image[ROWS // 2 :] = 0
    coded = bytes(imagecodecs.jpeg8_encode(image, level=100, lossless=is_lossless))
    name = "jpeg-lossless" if is_lossless else "jpeg"
    path = tmp_path / "a"
    write_case(path, name, coded[:-2] + b"\xff\xff\xff" + coded[-2:])
    found = decode_frame(open_image(path), 0).values.astype(int)
    assert np.abs(found - image).max() <= (0 if is_lossless else 4)


@pytest.mark.parametrize(
    ("offset", "value", "told"),
    [
        (8, 0, "broken header"),  # Xsiz
        (24, 0, "broken header"),  # XTsiz: OpenJPH divides by it
        (28, 0, "broken header"),  # YTsiz
        (24, 1, "tiles"),
        (32, 7, "broken header"),  # XTOsiz behind the first pixel
    ],
)
@pytest.mark.parametrize("name", ["jpeg2k", "htj2k"])
def test_an_impossible_grid_of_tiles_is_refused_before_decoding(
    name: str, offset: int, value: int, told: str
) -> None:
    coded = bytearray(SEEDS[name][3]())
    struct.pack_into(">I", coded, offset, value)
    if told == "tiles":
        struct.pack_into(">4I", coded, 8, 8192, ROWS, 0, 0)
    with pytest.raises(PixelError, match=told):
        read_jpeg_2000(bytes(coded))


def test_rows_that_openjph_left_alone_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    coded = SEEDS["htj2k"][3]()
    chance = random.Random(5)
    refused = 0
    for _ in range(30):
        body = chance.randbytes(len(coded) - 300)
        write_case(tmp_path / "a", "htj2k", coded[:298] + body + coded[-2:])
        with contextlib.suppress(PixelError):
            first = decode_frame(open_image(tmp_path / "a"), 0).values
            again = decode_frame(open_image(tmp_path / "a"), 0).values
            assert np.array_equal(first, again)  # memory would differ
            continue
        refused += 1
    assert refused


@pytest.mark.parametrize("name", list(SEEDS))
def test_noise_behind_a_true_header_never_leaves_another_error(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # imagecodecs drops errors of OpenJPH, which Python tells this hook.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    coded = SEEDS[name][3]()
    chance = random.Random(name)
    for number in range(20):
        body = chance.randbytes(len(coded) - 300)
        write_case(tmp_path / "a", name, coded[:298] + body + coded[-2:])
        with contextlib.suppress(PixelError):
            values = decode_frame(open_image(tmp_path / "a"), 0).values
            assert values.shape[:2] == (ROWS, COLUMNS), number
