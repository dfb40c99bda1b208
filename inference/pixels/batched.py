"""Raw frames on an accelerator: one transfer and one pass for frames that are alike."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import interpolate

from inference.api import InputSpec
from inference.pixels.raw import RawFrame
from inference.pixels.recipe import Curve, Ramp, Sigmoid, Table
from inference.pixels.resample import Geometry, place_frame

_VALUES_AT_ONCE = 1 << 26  # a quarter of a GiB as float32, a few times over
_EMPTY = (1.0, 0.0)  # a range that nothing lies in


def shown_on_device(
    frames: Sequence[RawFrame], spec: InputSpec, device: torch.device
) -> torch.Tensor:
    """Make model input of frames: those of one shape and kind go together.

    Returns:
        (frames, channels, rows, columns), float32, on the device.
    """
    shape = (len(frames), spec.channels, *spec.size)
    batch = torch.empty(shape, device=device)
    mean, std = (
        torch.tensor(values[: spec.channels], device=device).reshape(1, -1, 1, 1)
        for values in (spec.mean, spec.std)
    )
    alike: dict[object, list[int]] = defaultdict(list)
    for index, frame in enumerate(frames):
        alike[_kind(frame)].append(index)
    for places in alike.values():
        step = max(_VALUES_AT_ONCE // max(frames[places[0]].stored.size, 1), 1)
        for start in range(0, len(places), step):
            some = places[start : start + step]
            shown = _show([frames[place] for place in some], spec, device)
            batch[torch.tensor(some, device=device)] = (shown - mean) / std
    return batch


def _kind(frame: RawFrame) -> object:
    """Say what frames must share to be computed together."""
    recipe = frame.recipe
    kinds = tuple(type(curve) for curve in recipe.curves)
    return frame.stored.shape, frame.stored.dtype.str, kinds


def _show(
    frames: Sequence[RawFrame], spec: InputSpec, device: torch.device
) -> torch.Tensor:
    """Window and resize frames that are alike; values in [0, 1]."""
    geometry = place_frame(frames[0].shape, spec)
    stored = _transfer(frames, device)
    curves = tuple(zip(*(frame.recipe.curves for frame in frames), strict=True))
    if not curves:
        planes = stored
    else:
        values = _as_float(stored, frames)
        padding = _padding(frames, values, device)
        planes = torch.cat(
            [_follow(values, stored, kind, padding) for kind in curves], dim=1
        )
    return _place(planes, geometry, spec)


def _transfer(frames: Sequence[RawFrame], device: torch.device) -> torch.Tensor:
    """Bring stored values over as they are: (frames, planes, rows, columns).

    Unsigned 16-bit values go as signed ones, which every device computes with.
    """
    first = frames[0].stored
    kind = np.dtype("i2") if first.dtype == np.uint16 else first.dtype
    kept = torch.empty(
        (len(frames), *first.shape),
        dtype=torch.from_numpy(np.empty(0, kind)).dtype,
        pin_memory=device.type == "cuda",
    )
    for target, frame in zip(kept.numpy(), frames, strict=True):
        target[...] = frame.stored.view(kind)
    stored = kept.to(device, non_blocking=True)
    if not frames[0].recipe.curves:
        return stored
    return stored.unsqueeze(1) if first.ndim == 2 else stored.permute(0, 3, 1, 2)


def _as_float(stored: torch.Tensor, frames: Sequence[RawFrame]) -> torch.Tensor:
    if frames[0].stored.dtype == np.uint16:
        return stored.to(torch.int32).bitwise_and_(0xFFFF).to(torch.float32)
    return stored.to(torch.float32)


def _padding(
    frames: Sequence[RawFrame], values: torch.Tensor, device: torch.device
) -> torch.Tensor | None:
    """Find the pixels that are black whatever the curve says."""
    bounds = [frame.recipe.padding for frame in frames]
    if not any(bounds):
        return None
    low, high = (
        _per_frame([(bound or _EMPTY)[end] for bound in bounds], device)
        for end in (0, 1)
    )
    return (values >= low).logical_and_(values <= high)


def _follow(
    values: torch.Tensor,
    stored: torch.Tensor,
    curves: Sequence[Curve],
    padding: torch.Tensor | None,
) -> torch.Tensor:
    """Follow one curve of each frame, all of one kind."""
    device = values.device
    if isinstance(curves[0], Table):
        tables = np.stack(
            [curve.entries for curve in curves if isinstance(curve, Table)]
        )
        entries = torch.from_numpy(tables).to(device)
        first = torch.arange(len(tables), device=device).mul_(tables.shape[1])
        index = stored.to(torch.int64).bitwise_and_(tables.shape[1] - 1)
        return entries.reshape(-1).take(index.add_(first.reshape(-1, 1, 1, 1)))
    straight = [curve for curve in curves if not isinstance(curve, Table)]
    pivots = [float(curve.pivot) for curve in straight]
    shown = values - _per_frame(pivots, device)
    lines = [_line(curve) for curve in straight]
    origin, scale = (
        _per_frame([line[end] for line in lines], device) for end in (0, 1)
    )
    shown = shown.sub_(origin).mul_(scale)
    shown = shown.clamp_(0, 1) if isinstance(curves[0], Ramp) else shown.sigmoid_()
    return shown if padding is None else shown.masked_fill_(padding, 0.0)


def _look_up(stored: torch.Tensor, tables: Sequence[Table]) -> torch.Tensor:
    entries = torch.from_numpy(np.stack([table.entries for table in tables]))
    count, length = entries.shape
    first = torch.arange(count, device=stored.device).mul_(length)
    index = stored.to(torch.int64).bitwise_and_(length - 1)
    index.add_(first.reshape(-1, 1, 1, 1))
    return entries.to(stored.device).reshape(-1).take(index)


def _line(curve: Ramp | Sigmoid) -> tuple[float, float]:
    """Return what to subtract from values less the pivot, and what to multiply by."""
    if isinstance(curve, Ramp):
        return curve.black - curve.pivot, 1 / (curve.white - curve.black)
    return curve.centre - curve.pivot, curve.steepness


def _per_frame(values: Sequence[float], device: torch.device) -> torch.Tensor:
    made = torch.tensor(values, dtype=torch.float32)
    return made.to(device, non_blocking=True).reshape(-1, 1, 1, 1)


def _place(planes: torch.Tensor, geometry: Geometry, spec: InputSpec) -> torch.Tensor:
    """Resize (frames, planes, rows, columns) and lay it in the middle of black."""
    part = planes[:, :, geometry.rows, geometry.columns]
    if part.shape[2:] != geometry.size:
        part = interpolate(part, geometry.size, mode="bilinear", antialias=True)
    if part.shape[2:] == spec.size:
        return part
    whole = part.new_zeros((*part.shape[:2], *spec.size))
    inside = (slice(None), slice(None))
    whole[inside + geometry.place] = part[inside + geometry.keep]
    return whole
