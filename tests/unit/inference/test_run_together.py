"""Which frames are read together."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom.uid import ExplicitVRLittleEndian

from inference.pixels.codecs import DEFLATED
from inference.pixels.frames import FrameSource, open_image
from inference.run.tasks import Tally
from inference.run.together import OpenFrame, group_frames
from tests.unit.inference.studies import make_file
from tests.unit.pixels.images import write_image

MOST = 1 << 30


def a_source(
    folder: Path, size: int, syntax: str = ExplicitVRLittleEndian
) -> FrameSource:
    pixels = np.zeros((size, size), np.uint16)
    return open_image(write_image(folder / f"{size}.dcm", pixels, syntax=syntax))


def numbers(sources: list[FrameSource], limit_bytes: int = MOST) -> list[list[int]]:
    tally = Tally(make_file(), lambda source: None)
    frames: Iterator[OpenFrame] = (
        OpenFrame(tally=tally, source=source, number=number)
        for number, source in enumerate(sources)
    )
    groups = group_frames(frames, limit_bytes=limit_bytes)
    return [[frame.number for frame in group] for group in groups]


def test_small_frames_are_read_together_up_to_a_million_pixels(tmp_path: Path) -> None:
    small = a_source(tmp_path, 512)
    assert numbers([small] * 6) == [[0, 1, 2, 3], [4, 5]]


def test_large_and_inflated_images_are_read_alone(tmp_path: Path) -> None:
    small, large = a_source(tmp_path, 64), a_source(tmp_path, 1030)
    inflated = a_source(tmp_path, 65, DEFLATED)
    given = [small, large, inflated, small]
    assert numbers(given) == [[1], [2], [0, 3]]


def test_a_group_takes_no_more_than_the_whole_budget(tmp_path: Path) -> None:
    small = a_source(tmp_path, 64)
    each = 64 * 64 * (2 + 4)
    assert numbers([small] * 3, 2 * each) == [[0, 1], [2]]
    assert numbers([small] * 2, 1) == [[0], [1]]
