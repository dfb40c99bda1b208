"""Raw frames -> model input, on the device, in one pass over the pixels.

A straight window only clips before the resize: what is linear comes after it, on the
few pixels of the result, in one multiplication and addition with the normalisation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle, groupby

import numpy as np
import torch

from dicom_node.core.errors import PixelError
from inference.api import Image, InputSpec
from inference.pixels.batched import shown_on_device
from inference.pixels.raw import RawFrame
from inference.pixels.recipe import Curve, Ramp, Sigmoid, Table
from inference.pixels.resample import Geometry, place_frame, resize_steps, strips

_AS_IT_IS = Ramp(black=0.0, white=1.0)


def to_input(
    frames: Sequence[RawFrame], spec: InputSpec, device: torch.device
) -> torch.Tensor:
    """Window, resize and normalise frames on a device.

    Returns:
        (frames, channels, rows, columns) of `spec.size`, float32, on the device:
        what `prepare` makes of each windowed frame, within the rounding of float32.

    Raises:
        PixelError: a frame's planes are not as many as the model's channels.
    """
    for frame in frames:
        check_planes(frame, spec)
    with torch.inference_mode():
        if device.type != "cpu":
            return shown_on_device(frames, spec, device)
        return normalise([resize_frame(frame, spec) for frame in frames], spec)


def show_frame(frame: RawFrame) -> Image:
    """Window a frame at its full size.

    Returns:
        (planes, rows, columns) in [0, 1], as `windowed_frame` gives them.
    """
    stored, recipe = frame.stored, frame.recipe
    if not recipe.curves:
        planes: Image = stored
        return planes
    flat = torch.from_numpy(stored.reshape(stored.shape[0], -1))
    shown = np.empty((len(recipe.curves), *flat.shape), np.float32)
    with torch.inference_mode():
        for curve, plane in zip(recipe.curves, torch.from_numpy(shown), strict=True):
            for strip in strips(*flat.shape):
                part = bring(flat[strip], curve, recipe.padding, plane[strip])
                if isinstance(curve, Ramp):
                    scale, offset = draw_line(curve)
                    part.mul_(scale).add_(offset).clamp_(0, 1)
    if stored.ndim == 3:
        return shown.reshape(stored.shape).transpose(2, 0, 1)
    return shown


@dataclass(frozen=True, slots=True, eq=False)
class ResizedFrame:
    """A frame that only has to be normalised, on the few pixels that are left of it.

    Args:
        planes: (planes, rows, columns) of the part that the input shows.
        place: rows and columns of the input where it lies.
        curves: what the values still go through, if it is straight.
    """

    planes: torch.Tensor
    place: tuple[slice, slice]
    curves: Sequence[Curve]

    @property
    def size_bytes(self) -> int:
        """Size of the planes."""
        return self.planes.nbytes


def resize_frame(frame: RawFrame, spec: InputSpec) -> ResizedFrame:
    """Clip and resize a frame on the CPU.

    Raises:
        PixelError: its planes are not as many as the model's channels.
    """
    check_planes(frame, spec)
    with torch.inference_mode():
        geometry = place_frame(frame.shape, spec)
        planes = _resize(frame, geometry)
        return ResizedFrame(
            planes=planes[:, geometry.keep[0], geometry.keep[1]],
            place=geometry.place,
            curves=frame.recipe.curves or (_AS_IT_IS,),
        )


def normalise(frames: Sequence[ResizedFrame], spec: InputSpec) -> torch.Tensor:
    """Make model input of resized frames.

    Returns:
        (frames, channels, rows, columns) of `spec.size`, float32.
    """
    with torch.inference_mode():
        batch = torch.empty((len(frames), spec.channels, *spec.size))
        begin = 0
        for (lines, place, shape), alike in groupby(frames, _likeness):
            planes = [frame.planes for frame in alike]
            target = batch[begin : begin + len(planes)]
            begin += len(planes)
            scales, offsets, black = _factors(
                lines, spec.mean[: spec.channels], spec.std[: spec.channels]
            )
            if shape[1:] != target.shape[2:]:
                target.copy_(black.expand_as(target))
            inside = target[:, :, place[0], place[1]]
            torch.mul(torch.stack(planes), scales, out=inside)
            inside.add_(offsets)
        return batch


def _likeness(
    frame: ResizedFrame,
) -> tuple[tuple[tuple[float, float], ...], tuple[slice, slice], torch.Size]:
    """Say what frames must share to be normalised in one step."""
    lines = tuple([_line(curve) for curve in frame.curves])
    return lines, frame.place, frame.planes.shape


@lru_cache(maxsize=256)
def _factors(
    lines: tuple[tuple[float, float], ...],
    means: tuple[float, ...],
    stds: tuple[float, ...],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return scale, offset and black of each channel: (channels, 1, 1)."""
    ends = [
        (line[0] / std, (line[1] - mean) / std, (0.0 - mean) / std)
        for line, mean, std in zip(cycle(lines), means, stds, strict=False)
    ]
    scales, offsets, black = torch.tensor(ends).t().reshape(3, -1, 1, 1).unbind()
    return scales, offsets, black


def _line(curve: Curve) -> tuple[float, float]:
    return draw_line(curve) if isinstance(curve, Ramp) else (1.0, 0.0)


