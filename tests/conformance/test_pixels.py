"""Real files that need more than one look; test_pixel_table.py looks at each once."""

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest

from inference.api import InputSpec
from inference.pixels.decode import decode_frame
from inference.pixels.frames import open_image, windowed_frame
from tests.conformance.pixel_files import (
    BUNDLED,
    DICOM,
    MISSING,
    name_of,
)

SPEC = InputSpec(size=(32, 32), windowing_fallback="full_range")
LEVEL = 1.01 / 255  # for those who truncate to 8 bits or convert YBR in integers

needs_shared = pytest.mark.skipif(not DICOM.is_dir(), reason=MISSING)


@needs_shared
def test_one_slice_in_nine_transfer_syntaxes_is_one_image() -> None:
    paths = sorted((DICOM / "mr_transfer_syntaxes").glob("*.dcm"))
    sources = [open_image(path) for path in paths]
    assert len({source.transfer_syntax_uid for source in sources}) >= 7
    planes = [windowed_frame(source, 1, SPEC).planes for source in sources]
    assert len(planes) == 9
    for other in planes[1:]:
        assert np.array_equal(other, planes[0])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("MR_small.dcm", "MR_small_bigendian.dcm"),
        ("MR_small.dcm", "MR_small_implicit.dcm"),
        ("MR_small.dcm", "MR_small_RLE.dcm"),
        ("MR_small.dcm", "MR_small_jp2klossless.dcm"),
        ("MR_small.dcm", "MR_small_jpeg_ls_lossless.dcm"),
        ("rtdose.dcm", "rtdose_rle.dcm"),
        ("rtdose.dcm", "rtdose_expb.dcm"),
        ("liver_1frame.dcm", "liver_expb_1frame.dcm"),
    ],
)
def test_lossless_syntaxes_of_one_image_are_equal(one: str, other: str) -> None:
    first, second = (
        windowed_frame(open_image(BUNDLED / "test_files" / name), 1, SPEC).planes
        for name in (one, other)
    )
    assert np.array_equal(first, second)


@needs_shared
@pytest.mark.parametrize(
    "name", ["liver_rle", "liver_j2k", "liver_expb"], ids=lambda name: str(name)
)
def test_segmentations_of_one_bit_are_equal_in_every_syntax(name: str) -> None:
    plain = open_image(DICOM / "seg_pm/liver.dcm")
    coded = open_image(DICOM / f"seg_pm/{name}.dcm")
    for number in (1, 2, 3):
        expected = windowed_frame(plain, number, SPEC).planes
        assert np.array_equal(windowed_frame(coded, number, SPEC).planes, expected)
        assert expected.any()


def by_dcmtk(path: Path, target: Path, *options: str) -> npt.NDArray[Any]:
    """Render the first frame with dcm2pnm: (planes, rows, columns) in 0..1."""
    subprocess.run(
        ["dcm2pnm", "+op", *options, str(path), str(target)],
        check=True,
        capture_output=True,
    )
    kind, size, highest, content = _split_pnm(target.read_bytes())
    columns, rows = size
    samples = 3 if kind == b"P6" else 1
    pixels = np.frombuffer(content, np.uint8).reshape(rows, columns, samples)
    return np.moveaxis(pixels, -1, 0) / highest


def _split_pnm(raw: bytes) -> tuple[bytes, tuple[int, int], int, bytes]:
    lines: list[bytes] = []
    while len(lines) < 3:
        line, raw = raw.split(b"\n", 1)
        if not line.startswith(b"#"):
            lines.append(line)
    columns, rows = (int(word) for word in lines[1].split())
    return lines[0], (columns, rows), int(lines[2]), raw


@needs_shared
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("big_endian/OBXXXX1A_expb.dcm", []),
        ("big_endian/SC_rgb_expb.dcm", []),
        ("big_endian/SC_rgb_expb_16bit_2frame.dcm", []),
        ("colour/color-pl.dcm", []),
        ("colour/color-px.dcm", []),
        ("lut/mlut_18.dcm", ["+M"]),
        ("lut/vlut_04.dcm", ["+Wl", "1"]),
        ("mr_transfer_syntaxes/3.dcm", ["+Wi", "1"]),
        ("palette/TestPattern_Palette.dcm", []),
        ("palette/TestPattern_Palette_16.dcm", []),
    ],
)
def test_dcmtk_shows_what_highdicom_cannot(
    tmp_path: Path, name: str, options: list[str]
) -> None:
    ours = windowed_frame(open_image(DICOM / name), 1, SPEC).planes
    theirs = by_dcmtk(DICOM / name, tmp_path / "a.pnm", *options)
    assert np.abs(ours - theirs).max() <= LEVEL


