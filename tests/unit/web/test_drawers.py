"""A decoder that hangs or dies costs its picture, never the process of the page."""

import gzip
import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dicom_node.core.errors import PixelError
from dicom_node.web.drawers import Drawers, Drawing
from dicom_node.web.picture_presets import Asked
from dicom_node.web.pictures import draw_picture, pack_picture, read_picture
from inference.api import Window
from inference.pixels import faults
from tests.unit.web.test_pictures import write_image

BAD_ROWS = 37
NEVER = "decode-kill:65535"


@pytest.fixture
def arm() -> Iterator[Callable[[str], None]]:
    """Let decoders go wrong at images of so many rows, until the test ends."""
    yield lambda point: faults.arm(f"{point}:{BAD_ROWS}")
    faults.arm(NEVER)


def _good(folder: Path) -> Path:
    return write_image(folder).rename(folder / "good.dcm")


def _bad(folder: Path) -> Path:
    values = np.zeros((BAD_ROWS, 8), np.int16)
    return write_image(folder, values).rename(folder / "bad.dcm")


def _draw(drawers: Drawers, path: Path, **more: Any) -> bytes:
    wanted = partial(Drawing, path=path, frame=1, asked=Asked(), side=64)
    return drawers.draw(wanted(**more))


def test_a_process_draws_what_this_one_would(tmp_path: Path) -> None:
    path, drawers = _good(tmp_path), Drawers()
    asked = Asked(windows=(Window(center=10, width=20),), percentiles=None)
    picture = read_picture(path, 1, asked)
    drawn = _draw(drawers, path, asked=asked, preset="model-1")
    ours = draw_picture(picture, preset="model-1", side=64)
    assert Image.open(BytesIO(drawn)).tobytes() == Image.open(BytesIO(ours)).tobytes()
    packed = _draw(drawers, path, asked=asked, packed=True)
    assert gzip.decompress(packed) == pack_picture(picture)


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        ("decode-crash", r"ended the process \(SIGSEGV\)"),
        ("decode-kill", r"ended the process \(SIGKILL\)"),
        ("decode-hold", "did not end within 3 s"),
        ("decode-hoard", "needs more memory"),
    ],
)
def test_an_image_that_ends_its_process_is_refused_and_others_are_drawn(
    tmp_path: Path, arm: Callable[[str], None], point: str, reason: str
) -> None:
    drawers = Drawers(seconds=3)
    good, bad = _good(tmp_path), _bad(tmp_path)
    arm(point)
    assert _draw(drawers, good)
    with pytest.raises(PixelError, match=reason):
        _draw(drawers, bad)
    assert _draw(drawers, good)


def test_nobody_waits_twice_for_an_image_that_hangs(
    tmp_path: Path, arm: Callable[[str], None]
) -> None:
    drawers, bad = Drawers(seconds=1), _bad(tmp_path)
    arm("decode-wait")
    with pytest.raises(PixelError, match="did not end"):
        _draw(drawers, bad)
    faults.arm(NEVER)  # it would be drawn now, were it decoded
    with pytest.raises(PixelError, match="did not end"):
        _draw(drawers, bad, side=32)


def test_a_broken_image_says_what_is_wrong_and_ends_no_process(tmp_path: Path) -> None:
    drawers, path = Drawers(), _good(tmp_path)
    assert _draw(drawers, path)
    before = _children()
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(PixelError, match="shorter than"):
        _draw(drawers, broken)
    with pytest.raises(PixelError, match="no such window preset"):
        _draw(drawers, path, preset="nothing")
    assert _draw(drawers, path, side=32)
    assert _children() == before


def test_a_process_that_was_ended_from_outside_between_two_pictures_is_replaced(
    tmp_path: Path,
) -> None:
    drawers, path = Drawers(), _good(tmp_path)
    earlier = _children()
    assert _draw(drawers, path)
    [child] = _children() - earlier
    os.kill(child, signal.SIGTERM)
    assert _draw(drawers, path, side=32)


def _children() -> set[int]:
    path = Path(f"/proc/{os.getpid()}/task")
    return {
        int(number)
        for task in path.iterdir()
        for number in (task / "children").read_text().split()
    }
