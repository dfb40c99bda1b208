"""The node's own way of an image, as its workers call it."""

from pathlib import Path
from typing import Final

from benchmarks.with_pil import MEAN, SIZE, STD
from inference.api import Image, InputSpec
from inference.pixels.frames import windowed_frame
from inference.pixels.prepare import prepare
from inference.pixels.read import open_image

SPEC: Final = InputSpec(size=(SIZE, SIZE), mean=(MEAN,) * 3, std=(STD,) * 3)


def prepare_image(path: Path, spec: InputSpec = SPEC) -> Image:
    """File -> (channels, rows, columns) of the first frame."""
    return prepare(windowed_frame(open_image(path), 1, spec).planes, spec)
