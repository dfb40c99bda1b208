"""VOI LUT and windows against numbers worked out by hand from PS3.3 C.11.2."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_node.core.errors import PixelError
from inference.api import InputSpec, Window
from inference.pixels.voi import apply_window
from tests.unit.pixels.images import item, lut_item, plane, show, write_image

FILE = InputSpec(size=(8, 8), windowing="file", windowing_fallback="refuse")
ROW = np.array([[0, 1, 2, 3, 4, 5, 6, 7]], np.uint16)


def window(center: float, width: float, function: str, x: list[float]) -> list[float]:
    made = Window(center=center, width=width, function=function)
    return list(map(float, apply_window(np.array([x], np.float32), made)[0]))


def test_linear_follows_the_example_of_the_standard() -> None:
    # C.11.2.1.2.1: c=2048, w=4096 maps x <= 0 to ymin and x > 4095 to ymax.
    got = window(2048, 4096, "LINEAR", [-1, 0, 2047.5, 4095, 4096])
    assert got == pytest.approx([0, 0, 0.5, 1, 1], abs=1e-6)
    # c=0, w=100: x <= -50 is ymin, x > 49 is ymax.
    got = window(0, 100, "LINEAR", [-50, -0.5, 49, 50])
    assert got == pytest.approx([0, 0.5, 1, 1], abs=1e-6)


def test_linear_of_width_one_is_a_step() -> None:
    # c=0, w=1: x <= -0.5 is ymin, x > -0.5 is ymax.
    assert window(0, 1, "LINEAR", [-1, -0.5, 0]) == [0, 0, 1]


def test_linear_exact_reaches_both_ends_of_the_width() -> None:
    got = window(0, 100, "LINEAR_EXACT", [-50, -25, 0, 50, 51])
    assert got == pytest.approx([0, 0.25, 0.5, 1, 1], abs=1e-6)


def test_sigmoid_is_the_logistic_curve_and_does_not_overflow() -> None:
    got = window(10, 4, "SIGMOID", [10, 11, 9, 1e6, -1e6])
    e = float(np.exp(-1.0))
    assert got == pytest.approx([0.5, 1 / (1 + e), e / (1 + e), 1, 0], abs=1e-6)


def test_a_linear_window_below_one_is_read_as_linear_exact(tmp_path: Path) -> None:
    path = write_image(
        tmp_path / "a", ROW, WindowCenter="0.35", WindowWidth="0.5",
        RescaleSlope="0.1", RescaleIntercept="0",
    )  # fmt: skip
    frame = show(path, FILE)
    assert frame.windowing == "file window LINEAR_EXACT"
    assert frame.planes[0, 0] == pytest.approx(
        [0, 0, 0.2, 0.4, 0.6, 0.8, 1, 1], abs=1e-6
    )


@pytest.mark.parametrize("function", ["", None, " LINEAR "])
def test_an_empty_voi_lut_function_is_linear(
    tmp_path: Path, function: str | None
) -> None:
    path = write_image(
        tmp_path / "a", ROW, WindowCenter="4", WindowWidth="8", VOILUTFunction=function
    )
    assert show(path, FILE).windowing == "file window LINEAR"
    assert plane(path, FILE)[0] == pytest.approx(ROW[0] / 7, abs=1e-6)


def test_an_unknown_voi_lut_function_is_refused(tmp_path: Path) -> None:
    path = write_image(
        tmp_path / "a", ROW, WindowCenter="4", WindowWidth="8", VOILUTFunction="CUBIC"
    )
    with pytest.raises(PixelError, match="VOILUTFunction"):
        show(path, FILE)


def test_several_windows_are_alternatives_chosen_by_index(tmp_path: Path) -> None:
    path = write_image(
        tmp_path / "a", ROW, WindowCenter=["4", "-0600"], WindowWidth=["8", "01200"]
    )
    first = show(path, FILE)
    second = show(path, InputSpec(size=(8, 8), window_index=1))
    assert first.windowing == "file window LINEAR 1/2"
    assert second.windowing == "file window LINEAR 2/2"
    assert second.planes[0, 0, 0] == pytest.approx(1.0)
    with pytest.raises(PixelError, match="fewer windows"):
        show(path, InputSpec(size=(8, 8), window_index=2))


@pytest.mark.parametrize(
    "attributes",
    [
        {"WindowCenter": "4"},
        {"WindowWidth": "8"},
        {"WindowCenter": "", "WindowWidth": ""},
        {"WindowCenter": "4", "WindowWidth": ""},
        {"WindowCenter": "4", "WindowWidth": "0"},
        {"WindowCenter": "4", "WindowWidth": "-8"},
    ],
)
def test_half_a_window_is_none_and_the_card_says_what_then(
    tmp_path: Path, attributes: dict[str, Any]
) -> None:
    path = write_image(tmp_path / "a", ROW, **attributes)
    with pytest.raises(PixelError, match="no usable VOI LUT"):
        show(path, FILE)
    full = show(path, InputSpec(size=(8, 8), windowing_fallback="full_range"))
    assert full.windowing == "full range (file has no window)"
    assert full.planes[0, 0] == pytest.approx(ROW[0] / 65535)
    by_rank = show(path, InputSpec(size=(8, 8), windowing_fallback="percentile"))
    assert by_rank.windowing == "percentile 1-99 (file has no window)"


def test_a_voi_lut_comes_before_the_window_and_is_scaled_by_its_bits(
    tmp_path: Path,
) -> None:
    # Four entries from 2 on, 10 bits: below is the first entry, above the last.
    path = write_image(
        tmp_path / "a", ROW, WindowCenter="4", WindowWidth="8",
        VOILUTSequence=[lut_item([4, 2, 10], [0, 100, 300, 1023])],
    )  # fmt: skip
    frame = show(path, FILE)
    assert frame.windowing == "file LUT 1/2"
    expected = np.array([0, 0, 0, 100, 300, 1023, 1023, 1023]) / 1023
    assert frame.planes[0, 0] == pytest.approx(expected, abs=1e-6)
    second = show(path, InputSpec(size=(8, 8), window_index=1))
    assert second.windowing == "file window LINEAR 2/2"


def test_an_8_bit_lut_with_4096_entries_keeps_its_index(tmp_path: Path) -> None:
    # pydicom's apply_voi keeps the index in uint8 and answers [0, 6, 14, 15].
    pixels = np.array([[0, 100, 1000, 4095]], np.uint16)
    entries = [value >> 4 for value in range(4096)]
    path = write_image(
        tmp_path / "a", pixels, VOILUTSequence=[lut_item([4096, 0, 8], entries)]
    )
    assert plane(path, FILE)[0] * 255 == pytest.approx([0, 6, 62, 255], abs=1e-4)


def test_an_8_bit_lut_may_be_packed_two_to_a_word(tmp_path: Path) -> None:
    packed = Dataset()
    packed.LUTDescriptor = [6, 0, 8]
    packed.add_new("LUTData", "OW", bytes([0, 51, 102, 153, 204, 255]))
    path = write_image(tmp_path / "a", ROW, VOILUTSequence=[packed])
    expected = np.array([0, 51, 102, 153, 204, 255, 255, 255]) / 255
    assert plane(path, FILE)[0] == pytest.approx(expected, abs=1e-6)


def test_the_first_value_mapped_is_signed_where_the_input_can_be(
    tmp_path: Path,
) -> None:
    # Values -4..3 through a table that begins at -4, written as US 65532.
    path = write_image(
        tmp_path / "a", ROW, RescaleSlope="1", RescaleIntercept="-4",
        VOILUTSequence=[lut_item([8, 65532, 8], [0, 10, 20, 30, 40, 50, 60, 70])],
    )  # fmt: skip
    with_12_bits = write_image(
        tmp_path / "b", ROW, RescaleSlope="1", RescaleIntercept="-4",
        BitsStored=12, HighBit=11,
        VOILUTSequence=[lut_item([8, 65532, 8], [0, 10, 20, 30, 40, 50, 60, 70])],
    )  # fmt: skip
    expected = np.arange(0, 80, 10) / 255
    assert plane(path, FILE)[0] == pytest.approx(expected, abs=1e-6)
    assert plane(with_12_bits, FILE)[0] == pytest.approx(expected, abs=1e-6)


def test_a_lut_that_is_shorter_than_its_descriptor_is_refused(tmp_path: Path) -> None:
    path = write_image(
        tmp_path / "a", ROW, VOILUTSequence=[lut_item([0, 0, 8], [1, 2, 3, 4])]
    )
    with pytest.raises(PixelError, match="LUTData has fewer entries"):
        show(path, FILE)


def test_the_models_windows_make_one_plane_each_and_ignore_the_files(
    tmp_path: Path,
) -> None:
    path = write_image(
        tmp_path / "a", ROW, RescaleSlope="10", RescaleIntercept="-20",
        WindowCenter="1", WindowWidth="1",
    )  # fmt: skip
    windows = (
        Window(center=0, width=40, function="LINEAR_EXACT"),
        Window(center=15, width=70, function="LINEAR_EXACT"),
    )
    spec = InputSpec(size=(8, 8), windowing="model", windows=windows, channels=2)
    frame = show(path, spec)
    assert frame.windowing == "model windows 1-2"
    values = np.arange(-20, 60, 10)
    assert frame.planes[0, 0] == pytest.approx(np.clip((values + 20) / 40, 0, 1))
    assert frame.planes[1, 0] == pytest.approx(np.clip((values + 20) / 70, 0, 1))


def test_percentiles_leave_padding_out(tmp_path: Path) -> None:
    pixels = np.full((10, 101), 60000, np.uint16)
    pixels[0] = np.arange(101)
    path = write_image(tmp_path / "a", pixels, PixelPaddingValue=60000)
    spec = InputSpec(size=(8, 8), windowing="percentile", percentiles=(10, 90))
    frame = show(path, spec)
    assert frame.windowing == "percentile 10-90"
    expected = np.clip((np.arange(101) - 10) / 80, 0, 1)
    assert frame.planes[0, 0] == pytest.approx(expected, abs=1e-6)
    assert not frame.planes[0, 1:].any()


def test_per_frame_windows_and_rescale_count_for_their_own_frame(
    tmp_path: Path,
) -> None:
    groups = [
        item(
            PixelValueTransformationSequence=[
                item(RescaleSlope=str(slope), RescaleIntercept="0", RescaleType="US")
            ],
            FrameVOILUTSequence=[
                item(
                    WindowCenter=str(center),
                    WindowWidth="14",
                    VOILUTFunction="LINEAR_EXACT",
                )
            ],
        )
        for slope, center in ((1, 7), (2, 0))
    ]
    path = write_image(
        tmp_path / "a", np.concatenate([ROW, ROW]).reshape(2, 8), Rows=1,
        NumberOfFrames=2, PerFrameFunctionalGroupsSequence=groups,
    )  # fmt: skip
    assert plane(path, FILE)[0] == pytest.approx(np.arange(8) / 14, abs=1e-6)
    second = plane(path, FILE, frame_number=2)[0]
    expected = np.clip((2 * np.arange(8) + 7) / 14, 0, 1)
    assert second == pytest.approx(expected, abs=1e-6)


def test_shared_groups_count_for_frames_without_their_own(tmp_path: Path) -> None:
    shared = item(
        PixelValueTransformationSequence=[
            item(RescaleSlope="2", RescaleIntercept="1", RescaleType="US")
        ],
        FrameVOILUTSequence=[item(WindowCenter="8", WindowWidth="16")],
    )
    path = write_image(
        tmp_path / "a", ROW, SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=[Dataset()], NumberOfFrames=1,
    )  # fmt: skip
    expected = (2 * np.arange(8) + 1) / 15
    assert plane(path, FILE)[0] == pytest.approx(expected, abs=1e-6)
