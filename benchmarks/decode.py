"""Decoding of compressed images beside pydicom with pylibjpeg, and how it scales."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.pixels.decoders.base import get_decoder

from benchmarks.alone import Task
from benchmarks.contest import OURS, Contest, Lane, Wish, compete
from benchmarks.corpus import CT, DX, Kind, Numbers
from benchmarks.pictures import (
    CODINGS,
    Coding,
    make_picture,
    save_picture,
    stored_values,
)
from benchmarks.processes import BenchmarkError
from benchmarks.workers import Decoders
from inference.pixels.decode import decode_frame
from inference.pixels.read import FrameSource, open_image

T = TypeVar("T")
PYLIBJPEG: Final = "pydicom + pylibjpeg"
ONE: Final = "1 process"
PROCESSES: Final = "2 processes"
THREADS: Final = "2 threads"
_FILES: Final = 2
_SHARE: Final = 4  # images of each worker in one turn
_WISHES: Final = {"JPEG lossless": 2.5, "JPEG-LS": 2.5, "HTJ2K": 2.0}
# Syntax -> the package that decodes it below pylibjpeg.
_PACKAGES: Final = {
    "RLE": "rle",
    "JPEG lossless": "libjpeg",
    "JPEG-LS": "libjpeg",
    "JPEG 2000": "openjpeg",
    "HTJ2K": "openjpeg",
}
_GPL: Final = (
    "pylibjpeg-libjpeg is under the GPL and no dependency of the node: "
    "`pip install pylibjpeg-libjpeg` to measure it"
)


def measure(task: Task) -> list[Contest]:
    """Compare every coding on CT and DX, one core."""
    return [_one(kind, coding, task) for kind in (CT, DX) for coding in CODINGS]


def measure_scaling(task: Task) -> list[Contest]:
    """Compare one process with two processes and two threads, two cores."""
    return [_scaling(CT, coding, task) for coding in CODINGS]


def _one(kind: Kind, coding: Coding, task: Task) -> Contest:
    paths = write_checked(kind, coding, Path(task.folder))
    contest = Contest(title=f"{kind.title} {coding.name}, {len(task.cores)} core")
    lanes: dict[str, Lane] = {OURS: _turns(_decode, [open_image(p) for p in paths])}
    if find_spec(_PACKAGES[coding.name]) is None:
        contest.missing(PYLIBJPEG, f"not measured: {_GPL}")
    else:
        lanes[PYLIBJPEG] = _turns(decode_with_pylibjpeg, [dcmread(p) for p in paths])
    if coding.name in _WISHES:
        contest.wishes = [
            Wish(of=OURS, against=PYLIBJPEG, at_least=_WISHES[coding.name])
        ]
    size = stored_values(make_picture(kind, 0, Numbers())).nbytes
    ratio = size / paths[0].stat().st_size
    contest.remarks = [f"Compressed {ratio:.1f} : 1; the header is parsed before."]
    return compete(contest, lanes, task.plan)


def _scaling(kind: Kind, coding: Coding, task: Task) -> Contest:
    paths = write_checked(kind, coding, Path(task.folder))
    contest = Contest(
        title=f"{kind.title} {coding.name}, {len(task.cores)} cores",
        wishes=[Wish(of=PROCESSES, against=ONE, at_least=1.7)],
        remarks=["Each process decodes on a core of its own."],
    )
    with Decoders(paths, task.cores) as workers, ThreadPoolExecutor(2) as threads:

        def in_threads() -> int:
            list(threads.map(_several, [paths] * 2))
            return 2 * _SHARE

        lanes = {
            ONE: lambda: workers.decode(_SHARE, processes=1),
            PROCESSES: lambda: workers.decode(_SHARE, processes=2),
            THREADS: in_threads,
        }
        return compete(contest, lanes, task.plan)


def write_checked(kind: Kind, coding: Coding, folder: Path) -> list[Path]:
    """Write compressed files and check that they decode to what they were made of.

    Raises:
        BenchmarkError: they do not.
    """
    numbers, paths = Numbers(), []
    for seed in range(_FILES):
        picture = make_picture(kind, seed, numbers)
        path = folder / f"{kind.name}-{coding.name.replace(' ', '-')}-{seed}.dcm"
        paths.append(save_picture(picture, path, coding))
        decoded = decode_frame(open_image(path), 0).values
        if not np.array_equal(decoded, stored_values(picture)):
            raise BenchmarkError(f"{coding.name} does not come back as it was")
    return paths


def decode_with_pylibjpeg(dataset: Dataset) -> int:
    """Decode the first frame with pydicom's plugin and no fallback."""
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    decoder.as_array(dataset, index=0, raw=True, decoding_plugin="pylibjpeg")
    return 1


def _decode(source: FrameSource) -> int:
    decode_frame(source, 0)
    return 1


def _several(paths: list[Path]) -> None:
    turn = cycle(paths)
    for _ in range(_SHARE):
        decode_frame(open_image(next(turn)), 0)


def _turns(work: Callable[[T], int], items: list[T]) -> Lane:
    turn = cycle(items)
    return lambda: work(next(turn))
