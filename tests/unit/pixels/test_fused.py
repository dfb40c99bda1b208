"""The fast way from stored values to model input, beside the readable one."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydicom.sequence import Sequence

from dicom_node.core.errors import PixelError
from inference.api import Image, InputSpec, Window
from inference.pixels.batched import shown_on_device
from inference.pixels.frames import open_image, windowed_frame
from inference.pixels.fused import show_frame, to_input
from inference.pixels.prepare import prepare
from inference.pixels.raw import RawFrame, read_frame
from inference.pixels.recipe import Ramp, Recipe
from inference.pixels.resample import place_frame
from tests.conformance.pixel_files import image_files, name_of
from tests.unit.pixels.images import lut_item, write_image

CPU = torch.device("cpu")
GREY = InputSpec(
    size=(24, 20), channels=1, mean=(0.4,), std=(0.3,), windowing_fallback="full_range"
)
RGB = InputSpec(size=(24, 20), windowing_fallback="percentile", resize="fit")
# torch's own resize adds up in float32, in another order.
TOLERANCE = 2e-5


def noise(shape: tuple[int, ...], kind: str = "i2", seed: int = 0) -> npt.NDArray[Any]:
    rng = np.random.default_rng(seed)
    info = np.iinfo(kind)
    low, high = max(int(info.min), -1500), min(int(info.max), 3000)
    return rng.integers(low, high, shape).astype(kind)


def assert_alike(path: Path, spec: InputSpec, frame_number: int = 1) -> RawFrame:
    """Compare both fast ways with the readable one; return the raw frame."""
    source = open_image(path)
    shown = windowed_frame(source, frame_number, spec)
    raw = read_frame(source, frame_number, spec)
    assert raw.windowing == shown.windowing
    assert raw.shape == shown.planes.shape[1:]
    assert np.abs(show_frame(raw) - shown.planes).max() <= 2e-6
    if shown.planes.shape[0] not in (1, spec.channels):
        return raw
    expected = prepare(shown.planes, spec)
    for made in (to_input([raw], spec, CPU), shown_on_device([raw], spec, CPU)):
        assert made.dtype == torch.float32
        assert made.shape == (1, *expected.shape)
        assert np.abs(made[0].numpy() - expected).max() <= TOLERANCE
    return raw


def read_last(path: Path, spec: InputSpec) -> RawFrame:
    source = open_image(path)
    return read_frame(source, source.number_of_frames, spec)


@pytest.mark.parametrize("path", image_files(), ids=name_of)
def test_a_real_file_becomes_the_input_that_the_readable_way_makes(path: Path) -> None:
    try:
        source = open_image(path)
        windowed_frame(source, source.number_of_frames, RGB)
    except PixelError as error:
        with pytest.raises(PixelError, match=re.escape(str(error))):
            read_last(path, RGB)
        return
    for spec in (RGB, replace(GREY, resize="crop")):
        assert_alike(path, spec, source.number_of_frames)


WINDOWS = {
    "linear": Window(center=40, width=400),
    "exact": Window(center=40, width=400, function="LINEAR_EXACT"),
    "sigmoid": Window(center=40, width=400, function="SIGMOID"),
    "step": Window(center=40, width=1),
    "narrow": Window(center=40.2, width=0.01),
    "far": Window(center=30000.5, width=3, function="LINEAR_EXACT"),
    "outside": Window(center=1e9, width=10),
    "endless": Window(center=0, width=1e30),
    "steep": Window(center=40.3, width=0.2, function="SIGMOID"),
}


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS.keys())
@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("rescale", [(1, 0), (-2.5, 1000.25)])
def test_every_window_on_every_type(
    tmp_path: Path,
    window: Window,
    kind: str,
    photometric: str,
    rescale: tuple[float, float],
) -> None:
    path = write_image(
        tmp_path / "a.dcm",
        noise((40, 30), kind),
        PhotometricInterpretation=photometric,
        RescaleSlope=str(rescale[0]),
        RescaleIntercept=str(rescale[1]),
    )
    spec = replace(GREY, windowing="model", windows=(window,))
    raw = read_frame(open_image(path), 1, spec)
    stored = raw.stored.astype(np.float64)
    expected = by_formula(stored * rescale[0] + rescale[1], window)
    if photometric == "MONOCHROME1":
        expected = 1 - expected
    # A figure of the issue: a millionth of the window, or of its place.
    tolerance = 1e-6 * max(1.0, abs(window.center) / window.width)
    assert np.abs(show_frame(raw)[0] - expected).max() <= tolerance
    assert_close_to_prepared(raw, expected, spec, tolerance)


def by_formula(values: npt.NDArray[np.float64], window: Window) -> Any:
    """PS3.3 C.11.2.1.2.1 and C.11.2.1.3 in float64, written as they stand there."""
    center, width = window.center, window.width
    if window.function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / width, -700, 700)))
    if window.function == "LINEAR_EXACT" or width < 1:
        inside = (values - center) / width + 0.5
        return np.where(
            values <= center - width / 2,
            0,
            np.where(values > center + width / 2, 1, inside),
        )
    ramp = np.zeros_like(values)
    if width > 1:
        ramp = (values - (center - 0.5)) / (width - 1) + 0.5
    return np.where(
        values <= center - 0.5 - (width - 1) / 2,
        0,
        np.where(values > center - 0.5 + (width - 1) / 2, 1, ramp),
    )


def assert_close_to_prepared(
    raw: RawFrame, planes: npt.NDArray[np.float64], spec: InputSpec, tolerance: float
) -> None:
    expected = prepare(np.atleast_3d(planes.T).T.astype(np.float32), spec)
    for made in (to_input([raw], spec, CPU), shown_on_device([raw], spec, CPU)):
        difference = np.abs(made[0].numpy() - expected).max()
        assert difference <= TOLERANCE + tolerance / min(spec.std)


CASES: dict[str, dict[str, Any]] = {
    "padding": {"PixelPaddingValue": -1000},
    "padding range": {"PixelPaddingValue": -1000, "PixelPaddingRangeLimit": 500},
    "padding below the window": {
        "PixelPaddingValue": -1500,
        "PixelPaddingRangeLimit": -900,
        "WindowCenter": 0,
        "WindowWidth": 100,
    },
    "padding of a negative": {
        "PixelPaddingValue": -1000,
        "PhotometricInterpretation": "MONOCHROME1",
        "WindowCenter": 0,
        "WindowWidth": 1000,
        "VOILUTFunction": "SIGMOID",
    },
    "modality LUT": {
        "ModalityLUTSequence": Sequence(
            [lut_item([256, -100, 16], [7 * i for i in range(256)], "SS")]
        ),
        "WindowCenter": 900,
        "WindowWidth": 1000,
    },
    "VOI LUT": {
        "VOILUTSequence": Sequence(
            [lut_item([64, -20, 10], [16 * i for i in range(64)], "SS")]
        ),
        "PixelPaddingValue": -1000,
        "PhotometricInterpretation": "MONOCHROME1",
    },
    "twelve bits": {"BitsStored": 12, "HighBit": 11},
    "shape inverse": {"PresentationLUTShape": "INVERSE"},
}


@pytest.mark.parametrize("attributes", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("windowing", ["file", "percentile"])
@pytest.mark.parametrize("resize", ["stretch", "fit", "crop"])
def test_whatever_the_header_asks_for(
    tmp_path: Path, attributes: dict[str, Any], windowing: str, resize: str
) -> None:
    pixels = noise((90, 70))
    pixels[:20] = -1000
    path = write_image(tmp_path / "a.dcm", pixels, **attributes)
    assert_alike(path, replace(GREY, windowing=windowing, resize=resize))


def test_windows_of_the_model_become_channels_of_one_pass(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.dcm", noise((90, 70)), RescaleIntercept="-24")
    windows = (
        Window(center=40, width=400),
        Window(center=-600, width=1500),
        Window(center=300, width=800, function="LINEAR_EXACT"),
    )
    spec = InputSpec(
        size=(32, 32), windowing="model", windows=windows, std=(0.5, 0.2, 1.0)
    )
    raw = assert_alike(path, spec)
    assert raw.planes == 3


def test_frames_of_unlike_shape_and_kind_share_a_batch(tmp_path: Path) -> None:
    named: list[tuple[str, npt.NDArray[Any], dict[str, Any]]] = [
        ("a", noise((50, 40), seed=1), {"WindowCenter": 10, "WindowWidth": 900}),
        ("b", noise((60, 40), "u2", seed=2), {}),
        ("c", noise((50, 40), seed=3), {"RescaleSlope": "2", "PixelPaddingValue": 3}),
        ("d", noise((50, 40, 3), "u1", seed=4), {"PhotometricInterpretation": "RGB"}),
        ("e", noise((50, 40), seed=5), CASES["VOI LUT"]),
        ("f", noise((50, 40), "i4", seed=6), {}),
        ("g", noise((50, 40), seed=7), {"WindowCenter": 9, "WindowWidth": 800}),
        ("h", noise((50, 40), seed=8), {**CASES["VOI LUT"], "RescaleSlope": "2"}),
    ]
    sources = [
        open_image(write_image(tmp_path / name, pixels, **attributes))
        for name, pixels, attributes in named
    ]
    expected = np.stack(
        [prepare(windowed_frame(s, 1, RGB).planes, RGB) for s in sources]
    )
    frames = [read_frame(source, 1, RGB) for source in sources]
    for made in (to_input(frames, RGB, CPU), shown_on_device(frames, RGB, CPU)):
        assert np.abs(made.numpy() - expected).max() <= TOLERANCE
    assert len(to_input([], RGB, CPU)) == 0


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 400),
    columns=st.integers(1, 400),
    height=st.integers(1, 80),
    width=st.integers(1, 80),
    resize=st.sampled_from(["stretch", "fit", "crop"]),
)
def test_any_shape_is_resized_as_torch_does_it(
    rows: int, columns: int, height: int, width: int, resize: str
) -> None:
    stored = noise((rows, columns), "u1", seed=rows)
    raw = RawFrame(
        stored=stored,
        recipe=Recipe(curves=(Ramp(black=0.0, white=255.0),)),
        windowing="",
    )
    spec = replace(GREY, size=(height, width), resize=resize)
    # torch 2.13 repeats the first row where rows become more and one column is left.
    assume(place_frame((rows, columns), spec).size[1] > 1)
    planes: Image = stored[np.newaxis].astype(np.float32) / np.float32(255)
    expected = prepare(planes, spec)
    made = to_input([raw], spec, CPU)[0].numpy()
    assert np.abs(made - expected).max() <= TOLERANCE


@pytest.mark.parametrize("shape", [(1, 65535), (65535, 1)])
@pytest.mark.parametrize("resize", ["stretch", "fit", "crop"])
def test_extreme_aspects_take_no_more_memory_than_the_readable_way(
    shape: tuple[int, int], resize: str
) -> None:
    raw = RawFrame(
        stored=np.full(shape, 255, np.uint8),
        recipe=Recipe(curves=(Ramp(black=0.0, white=255.0),)),
        windowing="",
    )
    spec = InputSpec(size=(16, 16), channels=1, resize=resize, mean=(0.0,), std=(1.0,))
    made = to_input([raw], spec, CPU)
    assert made.max().item() == pytest.approx(1, abs=1e-3)


def test_lossless_copies_give_bit_equal_input(tmp_path: Path) -> None:
    pixels = noise((90, 70))
    first = write_image(tmp_path / "a.dcm", pixels)
    wide = write_image(tmp_path / "b.dcm", pixels, syntax="1.2.840.10008.1.2")
    one, other = (
        to_input([read_frame(open_image(path), 1, GREY)], GREY, CPU)
        for path in (first, wide)
    )
    assert torch.equal(one, other)


def test_frames_that_cannot_be_shown_say_why(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.dcm", noise((9, 9)), PixelPaddingValue=5)
    source = open_image(path)
    with pytest.raises(PixelError, match="no frame"):
        read_frame(source, 2, GREY)
    with pytest.raises(PixelError, match="no usable VOI LUT"):
        read_frame(source, 1, replace(GREY, windowing_fallback="refuse"))
    two = replace(RGB, windowing="model", windows=(Window(center=1, width=9),) * 2)
    with pytest.raises(PixelError, match="2 planes"):
        to_input([read_frame(source, 1, two)], two, CPU)
    blank = write_image(
        tmp_path / "b.dcm", np.full((4, 4), 5, "i2"), PixelPaddingValue=5
    )
    with pytest.raises(PixelError, match="padding all over"):
        read_frame(open_image(blank), 1, replace(GREY, windowing="percentile"))
    colour = write_image(
        tmp_path / "c.dcm", noise((4, 4, 3), "u1"), PhotometricInterpretation="RGB"
    )
    with pytest.raises(PixelError, match="cannot be windowed"):
        read_frame(open_image(colour), 1, two)


def test_percentiles_by_counting_are_those_of_numpy(tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).normal(0, 300, (33, 31)).astype("i2")
    path = write_image(
        tmp_path / "a.dcm", pixels, RescaleSlope="-0.5", PixelPaddingValue=0
    )
    spec = replace(GREY, windowing="percentile", percentiles=(2.5, 97.0))
    (curve,) = read_frame(open_image(path), 1, spec).recipe.curves
    valid = pixels[pixels != 0].astype(np.float64) * -0.5
    low, high = np.percentile(valid, (2.5, 97.0))
    assert isinstance(curve, Ramp)
    assert (curve.black * -0.5, curve.white * -0.5) == pytest.approx((low, high))
