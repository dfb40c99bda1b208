"""Colour: planar configuration, YBR, palettes, and who converts what."""

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1

from dicom_node.core.errors import PixelError
from inference.api import InputSpec, Window
from tests.unit.pixels.images import SPEC, show, write_image

# (rows, columns, 3): red, green, blue, white / black, grey, and two mixtures.
RGB = np.array(
    [
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]],
        [[0, 0, 0], [128, 128, 128], [200, 100, 50], [10, 20, 30]],
    ],
    np.uint8,
)
PLANES = RGB.transpose(2, 0, 1) / 255


def to_ybr(rgb: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Convert as PS3.3 C.7.6.3.1.2 writes it, with its rounded coefficients."""
    matrix = np.array(
        [
            [0.2990, 0.5870, 0.1140],
            [-0.1687, -0.3313, 0.5000],
            [0.5000, -0.4187, -0.0813],
        ]
    )
    ybr = rgb.astype(float) @ matrix.T + [0, 128, 128]
    converted: np.ndarray[Any, Any] = np.clip(np.rint(ybr), 0, 255).astype(np.uint8)
    return converted


def test_rgb_by_pixel_and_by_plane_are_the_same_image(tmp_path: Path) -> None:
    by_pixel = write_image(tmp_path / "a", RGB, PhotometricInterpretation="RGB")
    by_plane = write_image(
        tmp_path / "b", RGB.transpose(2, 0, 1).tobytes(), Rows=2, Columns=4,
        SamplesPerPixel=3, PlanarConfiguration=1, BitsAllocated=8, BitsStored=8,
        HighBit=7, PixelRepresentation=0, PhotometricInterpretation="RGB",
    )  # fmt: skip
    for path in (by_pixel, by_plane):
        frame = show(path)
        assert frame.windowing == "colour"
        assert frame.planes == pytest.approx(PLANES)


def test_ybr_full_becomes_rgb(tmp_path: Path) -> None:
    path = write_image(
        tmp_path / "a", to_ybr(RGB), PhotometricInterpretation="YBR_FULL"
    )
    assert show(path).planes == pytest.approx(PLANES, abs=2 / 255)


def test_ybr_full_422_shares_its_chroma_between_two_pixels(tmp_path: Path) -> None:
    pairs = np.repeat(RGB[:, ::2], 2, axis=1)  # chroma of both pixels alike
    ybr = to_ybr(pairs)
    stored = np.stack(
        [ybr[:, 0::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], -1
    )
    path = write_image(
        tmp_path / "a", stored.tobytes(), Rows=2, Columns=4, SamplesPerPixel=3,
        PlanarConfiguration=0, BitsAllocated=8, BitsStored=8, HighBit=7,
        PixelRepresentation=0, PhotometricInterpretation="YBR_FULL_422",
    )  # fmt: skip
    expected = pairs.transpose(2, 0, 1) / 255
    assert show(path).planes == pytest.approx(expected, abs=2 / 255)


@pytest.mark.parametrize(
    "photometric", ["YBR_PARTIAL_420", "YBR_PARTIAL_422", "YBR_RCT", "YBR_ICT", "XYB"]
)
def test_other_colour_spaces_are_refused_by_the_attributes_name(
    tmp_path: Path, photometric: str
) -> None:
    path = write_image(tmp_path / "a", RGB, PhotometricInterpretation=photometric)
    with pytest.raises(PixelError, match="PhotometricInterpretation") as caught:
        show(path)
    assert photometric not in str(caught.value) or photometric.startswith("YBR_")


def test_colour_with_a_sign_is_refused_by_the_attributes_name(tmp_path: Path) -> None:
    # PS3.3 C.8.5.6.1.15, C.8.6.3: unsigned; half of the values would be black.
    path = write_image(
        tmp_path / "a", RGB, PhotometricInterpretation="RGB", PixelRepresentation=1
    )
    with pytest.raises(PixelError, match="PixelRepresentation"):
        show(path)
    coded = imagecodecs.jpeg2k_encode(
        RGB.view(np.int8), codecformat="J2K", level=0, mct=False
    )
    path = write_image(
        tmp_path / "b", RGB, frames=[bytes(coded)], syntax=JPEG2000Lossless,
        PhotometricInterpretation="RGB",
    )  # fmt: skip
    with pytest.raises(PixelError, match="PixelRepresentation"):
        show(path)


def test_16_bit_rgb_is_scaled_by_its_bits(tmp_path: Path) -> None:
    path = write_image(
        tmp_path / "a", RGB.astype(np.uint16) * 257, PhotometricInterpretation="RGB"
    )
    assert show(path).planes == pytest.approx(PLANES)


def test_a_colour_image_is_neither_windowed_nor_padded(tmp_path: Path) -> None:
    path = write_image(
        tmp_path / "a", RGB, PhotometricInterpretation="RGB", WindowCenter="40",
        WindowWidth="80", PixelPaddingValue=255,
    )  # fmt: skip
    assert show(path).planes == pytest.approx(PLANES)
    window = (Window(center=40, width=80),)
    with pytest.raises(PixelError, match="colour"):
        show(path, InputSpec(size=(8, 8), windowing="model", windows=window))
    grey = show(path, InputSpec(size=(8, 8), channels=1))
    assert grey.windowing == "colour as luminance"
    assert grey.planes[0, 0] == pytest.approx([0.299, 0.587, 0.114, 1], abs=1e-6)


def jpeg(transform: bool, *, adobe: bool) -> bytes:
    """Encode RGB as JPEG with or without the transformation and Adobe's marker."""
    image = np.repeat(np.repeat(RGB, 8, 0), 8, 1)
    coded = bytes(
        imagecodecs.jpeg8_encode(
            image,
            level=100,
            colorspace="RGB",
            outcolorspace="YCBCR" if transform else "RGB",
            subsampling="444",
        )
    )
    if adobe:
        marker = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([transform])
        return coded[:2] + marker + strip(coded[2:], b"\xff\xe0", b"\xff\xee")
    return coded[:2] + strip(coded[2:], b"\xff\xe0", b"\xff\xee")


def strip(rest: bytes, *markers: bytes) -> bytes:
    """Drop leading application segments."""
    while rest[:2] in markers:
        rest = rest[2 + int.from_bytes(rest[2:4], "big") :]
    return rest


def unname(coded: bytes) -> bytes:
    """Number the components 1 2 3 instead of naming them R G B."""
    for name, number in ((b"R", 1), (b"G", 2), (b"B", 3)):
        coded = coded.replace(name + b"\x11", bytes([number, 0x11]))
        coded = coded.replace(name + b"\x00", bytes([number, 0x00]))
    return coded


@pytest.mark.parametrize(
    ("transform", "adobe", "photometric"),
    [
        (True, False, "YBR_FULL_422"),
        (True, False, "YBR_FULL"),
        (True, True, "RGB"),  # the header lies, the codestream does not
        (False, True, "RGB"),
        (False, True, "YBR_FULL"),
        (False, False, "RGB"),  # nothing but the header says so
    ],
)
def test_jpeg_colour_is_converted_exactly_once(
    tmp_path: Path, transform: bool, adobe: bool, photometric: str
) -> None:
    coded = unname(jpeg(transform, adobe=adobe))
    path = write_image(
        tmp_path / "a", b"", frames=[coded], syntax=JPEGBaseline8Bit, Rows=16,
        Columns=32, SamplesPerPixel=3, PlanarConfiguration=0, BitsAllocated=8,
        BitsStored=8, HighBit=7, PixelRepresentation=0,
        PhotometricInterpretation=photometric,
    )  # fmt: skip
    assert show(path).planes[:, 4::8, 4::8] == pytest.approx(PLANES, abs=4 / 255)


def test_lossless_jpeg_of_ybr_is_converted_by_the_header(tmp_path: Path) -> None:
    coded = bytes(
        imagecodecs.jpeg8_encode(
            to_ybr(RGB), lossless=True, colorspace="RGB", outcolorspace="RGB"
        )
    )
    path = write_image(
        tmp_path / "a", b"", frames=[coded], syntax=JPEGLosslessSV1, Rows=2,
        Columns=4, SamplesPerPixel=3, PlanarConfiguration=0, BitsAllocated=8,
        BitsStored=8, HighBit=7, PixelRepresentation=0,
        PhotometricInterpretation="YBR_FULL",
    )  # fmt: skip
    assert show(path).planes == pytest.approx(PLANES, abs=2 / 255)


def test_lossless_jpeg_is_not_converted_by_a_jfif_marker(tmp_path: Path) -> None:
    # dcmtk writes one with YBR_FULL, and libjpeg then refuses to convert.
    coded = bytes(
        imagecodecs.jpeg8_encode(
            to_ybr(RGB), lossless=True, colorspace="RGB", outcolorspace="RGB"
        )
    )
    jfif = b"\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0"
    start = coded.index(b"\xff\xc3")
    named = bytearray(coded[start:])
    named[10:19] = bytes([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])
    scan = named.index(b"\xff\xda")
    named[scan + 5 : scan + 11 : 2] = b"\1\2\3"
    path = write_image(
        tmp_path / "a", b"", frames=[b"\xff\xd8" + jfif + bytes(named)],
        syntax=JPEGLosslessSV1, Rows=2, Columns=4, SamplesPerPixel=3,
        PlanarConfiguration=0, BitsAllocated=8, BitsStored=8, HighBit=7,
        PixelRepresentation=0, PhotometricInterpretation="YBR_FULL",
    )  # fmt: skip
    assert show(path).planes == pytest.approx(PLANES, abs=2 / 255)


def palette(
    path: Path, descriptor: list[int], data: list[bytes], *, segmented: bool = False
) -> Path:
    """Write an image of the indices 0..5 with a palette."""
    attributes: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, table in zip(("Red", "Green", "Blue"), data, strict=True):
        name = f"{colour}PaletteColorLookupTable"
        attributes[f"{name}Descriptor"] = descriptor
        attributes[f"{'Segmented' if segmented else ''}{name}Data"] = table
    return write_image(path, np.array([[0, 1, 2, 3, 4, 5]], np.uint8), **attributes)


def test_palettes_have_entries_of_8_or_16_bits_and_clip_the_index(
    tmp_path: Path,
) -> None:
    expected = np.array([0, 0, 0.2, 0.4, 1, 1])
    packed = [bytes([0, 51, 102, 255])] * 3
    assert show(palette(tmp_path / "a", [4, 1, 8], packed)).planes[0, 0] == (
        pytest.approx(expected)
    )
    wide = [np.array([0, 51, 102, 255], "<u2").tobytes()] * 3
    assert show(palette(tmp_path / "b", [4, 1, 8], wide)).planes[1, 0] == (
        pytest.approx(expected)
    )
    deep = [(np.array([0, 51, 102, 255]) * 257).astype("<u2").tobytes()] * 3
    assert show(palette(tmp_path / "c", [4, 1, 16], deep)).planes[2, 0] == (
        pytest.approx(expected)
    )


def test_segmented_palettes_expand_all_three_kinds_of_segment(tmp_path: Path) -> None:
    # C.7.9.2: discrete 0 257*51, linear 2 steps to 257*153, indirect: copy the
    # segment at byte 0 once more.
    words = [0, 2, 0, 257 * 51, 1, 2, 257 * 153, 2, 1, 0, 0]
    data = [np.array(words, "<u2").tobytes()] * 3
    path = palette(tmp_path / "a", [6, 0, 16], data, segmented=True)
    assert show(path).planes[0, 0] == pytest.approx([0, 0.2, 0.4, 0.6, 0, 0.2])
    octets = [0, 2, 0, 51, 1, 2, 153, 2, 1, 0, 0, 0, 0, 0]
    path = palette(tmp_path / "b", [6, 0, 8], [bytes(octets)] * 3, segmented=True)
    assert show(path).planes[0, 0] == pytest.approx([0, 0.2, 0.4, 0.6, 0, 0.2])


@pytest.mark.parametrize(
    "words", [[], [1, 4, 9], [0, 9, 1], [2, 1, 0, 0], [0, 0] * 4, [7, 1, 1], [0, 8] * 8]
)
def test_a_broken_segmented_palette_is_refused(
    tmp_path: Path, words: list[int]
) -> None:
    data = [np.array(words, "<u2").tobytes()] * 3
    path = palette(tmp_path / "a", [6, 0, 16], data, segmented=True)
    with pytest.raises(PixelError, match=r"[Pp]alette"):
        show(path)


def test_a_palette_that_is_missing_is_named(tmp_path: Path) -> None:
    path = write_image(
        tmp_path / "a", np.zeros((2, 2), np.uint8),
        PhotometricInterpretation="PALETTE COLOR",
    )  # fmt: skip
    with pytest.raises(PixelError, match="RedPaletteColorLookupTableDescriptor"):
        show(path, SPEC)
