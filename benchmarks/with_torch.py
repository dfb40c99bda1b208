"""The preparation of an image as its users write it with pydicom and torch."""

from pathlib import Path

import numpy as np
import torch
from pydicom import dcmread
from pydicom.multival import MultiValue
from pydicom.valuerep import DSfloat

from benchmarks.with_pil import MEAN, SIZE, STD
from inference.api import Image


def prepare_with_torch(path: Path) -> Image:
    """File -> (3, 224, 224): pydicom reads, torch windows and resizes (bilinear)."""
    dataset = dcmread(path)
    center, width = _first(dataset.WindowCenter), _first(dataset.WindowWidth)
    values = torch.from_numpy(dataset.pixel_array.astype(np.float32))
    values.mul_(float(dataset.RescaleSlope)).add_(float(dataset.RescaleIntercept))
    low = center - 0.5 - (width - 1) / 2  # LINEAR, PS3.3 C.11.2.1.2.1
    plane = values.sub_(low).div_(width - 1).clamp_(0, 1)
    resized = torch.nn.functional.interpolate(
        plane[None, None], (SIZE, SIZE), mode="bilinear", antialias=True
    )
    normalised: Image = ((resized - MEAN) / STD).expand(1, 3, -1, -1)[0].numpy()
    return normalised


def _first(value: MultiValue[DSfloat] | float) -> float:
    return float(value[0] if isinstance(value, MultiValue) else value)
