"""What of an image reaches a model: windowing, range, and what looks wrong with it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

import numpy as np
import torch

from dicom_node.core.errors import PixelError
from inference.api import Image, InputSpec, Model
from inference.pixels.frames import open_image, windowed_frame
from inference.pixels.fused import to_input
from inference.pixels.layout import PixelLimits
from inference.pixels.raw import read_frame
from inference.vit.model import TimmModel

# A share of the image beyond which a window hides what the model should see. Air
# around a patient takes up to about two thirds of a slice.
_MOSTLY: Final = 0.9
_END: Final = 1e-3  # of the scale from black to white


@dataclass(frozen=True, slots=True, kw_only=True)
class InputReport:
    """What the model gets of the chosen frames of one image.

    Args:
        shape: (channels, rows, columns) of the tensor of one frame.
        low, high, mean: of all tensors, after normalisation.
        black, white: share of values at the ends of what is shown; None for a class
            of one's own, which normalises as it likes.
        seconds: from the file to the tensors, one frame after the other.
        doubts: what a person should look at.
    """

    windowing: str
    shape: tuple[int, ...]
    low: float
    high: float
    mean: float
    black: float | None
    white: float | None
    seconds: float
    doubts: tuple[str, ...]


def report_input(
    path: Path, frames: Sequence[int], model: Model, limits: PixelLimits
) -> InputReport:
    """Make model input of an image's frames as a worker does, and describe it.

    Args:
        frames: numbers of frames, from 1; at least one.

    Raises:
        PixelError: the image cannot be decoded, or not be windowed as the card wants.
    """
    began = perf_counter()
    source = open_image(path, limits=limits)
    tensors, windowings = [], set()
    for number in frames:
        if isinstance(model, TimmModel):
            raw = read_frame(source, number, model.card.input)
            ready = to_input([raw], model.card.input, torch.device("cpu"))[0].numpy()
            windowings.add(raw.windowing)
        else:
            shown = windowed_frame(source, number, model.card.input)
            ready = np.asarray(model.prepare(shown.planes))
            windowings.add(shown.windowing)
        tensors.append(ready)
    seconds = perf_counter() - began
    if not tensors:
        raise PixelError("there are no frames")
    values = np.stack(tensors)
    ends = _ends(values, model.card.input) if isinstance(model, TimmModel) else None
    return InputReport(
        windowing=", ".join(sorted(windowings)),
        shape=tensors[0].shape,
        low=float(values.min()),
        high=float(values.max()),
        mean=float(values.mean(dtype=np.float64)),
        black=ends and ends[0],
        white=ends and ends[1],
        seconds=seconds,
        doubts=_doubts(values, ends),
    )


def _ends(values: Image, spec: InputSpec) -> tuple[float, float]:
    """Return the shares of values that are shown black, and white."""
    column = (-1, 1, 1)
    std = np.array(spec.std, np.float32).reshape(column)
    mean = np.array(spec.mean, np.float32).reshape(column)
    shown = values * std + mean
    return float((shown <= _END).mean()), float((shown >= 1 - _END).mean())


def _doubts(values: Image, ends: tuple[float, float] | None) -> tuple[str, ...]:
    found = []
    if not bool(np.isfinite(values).all()):
        found.append("the model input holds values that are not numbers")
    elif any(math.isclose(one.min(), one.max(), abs_tol=1e-6) for one in values):
        found.append("a frame is one even grey to the model")
    elif ends and max(ends) > _MOSTLY:
        which = "black" if ends[0] > ends[1] else "white"
        found.append(f"{max(ends):.0%} of the image is {which}: is it the window?")
    return tuple(found)
