"""The preparation of an image as its users write it with pydicom, PIL and torch."""

from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image as PILImage
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from inference.api import Image

SIZE: Final = 224
MEAN: Final = 0.5
STD: Final = 0.5


def prepare_with_pil(path: Path) -> Image:
    """File -> (3, 224, 224): pydicom reads and windows, PIL resizes (bilinear)."""
    dataset = dcmread(path)
    shrunk = PILImage.fromarray(window_with_pydicom(dataset).astype(np.float32))
    plane = np.asarray(
        shrunk.resize((SIZE, SIZE), PILImage.Resampling.BILINEAR), np.float32
    )
    normalised: Image = np.repeat(((plane - MEAN) / STD)[np.newaxis], 3, axis=0)
    return normalised


def window_with_pydicom(dataset: Dataset) -> np.ndarray:
    """Window by the file's first window, to [0, 1]."""
    values = apply_modality_lut(dataset.pixel_array, dataset)
    return to_unit(apply_voi_lut(values, dataset, index=0), dataset)


def to_unit(windowed: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Bring what `apply_voi_lut` returns to [0, 1]: its range is Bits Stored's."""
    low, high = 0.0, float((1 << dataset.BitsStored) - 1)
    if dataset.PixelRepresentation == 1:
        low, high = (
            -float(1 << (dataset.BitsStored - 1)),
            float((1 << (dataset.BitsStored - 1)) - 1),
        )
    if "RescaleSlope" in dataset:
        slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
        low, high = low * slope + intercept, high * slope + intercept
    return (windowed - low) / (high - low)


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


def _first(value: object) -> float:
    return float(value[0] if hasattr(value, "__getitem__") else value)  # type: ignore[arg-type]
