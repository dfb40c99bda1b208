"""Windowed values -> model input: resize and normalise; imports torch late."""

import numpy as np

from dicom_node.core.errors import PixelError
from inference.api import Image, InputSpec


def prepare(planes: Image, spec: InputSpec) -> Image:
    """Resize and normalise one frame.

    Args:
        planes: (planes, rows, columns) in [0, 1]; a single one is repeated.

    Returns:
        (channels, rows, columns) of `spec.size`, float32, normalised by mean and
        standard deviation of each channel.

    Raises:
        PixelError: the planes are not as many as the model's channels.
    """
    if planes.shape[0] not in (1, spec.channels):
        raise PixelError(
            f"the frame has {planes.shape[0]} planes, "
            f"the model takes {spec.channels} channels"
        )
    resized = _resize(planes, spec)
    if resized.shape[0] != spec.channels:
        resized = np.repeat(resized, spec.channels, axis=0)
    mean, std = (
        np.array(values, np.float32).reshape(-1, 1, 1)
        for values in (spec.mean, spec.std)
    )
    normalised: Image = np.ascontiguousarray((resized - mean) / std, np.float32)
    return normalised


def _resize(planes: Image, spec: InputSpec) -> Image:
    """Bring planes to the model's size without touching values already in place."""
    rows, columns = planes.shape[1:]
    height, width = spec.size
    if spec.resize == "stretch":
        return _interpolate(planes, height, width)
    scales = height / rows, width / columns
    if spec.resize == "crop":
        # Cut first: a line of pixels scaled up whole would fill the memory.
        scale = max(scales)
        keep = (min(rows, round(height / scale)), min(columns, round(width / scale)))
        return _interpolate(
            _centre(planes, max(keep[0], 1), max(keep[1], 1)), *spec.size
        )
    if spec.resize != "fit":
        raise PixelError("the model card's resize is unknown")
    scale = min(scales)
    fitted = max(round(rows * scale), 1), max(round(columns * scale), 1)
    return _centre(_interpolate(planes, *fitted), height, width)


def _centre(planes: Image, height: int, width: int) -> Image:
    """Cut the middle out, or lay it in the middle of black."""
    canvas = np.zeros((planes.shape[0], height, width), np.float32)
    here: list[slice] = []
    there: list[slice] = []
    for have, want in zip(planes.shape[1:], (height, width), strict=True):
        size = min(have, want)
        here.append(slice((have - size) // 2, (have - size) // 2 + size))
        there.append(slice((want - size) // 2, (want - size) // 2 + size))
    canvas[:, there[0], there[1]] = planes[:, here[0], here[1]]
    return canvas


def _interpolate(planes: Image, height: int, width: int) -> Image:
    """Resize with bilinear interpolation, widened to the scale when shrinking."""
    if planes.shape[1:] == (height, width):
        return planes
    import torch
    from torch.nn.functional import interpolate

    with torch.inference_mode():
        tensor = torch.from_numpy(np.ascontiguousarray(planes, np.float32))
        resized = interpolate(
            tensor.unsqueeze(0), (height, width), mode="bilinear", antialias=True
        )
        result: Image = resized[0].numpy()
    return result
