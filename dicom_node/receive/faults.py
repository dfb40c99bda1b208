"""Named points of the data path where a test may kill the receiver."""

import os
import signal
from typing import Final

POINTS: Final = frozenset(
    {
        "after-recv",
        "after-write",
        "after-fsync",
        "after-rename",
        "before-commit",
        "after-commit",
        "before-response",
    }
)

_left: dict[str, int] = {}


def arm(fault: str) -> None:
    """Kill this process the n-th time a point is passed; "point:n".

    Raises:
        ValueError: there is no such point.
    """
    point, _, count = fault.partition(":")
    if point not in POINTS:
        raise ValueError(f"there is no point '{point}': {', '.join(sorted(POINTS))}")
    _left[point] = int(count or 1)


def pass_point(point: str) -> None:
    """Do nothing, unless a test armed this point."""
    if not _left or point not in _left:
        return
    _left[point] -= 1
    if not _left[point]:
        os.kill(os.getpid(), signal.SIGKILL)
