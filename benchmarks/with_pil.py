"""The preparation of an image as its users write it with pydicom and PIL."""

from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
from PIL import Image as PILImage
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

SIZE: Final = 224
MEAN: Final = 0.5
STD: Final = 0.5


def prepare_with_pil(file: Path | BinaryIO) -> npt.NDArray[np.float32]:
    """File -> (3, 224, 224): pydicom reads and windows, PIL resizes (bilinear)."""
    dataset = dcmread(file)
    shrunk = PILImage.fromarray(window_with_pydicom(dataset).astype(np.float32))
    plane = np.asarray(
        shrunk.resize((SIZE, SIZE), PILImage.Resampling.BILINEAR), np.float32
    )
    return np.repeat(((plane - MEAN) / STD)[np.newaxis], 3, axis=0)


def window_with_pydicom(dataset: Dataset) -> npt.NDArray[Any]:
    """Window by the file's first window, to [0, 1]."""
    values = apply_modality_lut(dataset.pixel_array, dataset)
    windowed = apply_voi_lut(values, dataset, index=0)
    low, high = _range(dataset)
    unit: npt.NDArray[Any] = (windowed - low) / (high - low)
    return unit


def _range(dataset: Dataset) -> tuple[float, float]:
    """What `apply_voi_lut` maps a window to: all that Bits Stored can become."""
    low, high = 0.0, float((1 << dataset.BitsStored) - 1)
    if dataset.PixelRepresentation == 1:
        half = float(1 << (dataset.BitsStored - 1))
        low, high = -half, half - 1
    if "RescaleSlope" in dataset:
        slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
        low, high = low * slope + intercept, high * slope + intercept
    return low, high