@needs_shared
def test_a_mammogram_offers_three_luts_and_three_windows(tmp_path: Path) -> None:
    path = DICOM / "mg/GH133.dcm"
    plain = tmp_path / "plain.dcm"
    subprocess.run(["dcmdjpeg", str(path), str(plain)], check=True)
    source = open_image(plain)
    stored = decode_frame(source, 0).values
    assert np.array_equal(decode_frame(open_image(path), 0).values, stored)
    padding = stored <= 30  # Pixel Padding Value 0, Range Limit 30
    for index in (0, 2, 4):
        spec = InputSpec(size=(32, 32), window_index=index)
        frame = windowed_frame(source, 1, spec)
        kind, options = "file LUT", ["+Wl", str(index + 1)]
        if index >= 3:
            kind, options = "file window SIGMOID", ["+Wi", str(index - 2), "+Wfs"]
        theirs = by_dcmtk(plain, tmp_path / "a.pnm", *options)
        assert frame.windowing == f"{kind} {index + 1}/6"
        assert np.abs(frame.planes - theirs)[0][~padding].max() <= LEVEL
        assert not frame.planes[0][padding].any()


@pytest.mark.parametrize(
    "path",
    [
        DICOM / "nm/JPEG-LL.dcm",
        DICOM / "pt/GH184.dcm",
        DICOM / "malformed/bad_sequence.dcm",
        DICOM / "colour/JPGLosslessP14SV1_1s_1f_8b.dcm",
        BUNDLED / "test_files/SC_rgb_jpeg_gdcm.dcm",
        BUNDLED / "test_files/JPGExtended.dcm",
    ],
    ids=name_of,
)
def test_dcmdjpeg_decodes_to_the_same_stored_values(tmp_path: Path, path: Path) -> None:
    if not path.exists():
        pytest.skip(MISSING)
    plain = tmp_path / "plain.dcm"
    subprocess.run(["dcmdjpeg", str(path), str(plain)], check=True)
    ours = decode_frame(open_image(path), 0).values.astype(int)
    theirs = decode_frame(open_image(plain), 0).values.astype(int)
    # Lossless is equal; in lossy JPEG two inverse transforms may round apart.
    is_lossy = path.name == "JPGExtended.dcm"
    assert np.abs(ours - theirs).max() <= (1 if is_lossy else 0)


@needs_shared
def test_an_enhanced_ct_is_windowed_in_hounsfield_units_of_its_groups() -> None:
    source = open_image(DICOM / "enhanced/eCT_Supplemental.dcm")
    frame = windowed_frame(source, 2, SPEC)
    assert frame.windowing == "file window LINEAR"
    stored = decode_frame(source, 1).values.astype(float)
    # Shared groups: slope 1, intercept -1024, center 49, width 102.
    expected = np.clip((stored - 1024 - 48.5) / 101 + 0.5, 0, 1)
    assert np.abs(frame.planes[0] - expected).max() < 1e-5


@needs_shared
def test_the_fragmented_cine_without_offsets_gives_every_frame() -> None:
    coded = open_image(
        DICOM / "us_multiframe/IM00001.fragmented_no_bot_jpeg_baseline.50.dcm"
    )
    plain = open_image(DICOM / "us_multiframe/IM00001.implicit_little_endian.dcm")
    assert coded.number_of_frames == plain.number_of_frames == 8
    for number in range(1, 9):
        ours = windowed_frame(coded, number, SPEC).planes
        theirs = windowed_frame(plain, number, SPEC).planes
        assert np.abs(ours - theirs).mean() < 0.02  # lossy against its source


def test_lossy_htj2k_of_real_colour_agrees_with_openjpeg() -> None:
    path = DICOM / "htj2k/HTJ2K_08_RGB.dcm"
    if not path.exists():
        pytest.skip(MISSING)
    theirs = pydicom.dcmread(path).pixel_array
    assert np.array_equal(decode_frame(open_image(path), 0).values, theirs)
