"""Frames that are alike, resized together: few long steps in place of many short ones.

Python runs one thread at a time between two steps. Where steps are short, threads that
take turns at them get no more done than one of them alone.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from inference.api import InputSpec
from inference.pixels.fused import (
    ResizedFrame,
    draw_curve,
    resize_columns,
    resize_frame,
    resize_planes,
)
from inference.pixels.native import Samples
from inference.pixels.raw import RawFrame
from inference.pixels.recipe import Ramp
from inference.pixels.resample import Geometry, place_frame, resize_steps


def resize_frames(
    frames: Sequence[RawFrame], spec: InputSpec
) -> tuple[ResizedFrame, ...]:
    """Clip and resize small frames on the CPU, in the order given.

    Returns:
        what `resize_frame` makes of each, to the last bit. Those that were resized
        together share memory: it is free once all of them are.

    Raises:
        PixelError: a frame's planes are not as many as the model's channels.
    """
    alike: dict[_Kind | int, list[int]] = defaultdict(list)
    for index, frame in enumerate(frames):
        alike[_kind_of(frame) or index].append(index)
    found: dict[int, ResizedFrame] = {}
    for kind, places in alike.items():
        if isinstance(kind, int) or len(places) == 1:
            found[places[0]] = resize_frame(frames[places[0]], spec)
            continue
        together = _resize_alike([frames[place].stored for place in places], kind, spec)
        found.update(zip(places, together, strict=True))
    return tuple(found[index] for index in range(len(frames)))


@dataclass(frozen=True, slots=True)
class _Kind:
    """What frames must share to be resized together."""

    shape: tuple[int, int]
    dtype: str
    ramp: Ramp
    padding: tuple[int, int] | None


def _kind_of(frame: RawFrame) -> _Kind | None:
    """Return the frame's kind; None where it is resized alone.

    A table is looked up frame by frame, colours lie in another order, and the last
    bit of a sigmoid depends on where in memory a pixel lies.
    """
    curves, stored = frame.recipe.curves, frame.stored
    if stored.ndim != 2 or len(curves) != 1 or not isinstance(curves[0], Ramp):
        return None
    return _Kind(frame.shape, stored.dtype.str, curves[0], frame.recipe.padding)


def _resize_alike(
    stored: Sequence[Samples], kind: _Kind, spec: InputSpec
) -> tuple[ResizedFrame, ...]:
    with torch.inference_mode():
        geometry = place_frame(kind.shape, spec)
        values = _gather(stored, geometry)
        draw_curve(values, kind.ramp, kind.padding)
        resized = _resize(values, geometry).permute(1, 0, 2)
        kept = resized[:, geometry.keep[0], geometry.keep[1]].unsqueeze(1)
        return tuple(
            ResizedFrame(planes=planes, place=geometry.place, curves=(kind.ramp,))
            for planes in kept
        )


def _gather(stored: Sequence[Samples], geometry: Geometry) -> torch.Tensor:
    """Return the used part of the frames as float32: (rows, frames, columns)."""
    parts = [
        torch.from_numpy(frame)[geometry.rows, geometry.columns] for frame in stored
    ]
    rows, columns = parts[0].shape
    values = torch.empty((rows, len(parts), columns))
    for part, target in zip(parts, values.unbind(1), strict=True):
        target.copy_(part)
    return values


def _resize(values: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Resize (rows, frames, columns), rows first where they become fewer."""
    rows, count, columns = values.shape
    height, width = geometry.size
    if height < rows:
        values = _shrink_rows(values.view(rows, -1), height)
        values = values.view(height, count, columns)
    values = resize_columns(values, width)
    if height <= rows:
        return values
    return resize_planes(values.permute(1, 0, 2), height).permute(1, 0, 2)


def _shrink_rows(values: torch.Tensor, height: int) -> torch.Tensor:
    out = torch.zeros((height, values.shape[1]))
    # As if rows were narrow: small frames, even several, need not be cut into strips.
    for step in resize_steps(len(values), height, 1):
        here = out[step.out_first : step.out_last]
        torch.addmm(here, step.weights, values[step.first : step.last], out=here)
    return out
