"""Make volumes of planes: group, sort along the normal, measure, find faults."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby, pairwise
from statistics import median

import numpy as np

from inference.volume import (
    Duplicates,
    Fault,
    Gap,
    Tilt,
    Uneven,
    Vector,
    Volume,
    VolumeFrame,
)
from inference.volume_geometry import (
    Points,
    cluster_cosines,
    name_orientation,
    normal_of,
    positions_along,
    stacking_angle,
)
from inference.volume_planes import Plane
from inference.volume_stacks import (
    Placed,
    is_told_apart,
    order_of,
    place,
    split_stacks,
)

# Of the spacing; positions are often rounded to a tenth of a millimetre.
_SPACING_TOLERANCE = 0.05
_SPACING_TOLERANCE_MM = 0.1
# Part of all distances that the smallest one must make up to be the spacing.
_USUAL = 0.25
_TILT_DEGREES = 0.5

_Key = tuple[str, str, tuple[int, int], str]


def build_volumes(planes: Sequence[Plane]) -> tuple[Volume, ...]:
    """Make volumes of the planes of a study.

    Frames are of one volume that share Series, Frame of Reference, rows and
    columns, stack and orientation, and that no time, echo or diffusion weight tells
    apart where positions repeat.

    Returns:
        The volumes in the order of the first Instance Number of each.

    Source: PS3.3 C.7.6.2.1.1, C.7.6.16.2.2.
    """
    found: list[tuple[Plane, Volume]] = []
    groups: dict[_Key, list[Plane]] = defaultdict(list)
    for plane in sorted(planes, key=order_of):  # however the files were listed
        groups[_key(plane)].append(plane)
    for group in groups.values():
        located = [item for item in group if item.cosines and item.origin]
        rest = [item for item in group if not (item.cosines and item.origin)]
        found += _without_geometry(rest)
        clusters: dict[int, list[Plane]] = defaultdict(list)
        cosines = [item.cosines for item in located if item.cosines]
        for item, number in zip(located, cluster_cosines(cosines), strict=True):
            clusters[number].append(item)
        for cluster in clusters.values():
            found += _stacks(cluster)
    return tuple(volume for _, volume in sorted(found, key=lambda x: order_of(x[0])))


def _key(plane: Plane) -> _Key:
    return (
        str(plane.file.series_instance_uid),
        plane.frame_of_reference_uid,
        plane.size,
        plane.stack_id,
    )


def _without_geometry(planes: Sequence[Plane]) -> list[tuple[Plane, Volume]]:
    """Put frames that lie nowhere in the order of their numbers.

    A multi-frame image is a volume of its own, single frames are one together.
    """
    images: dict[int, list[Plane]] = defaultdict(list)
    for plane in planes:
        images[id(plane.file)].append(plane)
    singles = [members[0] for members in images.values() if len(members) == 1]
    stacks = [members for members in images.values() if len(members) > 1]
    if singles:
        stacks.append(singles)
    found = []
    for stack in stacks:
        ordered = sorted(stack, key=order_of)
        frames = tuple(
            VolumeFrame(file=item.file, frame_number=item.frame_number)
            for item in ordered
        )
        notes = ("no position in space: in the order of their numbers",)
        volume = Volume(frames=frames, notes=notes if len(frames) > 1 else ())
        found.append((ordered[0], volume))
    return found


def _stacks(planes: Sequence[Plane]) -> list[tuple[Plane, Volume]]:
    """Sort planes of one orientation and split those that repeat their positions."""
    cosines = planes[0].cosines
    if cosines is None:
        return []
    normal = normal_of(cosines)
    positions = positions_along(normal, _origins(planes)).tolist()
    found = []
    for stack, reason in split_stacks(place(planes, positions)):
        first = min((item.plane for item in stack), key=order_of)
        found.append((first, _measure(stack, normal, reason)))
    return found


def _origins(planes: Sequence[Plane]) -> Points:
    return np.array([plane.origin for plane in planes], dtype=np.float64)


def _measure(stack: Sequence[Placed], normal: Vector, reason: str) -> Volume:
    """Measure one stack and say what is wrong with it."""
    frames = tuple(
        VolumeFrame(
            file=item.plane.file,
            frame_number=item.plane.frame_number,
            position_mm=item.position_mm,
        )
        for item in stack
    )
    places = sorted({item.position_mm for item in stack})
    stated = stack[0].plane.stated_spacing_mm
    spacing = _spacing(places, stated)
    faults: list[Fault] = []
    if spacing is not None:
        faults += _gaps(places, spacing)
    faults += _duplicates(stack)
    faults += _tilt([item.plane for item in stack], normal, len(places))
    notes = []
    if reason:
        notes.append(f"stacks at one place told apart by {reason}")
    if spacing and stated and abs(spacing - stated) > _tolerance(stated):
        notes.append(
            f"measured {spacing:.2f} mm apart, Spacing Between Slices says {stated:.2f}"
        )
    return Volume(
        frames=frames,
        orientation=name_orientation(normal),
        normal=normal,
        spacing_mm=spacing,
        thickness_mm=stack[0].plane.thickness_mm,
        faults=tuple(faults),
        notes=tuple(notes),
    )


def _tolerance(spacing: float) -> float:
    """Return how far a distance may be off, in mm: rounding counts for thin slices."""
    return max(_SPACING_TOLERANCE * spacing, min(_SPACING_TOLERANCE_MM, spacing / 4))


def _spacing(places: Sequence[float], stated: float | None) -> float | None:
    """Measure the distance of neighbours, None below two positions.

    Where slices are missing it is the smallest distance, if that one is usual and
    the others are its multiples; else the one in the middle.
    """
    distances = [after - before for before, after in pairwise(places)]
    if not distances:
        return None
    smallest = min(distances)
    usual = [item for item in distances if item - smallest <= _tolerance(smallest)]
    unit = float(np.mean(usual))
    if stated and abs(unit - stated) <= _tolerance(stated):
        return unit
    multiples = all(
        abs(item - round(item / unit) * unit) <= _tolerance(unit) for item in distances
    )
    if multiples and len(usual) >= _USUAL * len(distances):
        return unit
    return float(median(distances))


def _gaps(places: Sequence[float], spacing: float) -> list[Fault]:
    """Find missing slices, and distances that are no multiple of the spacing."""
    gaps: list[Fault] = []
    distances = []
    for before, after in pairwise(places):
        steps = max(1, round((after - before) / spacing))
        distances.append((after - before) / steps)
        if steps > 1:
            missing = steps - 1
            gaps.append(Gap(after_mm=before, before_mm=after, missing=missing))
    if any(abs(item - spacing) > _tolerance(spacing) for item in distances):
        apart = [after - before for before, after in pairwise(places)]
        gaps.append(Uneven(smallest_mm=min(apart), largest_mm=max(apart)))
    return gaps


def _duplicates(stack: Sequence[Placed]) -> list[Fault]:
    """Find positions with several frames; a cine at a single one is no fault."""
    if stack[0].place == stack[-1].place and is_told_apart(stack):
        return []
    found: list[Fault] = []
    for _, members in groupby(stack, key=lambda item: item.place):
        same = list(members)
        if len(same) > 1:
            position = same[0].position_mm
            found.append(Duplicates(position_mm=position, frames=len(same)))
    return found


def _tilt(planes: Sequence[Plane], normal: Vector, places: int) -> list[Fault]:
    """Say by how much slices shift sideways from one to the next.

    Source: PS3.3 C.8.2.1 (Gantry/Detector Tilt: nominal, not for computing).
    """
    stated = planes[0].stated_tilt_degrees
    degrees = stacking_angle(normal, _origins(planes)) if places > 1 else 0.0
    if degrees < _TILT_DEGREES and abs(stated or 0.0) < _TILT_DEGREES:
        return []
    return [Tilt(degrees=degrees, stated_degrees=stated)]
