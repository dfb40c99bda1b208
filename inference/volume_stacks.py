"""Tell stacks apart that lie at the same place: times, echoes, diffusion weights."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from inference.volume_planes import Plane

# Positions are text of up to 16 characters: what differs by less is one position.
SAME_POSITION_MM = 0.01
# An attribute that also changes along one stack (an acquisition per table stop)
# separates stacks only where at least this part of the frames repeats a position.
_REPEATED = 0.25
_SOFT = frozenset({"AcquisitionNumber", "Image Type"})

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Placed:
    """A plane and its place along the normal.

    Args:
        place: 0 for the lowest position, one more for each position above.
        position_mm: of the place.
    """

    plane: Plane
    place: int
    position_mm: float

    @property
    def order(self) -> tuple[int, int, str, int]:
        """What orders frames at one place: Instance Number, then UID and frame."""
        return order_of(self.plane)


def order_of(plane: Plane) -> tuple[int, int, str, int]:
    """Give the order of frames that geometry does not order."""
    header = plane.file.header
    known = header.instance_number
    uid = str(plane.file.sop_instance_uid)
    return (known is None, known or 0, uid, plane.frame_number)


def place(planes: Sequence[Plane], positions: Sequence[float]) -> list[Placed]:
    """Sort planes by position and number the places."""
    ordered = sorted(
        zip(positions, planes, strict=True),
        key=lambda item: (item[0], order_of(item[1])),
    )
    placed: list[Placed] = []
    for position, plane in ordered:
        if placed and position - placed[-1].position_mm <= SAME_POSITION_MM:
            number, position = placed[-1].place, placed[-1].position_mm
        else:
            number = placed[-1].place + 1 if placed else 0
        placed.append(Placed(plane, number, position))
    return sorted(placed, key=lambda item: (item.place, item.order))


def split_stacks(planes: Sequence[Placed]) -> list[tuple[list[Placed], str]]:
    """Split frames that repeat their positions into stacks.

    Returns:
        Each stack and what tells it apart, "" for nothing.
    """
    counts = Counter(item.place for item in planes)
    if max(counts.values()) == 1 or len(counts) == 1:
        return [(list(planes), "")]
    for name in _separators(planes):
        values = [dict(item.plane.separators).get(name) for item in planes]
        if _separates(name, values, planes):
            parts = _partition(planes, values)
            return [stack for part in parts for stack in _named(part, name)]
    return _split_by_order(planes, counts)


def is_told_apart(frames: Iterable[Placed]) -> bool:
    """Tell whether an attribute gives each of the frames at one place its own value."""
    planes = list(frames)
    for name in _separators(planes):
        values = {dict(item.plane.separators).get(name) for item in planes}
        if len(values) == len(planes) and None not in values:
            return True
    return False


def _named(part: Sequence[Placed], name: str) -> list[tuple[list[Placed], str]]:
    return [
        (stack, f"{name}, {reason}" if reason else name)
        for stack, reason in split_stacks(part)
    ]


def _separators(planes: Sequence[Placed]) -> list[str]:
    """Name all separators, the ones that decide first standing first."""
    names: dict[str, None] = {}
    for item in planes:
        names.update(dict.fromkeys(name for name, _ in item.plane.separators))
    # The soft ones stand last, whichever frame named them.
    return sorted(names, key=lambda name: name in _SOFT)


def _separates(name: str, values: Sequence[Hashable], planes: Sequence[Placed]) -> bool:
    """Tell whether splitting by these values takes repeated positions apart."""
    places = [item.place for item in planes]
    total, distinct = len(places), len(set(places))
    # A value per slice, such as a trigger time, is no number of a stack.
    if not 1 < len(set(values)) <= max(Counter(places).values()):
        return False
    left = total - len(set(zip(values, places, strict=True)))
    repeated = total - distinct
    if name in _SOFT and repeated < _REPEATED * total:
        return False
    return left < repeated


def _partition(items: Sequence[T], values: Sequence[Hashable]) -> list[list[T]]:
    """Group items by value, the groups in the order of their values."""
    groups: dict[Hashable, list[T]] = defaultdict(list)
    for item, value in zip(items, values, strict=True):
        groups[value].append(item)
    ordered = sorted(groups, key=lambda value: (value is None, _rank(value)))
    return [groups[value] for value in ordered]


def _rank(value: Hashable) -> tuple[int, float, str]:
    if isinstance(value, (int, float)):
        return 0, float(value), ""
    return 1, 0.0, str(value)


def _split_by_order(
    planes: Sequence[Placed], counts: Counter[int]
) -> list[tuple[list[Placed], str]]:
    """Take the n-th frame of each position as stack n, where that can be meant.

    All positions are there equally often, but for a last stack that was broken off.
    """
    low, high = min(counts.values()), max(counts.values())
    if low != high and not (low == high - 1 and high > 2):
        return [(list(planes), "")]
    stacks: list[list[Placed]] = [[] for _ in range(high)]
    seen: Counter[int] = Counter()
    for item in sorted(planes, key=lambda placed: placed.order):
        stacks[seen[item.place]].append(item)
        seen[item.place] += 1
    return [
        (sorted(stack, key=lambda item: item.place), "Instance Number alone")
        for stack in stacks
    ]
