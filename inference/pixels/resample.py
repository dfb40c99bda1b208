"""Where a frame lies in the model's input, and the weights that bring it there."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from dicom_node.core.errors import PixelError
from inference.api import InputSpec

Places = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float32]

_CHUNK_VALUES = 1 << 18  # a million bytes as float32: stays in a core's cache
_FEWEST_ROWS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """What part of a frame goes where.

    Args:
        rows, columns: the part of the frame that is used.
        size: rows and columns that it is resized to.
        place: row and column of the input where the resized part begins.
        keep: rows and columns of the resized part that lie in the input.
    """

    rows: slice
    columns: slice
    size: tuple[int, int]
    place: tuple[slice, slice]
    keep: tuple[slice, slice]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """Some rows of the input, and what they give to some rows of the output.

    Args:
        first, last: rows of the input, from and up to.
        out_first, out_last: rows of the output.
        weights: sparse, (rows of the output, rows of the input).
    """

    first: int
    last: int
    out_first: int
    out_last: int
    weights: torch.Tensor


def place_frame(shape: tuple[int, int], spec: InputSpec) -> Geometry:
    """Say what of a frame of this shape is resized to what, as `prepare` does."""
    rows, columns = shape
    height, width = spec.size
    everything = slice(0, rows), slice(0, columns)
    resized = spec.size
    if spec.resize == "crop":
        # Cut first: a line of pixels scaled up whole would fill the memory.
        scale = max(height / rows, width / columns)
        keep = (min(rows, round(height / scale)), min(columns, round(width / scale)))
        everything = _middle(rows, max(keep[0], 1)), _middle(columns, max(keep[1], 1))
    elif spec.resize == "fit":
        scale = min(height / rows, width / columns)
        resized = max(round(rows * scale), 1), max(round(columns * scale), 1)
    elif spec.resize != "stretch":
        raise PixelError("the model card's resize is unknown")
    return Geometry(
        rows=everything[0],
        columns=everything[1],
        size=resized,
        place=(_middle(height, resized[0]), _middle(width, resized[1])),
        keep=(_middle(resized[0], height), _middle(resized[1], width)),
    )


def _middle(have: int, want: int) -> slice:
    size = min(have, want)
    return slice((have - size) // 2, (have - size) // 2 + size)


def resize_steps(size: int, wanted: int, width: int) -> tuple[Step, ...]:
    """Cut the resizing of rows into steps whose input stays in the cache.

    Args:
        size, wanted: rows of the input and of the output.
        width: values in a row.
    """
    rows = max(_CHUNK_VALUES // width, _FEWEST_ROWS)
    return _cut_steps(size, wanted, min(rows, size))


@lru_cache(maxsize=128)
def _cut_steps(size: int, wanted: int, rows: int) -> tuple[Step, ...]:
    targets, sources, weights = _triangles(size, wanted)
    steps = []
    for first in range(0, size, rows):
        last = min(first + rows, size)
        inside = (sources >= first) & (sources < last)
        if not inside.any():
            continue
        out_first, out_last = int(targets[inside][0]), int(targets[inside][-1]) + 1
        places = np.stack([targets[inside] - out_first, sources[inside] - first])
        matrix = torch.sparse_coo_tensor(
            torch.from_numpy(places),
            torch.from_numpy(weights[inside]),
            (out_last - out_first, last - first),
            check_invariants=False,
        )
        step = Step(
            first=first,
            last=last,
            out_first=out_first,
            out_last=out_last,
            weights=matrix.coalesce(),
        )
        steps.append(step)
    return tuple(steps)


def _triangles(size: int, wanted: int) -> tuple[Places, Places, Weights]:
    """Give the weights of an antialiased bilinear resize, row by row of the output.

    The same numbers, rounded at the same places, as those of torch's
    `interpolate(mode="bilinear", antialias=True)`.
    """
    scale = np.float32(size / wanted)
    support = max(scale, np.float32(1))
    sharpness = np.float64(np.float32(1) / support)
    centres = (np.float64(scale) * (np.arange(wanted) + 0.5)).astype(np.float32)
    lows = ((centres - support) + np.float64(0.5)).astype(np.int64).clip(0)
    highs = ((centres + support) + np.float64(0.5)).astype(np.int64).clip(0, size)
    sources = lows[:, np.newaxis] + np.arange(int((highs - lows).max()))
    away = sources.astype(np.float32) - centres[:, np.newaxis] + np.float64(0.5)
    triangles = 1 - np.abs((away * sharpness).astype(np.float32))
    triangles[(triangles < 0) | (sources >= highs[:, np.newaxis])] = 0
    triangles /= triangles.sum(axis=1, dtype=np.float32, keepdims=True)
    targets, places = np.nonzero(triangles)
    return targets, sources[targets, places], triangles[targets, places]


def strips(count: int, width: int) -> Iterator[slice]:
    """Cut rows into strips that stay in the cache."""
    rows = max(_CHUNK_VALUES // width, _FEWEST_ROWS)
    for first in range(0, count, rows):
        yield slice(first, min(first + rows, count))
