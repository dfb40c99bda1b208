"""Planes in space: their normal, their name, the way they are stacked."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from inference.volume import Vector

Cosines = tuple[float, float, float, float, float, float]
Points = npt.NDArray[np.float64]

ORIENTATION_TOLERANCE_DEGREES = 30.0
# Direction cosines come as text of up to 16 characters, often rounded to five
# digits, and some writers to three.
_COSINE_TOLERANCE = 1e-2
_AXES = ("sagittal", "coronal", "axial")  # normals along x, y and z, PS3.3 C.7.6.2.1.1


def check_cosines(values: Sequence[float]) -> Cosines | None:
    """Return Image Orientation (Patient) if it is two unit vectors at right angles."""
    if len(values) != 6:
        return None
    row, column = np.array(values[:3]), np.array(values[3:])
    if not np.isfinite(row).all() or not np.isfinite(column).all():
        return None
    lengths = (float(row @ row), float(column @ column))
    if any(abs(length - 1) > 2 * _COSINE_TOLERANCE for length in lengths):
        return None
    if abs(float(row @ column)) > _COSINE_TOLERANCE:
        return None
    a, b, c, d, e, f = (float(value) for value in values)
    return a, b, c, d, e, f


def normal_of(cosines: Cosines) -> Vector:
    """Return the unit normal, row direction x column direction."""
    cross = np.cross(cosines[:3], cosines[3:])
    x, y, z = (float(value) for value in cross / np.linalg.norm(cross))
    return x, y, z


def name_orientation(
    normal: Vector, *, tolerance_degrees: float = ORIENTATION_TOLERANCE_DEGREES
) -> str:
    """Name a plane by the body axis that its normal is nearest to.

    Returns:
        "axial", "sagittal" or "coronal"; "oblique" where the normal is more than
        the tolerance off each axis.
    """
    sizes = [abs(value) for value in normal]
    largest = max(range(3), key=lambda axis: sizes[axis])
    # At the tolerance itself rounding must not decide.
    off = math.degrees(math.acos(min(1.0, sizes[largest]))) - 1e-6
    return _AXES[largest] if off <= tolerance_degrees else "oblique"


def positions_along(normal: Vector, origins: Points) -> Points:
    """Project origins, (frames, 3), onto the normal: positions in mm."""
    projected: Points = origins @ np.array(normal)
    return projected


def stacking_angle(normal: Vector, origins: Points) -> float:
    """Measure the angle in degrees between the normal and the line of origins.

    The line is fitted to all origins, so that the rounding of one does not count.

    Args:
        origins: (frames, 3) in mm, at two positions or more.
    """
    along = positions_along(normal, origins)
    centred = along - along.mean()
    direction = centred @ (origins - origins.mean(axis=0)) / (centred @ centred)
    sideways = direction - np.array(normal) * (direction @ np.array(normal))
    return math.degrees(math.atan(float(np.linalg.norm(sideways))))


def cluster_cosines(rows: Sequence[Cosines], *, tolerance: float = 5e-3) -> list[int]:
    """Number the orientations, alike where no cosine differs beyond the tolerance."""
    known = np.empty((0, 6))
    numbers = []
    for row in rows:
        near = np.flatnonzero((np.abs(known - row) <= tolerance).all(axis=1))
        if near.size:
            numbers.append(int(near[0]))
            continue
        numbers.append(len(known))
        known = np.vstack([known, row])
    return numbers
