"""Stored values, padding, Modality LUT and photometric interpretation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import uid

from dicom_node.core.errors import PixelError
from inference.api import InputSpec, Window
from inference.pixels.frames import open_image
from inference.pixels.fused import show_frame
from inference.pixels.raw import read_frame
from tests.unit.pixels.images import SPEC, lut_item, plane, show, write_image

# Shows modality values 0..1000 as 0..1 and thereby makes them readable.
READ = InputSpec(
    size=(8, 8),
    windowing="model",
    windows=(Window(center=500, width=1000, function="LINEAR_EXACT"),),
    channels=1,
)


def modality_values(path: Path) -> list[float]:
    """Return modality values between 0 and 1000 of the first row."""
    return [round(float(value) * 1000, 2) for value in plane(path, READ)[0]]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, [0, 10, 20]),
        ({"RescaleSlope": "2", "RescaleIntercept": "5"}, [5, 25, 45]),
        ({"RescaleSlope": "0002.50", "RescaleIntercept": "+0010"}, [10, 35, 60]),
        ({"RescaleSlope": "", "RescaleIntercept": "7"}, [7, 17, 27]),
        ({"RescaleSlope": "", "RescaleIntercept": ""}, [0, 10, 20]),
        ({"RescaleSlope": "3"}, [0, 30, 60]),
    ],
)
def test_rescale_is_applied_as_far_as_it_is_there(
    tmp_path: Path, attributes: dict[str, Any], expected: list[float]
) -> None:
    path = write_image(tmp_path / "a", np.array([[0, 10, 20]], np.uint16), **attributes)
    assert modality_values(path) == expected


@pytest.mark.parametrize("slope", ["0", "1e999"])
def test_a_rescale_slope_that_ruins_the_image_is_refused(
    tmp_path: Path, slope: str
) -> None:
    path = write_image(
        tmp_path / "a", np.array([[0, 10]], np.uint16), RescaleSlope=slope,
        RescaleIntercept="0",
    )  # fmt: skip
    with pytest.raises(PixelError, match="RescaleSlope"):
        show(path)


def test_a_modality_lut_of_65536_entries_from_minus_32768(tmp_path: Path) -> None:
    # pydicom's apply_modality_lut answers [0, 32767, 0, 0] for such a table.
    pixels = np.array([[-32768, -1, 0, 32767]], np.int16)
    entries = list(range(65536))
    item = lut_item([0, -32768, 16], entries, vr="SS")
    path = write_image(tmp_path / "a", pixels, ModalityLUTSequence=[item])
    frame = show(path)
    assert frame.planes[0, 0] * 65535 == pytest.approx([0, 32767, 32768, 65535])


def test_a_12_bit_modality_lut_is_applied(tmp_path: Path) -> None:
    item = lut_item([4, 1, 12], [100, 200, 300, 400])
    path = write_image(
        tmp_path / "a", np.array([[0, 1, 2, 4, 9]], np.uint16),
        ModalityLUTSequence=[item],
    )  # fmt: skip
    assert modality_values(path) == [100, 100, 200, 400, 400]


@pytest.mark.parametrize("kind", ["XRayAngiographic", "XRayRadiofluoroscopic"])
def test_the_modality_lut_of_an_angiogram_is_not_for_display(
    tmp_path: Path, kind: str
) -> None:
    # It leads back to the intensity of the X-rays; the windows are of stored values.
    item = lut_item([4, 0, 16], [0, 1, 10, 1000])
    path = write_image(
        tmp_path / "a", np.array([[0, 1, 2, 3]], np.uint8),
        SOPClassUID=getattr(uid, f"{kind}ImageStorage"), ModalityLUTSequence=[item],
        WindowCenter="1.5", WindowWidth="3", VOILUTFunction="LINEAR_EXACT",
    )  # fmt: skip
    assert modality_values(path) == [0, 1, 2, 3]
    assert plane(path)[0] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert show_frame(read_frame(open_image(path), 1, SPEC))[0, 0] == pytest.approx(
        [0, 1 / 3, 2 / 3, 1]
    )


def test_overlay_bits_above_bits_stored_are_cut_off(tmp_path: Path) -> None:
    pixels = np.array([[0x8005, 0x1005, 0x0005]], np.uint16)
    path = write_image(tmp_path / "a", pixels, BitsStored=12, HighBit=11)
    assert modality_values(path) == [5, 5, 5]


def test_values_in_the_upper_bits_are_shifted_down_by_high_bit(tmp_path: Path) -> None:
    pixels = np.array([[0x0050, 0x123F]], np.uint16)
    path = write_image(tmp_path / "a", pixels, BitsStored=12, HighBit=15)
    assert modality_values(path) == [5, 0x123]


def test_the_sign_is_that_of_bits_stored(tmp_path: Path) -> None:
    pixels = np.array([[0x0FFF, 0x0800, 0x07FF]], np.uint16)
    path = write_image(
        tmp_path / "a", pixels, BitsStored=12, HighBit=11, PixelRepresentation=1,
        RescaleSlope="0.1", RescaleIntercept="300",
    )  # fmt: skip
    expected = [299.9, 95.2, 504.7]
    assert modality_values(path) == pytest.approx(expected, abs=0.02)


def test_32_bit_values_are_rescaled_before_they_are_rounded(tmp_path: Path) -> None:
    # float32 knows 2^24 + 1 only as 2^24.
    pixels = np.array([[16777217, 16777219]], np.uint32)
    path = write_image(
        tmp_path / "a", pixels, RescaleSlope="1", RescaleIntercept="-16777216"
    )
    assert modality_values(path) == [1, 3]


@pytest.mark.parametrize(
    ("photometric", "shape", "expected"),
    [
        ("MONOCHROME1", None, [1, 0.8, 0]),
        ("MONOCHROME1", "INVERSE", [1, 0.8, 0]),
        ("MONOCHROME1", "IDENTITY", [0, 0.2, 1]),  # as dcmtk and highdicom show it
        ("MONOCHROME1", "LIN OD", [1, 0.8, 0]),
        ("MONOCHROME2", None, [0, 0.2, 1]),
        ("MONOCHROME2", "INVERSE", [1, 0.8, 0]),
        ("MONOCHROME2", "IDENTITY", [0, 0.2, 1]),
    ],
)
def test_an_image_is_inverted_once_and_the_presentation_lut_shape_has_the_last_word(
    tmp_path: Path, photometric: str, shape: str | None, expected: list[float]
) -> None:
    path = write_image(
        tmp_path / "a", np.array([[0, 51, 255]], np.uint8),
        PhotometricInterpretation=photometric, PresentationLUTShape=shape,
    )  # fmt: skip
    assert plane(path)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(
    "padding",
    [
        {"PixelPaddingValue": 200},
        {"PixelPaddingValue": 220, "PixelPaddingRangeLimit": 190},
    ],
)
def test_padding_is_a_stored_value_and_black(
    tmp_path: Path, photometric: str, padding: dict[str, Any]
) -> None:
    path = write_image(
        tmp_path / "a", np.array([[200, 100, 150]], np.uint8),
        PhotometricInterpretation=photometric, RescaleSlope="2",
        RescaleIntercept="0", **padding,
    )  # fmt: skip
    got = plane(path)[0]
    assert got[0] == 0
    assert (got[1:] > 0.3).all()


def test_signed_padding_is_found_though_its_vr_is_unsigned(tmp_path: Path) -> None:
    pixels = np.array([[-2000, 0, 500]], np.int16)
    path = write_image(
        tmp_path / "a", pixels, PixelPaddingValue=-2000,
        PhotometricInterpretation="MONOCHROME1",
    )  # fmt: skip
    as_unsigned = path.read_bytes().replace(
        b"\x28\x00\x20\x01SS\x02\x00", b"\x28\x00\x20\x01US\x02\x00"
    )
    other = tmp_path / "b"
    other.write_bytes(as_unsigned)
    assert other.read_bytes() != path.read_bytes()
    for written in (path, other):
        assert plane(written)[0][0] == 0


@pytest.mark.parametrize(
    ("keyword", "dtype"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")]
)
def test_parametric_maps_have_float_pixels_and_nan_is_padding(
    tmp_path: Path, keyword: str, dtype: str
) -> None:
    values = np.array([[0.0, 250.0, np.nan, 1000.0]], dtype)
    attributes: dict[str, Any] = {keyword: values.tobytes()}
    path = write_image(
        tmp_path / "a", b"", Rows=1, Columns=4, SamplesPerPixel=1,
        BitsAllocated=int(dtype[2]) * 8, PhotometricInterpretation="MONOCHROME1",
        **attributes,
    )  # fmt: skip
    assert plane(path, READ)[0] == pytest.approx([1, 0.75, 0, 0], abs=1e-6)


@pytest.mark.parametrize("windowing", ["file", "percentile"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_float_frame_without_one_finite_value_is_refused(
    tmp_path: Path, windowing: str, value: float
) -> None:
    path = write_image(
        tmp_path / "a", b"", Rows=1, Columns=4, SamplesPerPixel=1, BitsAllocated=32,
        PhotometricInterpretation="MONOCHROME2",
        FloatPixelData=np.full((1, 4), value, "<f4").tobytes(),
    )  # fmt: skip
    with pytest.raises(PixelError, match="no pixel value of the frame is a finite"):
        show(path, InputSpec(size=(8, 8), windowing=windowing))


def test_a_frame_of_nothing_but_padding_has_no_percentiles(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a", np.zeros((4, 4), np.uint8), PixelPaddingValue=0)
    with pytest.raises(PixelError, match="padding all over"):
        show(path, InputSpec(size=(8, 8), windowing="percentile"))
