"""Images beyond the limits of the settings fail alone, with the limit named."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from dicom_node.core.types import ImageResult, InputFile
from inference.pixels.layout import PixelLimits
from inference.run.in_process import InProcessExecutor
from inference.run.options import RunOptions
from tests.unit.inference.cards import make_bundle
from tests.unit.inference.studies import write_image


def _predict(
    tmp_path: Path, files: Sequence[InputFile], limits: PixelLimits
) -> tuple[ImageResult, ...]:
    make_bundle(tmp_path / "models/tiny", max_frames=8)
    options = RunOptions(device="cpu", limits=limits)
    executor = InProcessExecutor(tmp_path / "models", options)
    try:
        return executor.predict("tiny", files).images
    finally:
        executor.close()


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (PixelLimits(frame_bytes=40 * 50 * 4 - 1), "bytes a frame"),
        (PixelLimits(image_bytes=40 * 50 * 2 * 3), "NumberOfFrames"),
    ],
)
def test_an_image_beyond_a_limit_fails_and_the_others_are_scored(
    tmp_path: Path, limits: PixelLimits, told: str
) -> None:
    files = [write_image(tmp_path, 1), write_image(tmp_path, 2, frames=4)]
    small, large = _predict(tmp_path, files, limits)
    assert told in large.error
    assert bool(small.scores) == ("NumberOfFrames" in told)


def test_an_image_whose_decoding_takes_too_long_is_given_up(tmp_path: Path) -> None:
    files = [write_image(tmp_path, 1, frames=4)]
    (image,) = _predict(tmp_path, files, PixelLimits(seconds=1e-9))
    assert image.error == "decoding the image took longer than 1e-09 s"
    assert not image.scores
