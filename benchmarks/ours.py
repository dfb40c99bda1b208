"""The node's own way of an image, as its workers call it."""

from pathlib import Path
from typing import Final

import torch

from benchmarks.with_pil import MEAN, SIZE, STD
from inference.api import Image, InputSpec
from inference.pixels.fused import to_input
from inference.pixels.raw import read_frame
from inference.pixels.read import open_image

SPEC: Final = InputSpec(size=(SIZE, SIZE), mean=(MEAN,) * 3, std=(STD,) * 3)
_CPU: Final = torch.device("cpu")


def prepare_image(path: Path, spec: InputSpec = SPEC) -> Image:
    """File -> (channels, rows, columns) of the first frame."""
    frame = read_frame(open_image(path), 1, spec)
    prepared: Image = to_input([frame], spec, _CPU)[0].numpy()
    return prepared