def check_planes(frame: RawFrame, spec: InputSpec) -> None:
    """Check that a frame has one plane, or as many as the model has channels.

    Raises:
        PixelError: it has not.
    """
    if frame.planes not in (1, spec.channels):
        raise PixelError(
            f"the frame has {frame.planes} planes, "
            f"the model takes {spec.channels} channels"
        )


def draw_line(curve: Ramp) -> tuple[float, float]:
    """Return scale and offset of a ramp, for values less its pivot."""
    scale = 1.0 / (curve.white - curve.black)
    return scale, (curve.pivot - curve.black) * scale


def bring(
    stored: torch.Tensor,
    curve: Curve,
    padding: tuple[int, int] | None,
    out: torch.Tensor,
) -> torch.Tensor:
    """Write what must be known of each pixel before a resize may average it.

    Args:
        out: of the shape of `stored`, float32. A ramp leaves values less its pivot,
            clipped to its ends; the others leave what is shown, in [0, 1].
    """
    if isinstance(curve, Table):
        entries = torch.from_numpy(curve.entries)
        index = stored.to(torch.int32).bitwise_and_(len(entries) - 1)
        torch.index_select(entries, 0, index.reshape(-1), out=out.view(-1))
        return out
    out.copy_(stored)
    return draw_curve(out, curve, padding)


def draw_curve(
    out: torch.Tensor, curve: Ramp | Sigmoid, padding: tuple[int, int] | None
) -> torch.Tensor:
    """Do what `bring` does, in place, on stored values that are float32 already."""
    if curve.pivot:
        out.sub_(curve.pivot)
    mask: torch.Tensor | None = None
    if padding is not None:
        low, high = padding[0] - curve.pivot, padding[1] - curve.pivot
        mask = out == low if low == high else (out >= low).logical_and_(out <= high)
    if isinstance(curve, Ramp):
        black, white = curve.black - curve.pivot, curve.white - curve.pivot
        out.clamp_(min(black, white), max(black, white))
    else:
        black = 0.0
        out.sub_(curve.centre - curve.pivot).mul_(curve.steepness).sigmoid_()
    return out if mask is None else out.masked_fill_(mask, black)


def _resize(frame: RawFrame, geometry: Geometry) -> torch.Tensor:
    """Resize the used part of a frame: (planes, rows, columns), not yet normalised.

    Rows first, strip by strip as they are brought, since a strip lies in the cache
    and leaves little behind; columns first where rows become more.
    """
    stored, recipe = frame.stored, frame.recipe
    if not recipe.curves:
        ready = torch.from_numpy(stored)[:, geometry.rows, geometry.columns]
        return resize_columns(resize_planes(ready, geometry.size[0]), geometry.size[1])
    part = torch.from_numpy(stored)[geometry.rows, geometry.columns]
    rows, width = part.shape[0], part[0].numel()
    height = min(geometry.size[0], rows)
    planes = [
        _resize_rows(part, curve, recipe.padding, torch.zeros((height, width)))
        for curve in recipe.curves
    ]
    if part.ndim == 3:
        stacked = planes[0].view(height, -1, 3).permute(2, 0, 1)
    else:
        stacked = torch.stack(planes) if len(planes) > 1 else planes[0].unsqueeze(0)
    resized = resize_columns(stacked, geometry.size[1])
    return resize_planes(resized, geometry.size[0])


def _resize_rows(
    part: torch.Tensor,
    curve: Curve,
    padding: tuple[int, int] | None,
    out: torch.Tensor,
) -> torch.Tensor:
    """Bring rows and shrink them to as many as `out` has, which is all 0."""
    if len(out) == len(part):
        for strip in strips(*out.shape):
            bring(part[strip].reshape(-1, out.shape[1]), curve, padding, out[strip])
        return out
    steps = resize_steps(len(part), len(out), out.shape[1])
    longest = max(step.last - step.first for step in steps)
    room = torch.empty((longest, out.shape[1]))
    for step in steps:
        stored = part[step.first : step.last].reshape(-1, out.shape[1])
        brought = bring(stored, curve, padding, room[: len(stored)])
        here = out[step.out_first : step.out_last]
        torch.addmm(here, step.weights, brought, out=here)
    return out


def resize_planes(planes: torch.Tensor, height: int) -> torch.Tensor:
    """Bring the rows of (planes, rows, columns) to a number."""
    if planes.shape[1] == height:
        return planes
    out = torch.zeros((len(planes), height, planes.shape[2]))
    for plane, made in zip(planes, out, strict=True):
        _add_rows(plane, made)
    return out


def resize_columns(planes: torch.Tensor, width: int) -> torch.Tensor:
    """Bring the columns of (planes, rows, columns) to a number."""
    count, rows, columns = planes.shape
    if columns == width:
        return planes
    # A column becomes a row, so that whole runs of memory are added up.
    turned = planes.reshape(count * rows, columns).t().contiguous()
    out = torch.zeros((width, count * rows))
    _add_rows(turned, out)
    return out.t().contiguous().view(count, rows, width)


def _add_rows(values: torch.Tensor, out: torch.Tensor) -> None:
    for step in resize_steps(len(values), len(out), values.shape[1]):
        here = out[step.out_first : step.out_last]
        torch.addmm(here, step.weights, values[step.first : step.last], out=here)
