"""Windowed values -> model input."""

import numpy as np
import pytest

from dicom_node.core.errors import PixelError
from inference.api import InputSpec
from inference.pixels.prepare import prepare


def spec(
    size: tuple[int, int], resize: str = "stretch", channels: int = 1
) -> InputSpec:
    return InputSpec(
        size=size, resize=resize, channels=channels, mean=(0.0,), std=(1.0,)
    )


def test_a_single_plane_is_repeated_and_every_channel_normalised() -> None:
    planes = np.full((1, 4, 4), 0.5, np.float32)
    made = prepare(
        planes,
        InputSpec(size=(4, 4), mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0), channels=3),
    )
    assert made.shape == (3, 4, 4)
    assert made.dtype == np.float32
    assert made.flags.c_contiguous
    assert made[:, 0, 0] == pytest.approx([0, 1, 0.25])


def test_shrinking_averages_over_what_it_leaves_out() -> None:
    # Without antialiasing every second column would vanish: all 0 or all 1.
    stripes = np.tile(np.array([0, 1], np.float32), (1, 64, 32))
    made = prepare(stripes, spec((8, 8)))
    assert made[0, 1:-1, 1:-1] == pytest.approx(0.5, abs=0.02)


def test_stretch_fills_the_size_and_keeps_the_corners() -> None:
    image = np.zeros((1, 20, 40), np.float32)
    image[0, :10, :20] = 1
    made = prepare(image, spec((10, 10)))
    assert made[0, 0, 0] == pytest.approx(1)
    assert made[0, 0, 9] == made[0, 9, 0] == made[0, 9, 9] == 0


def test_fit_keeps_the_aspect_and_pads_with_black_on_both_sides() -> None:
    made = prepare(np.ones((1, 20, 40), np.float32), spec((10, 10), "fit"))
    assert made[0, :2].max() == made[0, 8:].max() == 0
    assert made[0, 3:7].min() == pytest.approx(1)


def test_crop_keeps_the_middle_of_the_long_side() -> None:
    image = np.zeros((1, 10, 30), np.float32)
    image[0, :, 10:20] = 1
    made = prepare(image, spec((10, 10), "crop"))
    assert made.shape == (1, 10, 10)
    assert made.min() == pytest.approx(1)


def test_an_image_of_the_right_size_is_not_touched() -> None:
    image = np.random.default_rng(0).random((1, 7, 9), np.float32)
    assert np.array_equal(prepare(image, spec((7, 9)))[0], image[0])


@pytest.mark.parametrize("shape", [(1, 65535), (65535, 1)])
@pytest.mark.parametrize("resize", ["stretch", "fit", "crop"])
def test_extreme_aspects_still_give_the_models_size(
    shape: tuple[int, int], resize: str
) -> None:
    made = prepare(np.ones((1, *shape), np.float32), spec((16, 16), resize))
    assert made.shape == (1, 16, 16)
    assert made.max() == pytest.approx(1, abs=1e-3)


def test_planes_that_are_not_the_models_channels_are_refused() -> None:
    with pytest.raises(PixelError, match="2 planes"):
        prepare(np.ones((2, 4, 4), np.float32), spec((4, 4), channels=3))
