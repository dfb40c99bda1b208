"""File to 224x224 normalised tensor on one core, beside pydicom with PIL and torch."""

from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Final

from benchmarks.alone import Task
from benchmarks.contest import OURS, Contest, Lane, Wish, compete
from benchmarks.corpus import CT, DX, MR, Kind
from benchmarks.ours import prepare_image
from benchmarks.pictures import largest_difference, save_pictures
from benchmarks.processes import BenchmarkError
from benchmarks.with_pil import prepare_with_pil
from benchmarks.with_torch import prepare_with_torch
from inference.api import Image

WITH_PIL: Final = "pydicom + PIL"
WITH_TORCH: Final = "pydicom + torch"
# After normalising, which doubles [0, 1]: PIL resizes with other rounding.
TOLERANCE: Final = 1e-4
_FILES: Final = {"CT": 8, "MR": 8, "DX": 3}
_WISHES: Final = {
    "CT": ((WITH_PIL, 4.0), (WITH_TORCH, 2.0)),
    "DX": ((WITH_PIL, 6.0),),
}
_WAYS: Final[dict[str, Callable[[Path], Image]]] = {
    OURS: prepare_image,
    WITH_PIL: prepare_with_pil,
    WITH_TORCH: prepare_with_torch,
}


def measure(task: Task) -> list[Contest]:
    """Compare on raw CT, MR and DX; the files lie in the page cache."""
    return [_one(kind, task) for kind in (CT, MR, DX)]


def _one(kind: Kind, task: Task) -> Contest:
    paths = save_pictures(kind, Path(task.folder), number=_FILES[kind.name])
    worst = check_alike(paths)
    contest = Contest(
        title=f"{kind.title} raw, file to 224x224 tensor, {len(task.cores)} core",
        wishes=[
            Wish(of=OURS, against=name, at_least=least)
            for name, least in _WISHES.get(kind.name, ())
        ],
        remarks=[
            f"Largest difference between the tensors of the three: {worst:.1e} "
            f"(at most {TOLERANCE:g} is accepted)."
        ],
    )
    lanes = {name: _lane(way, paths) for name, way in _WAYS.items()}
    return compete(contest, lanes, task.plan)


def check_alike(paths: list[Path]) -> float:
    """Return the largest difference between the ways' tensors.

    Raises:
        BenchmarkError: it is too large: they do not do the same.
    """
    worst = 0.0
    for path in paths:
        ours = prepare_image(path)
        others = [prepare_with_pil(path), prepare_with_torch(path)]
        worst = max(worst, largest_difference(ours, others))
    if not worst <= TOLERANCE:
        raise BenchmarkError(f"the tensors differ by {worst:.1e}: not the same work")
    return worst


def _lane(way: Callable[[Path], Image], paths: list[Path]) -> Lane:
    turn = cycle(paths)

    def once() -> int:
        way(next(turn))
        return 1

    return once
