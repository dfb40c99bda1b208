"""Real radiographs, as DX images, for what noise cannot tell: scores."""

from pathlib import Path

import imagecodecs
import numpy as np
import torch

from benchmarks.corpus import DX, Numbers
from benchmarks.pictures import Coding, make_picture, save_picture
from inference.api import Image, InputSpec
from inference.pixels.fused import to_input
from inference.pixels.raw import read_frame
from inference.pixels.read import open_image


def find_radiographs(data: str) -> list[Path]:
    """List the JPEG files of a folder; none where no folder is named."""
    return sorted(Path(data).glob("*.jp*g")) if data else []


def write_radiograph(path: Path, target: Path, coding: Coding | None = None) -> Path:
    """Write an 8-bit radiograph as DX of which 12 bits are used."""
    grey = np.asarray(imagecodecs.jpeg8_decode(path.read_bytes()))
    if grey.ndim == 3:
        grey = grey[..., 0]
    picture = make_picture(DX, 0, Numbers())
    picture.Rows, picture.Columns = grey.shape
    picture.PixelData = (grey.astype("<u2") << 4).tobytes()
    return save_picture(picture, target, coding)


def read_input(path: Path, spec: InputSpec) -> Image:
    """File -> (1, channels, rows, columns), as the node's workers do it."""
    frame = read_frame(open_image(path), 1, spec)
    found: Image = to_input([frame], spec, torch.device("cpu")).numpy()
    return found
