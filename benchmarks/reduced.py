"""Decoding at reduced resolution: how much faster, and what it does to the scores."""

import re
import shutil
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.alone import Task
from benchmarks.contest import Contest, Lane, Wish, compete
from benchmarks.corpus import DX, Numbers
from benchmarks.models import SHIPPED
from benchmarks.pictures import HTJ2K, JPEG_2000, Coding, make_picture, save_picture
from benchmarks.radiographs import find_radiographs, read_input, write_radiograph
from dicom_node.core.errors import BundleError
from inference.api import InputSpec
from inference.card import load_card
from inference.pixels.raw import read_frame
from inference.pixels.read import open_image
from inference.vit.model import TimmModel

FULL: Final = "full"
REDUCED: Final = "reduced"
_FILES: Final = 2
_WANTED: Final = 20.0


def measure(task: Task) -> list[Contest]:
    """Compare on DX 2500x2048 with the shipped model's input size."""
    folder = Path(task.folder)
    full = load_card(SHIPPED).input
    contests = []
    for coding in (JPEG_2000, HTJ2K):
        contest = Contest(
            title=f"{DX.title} {coding.name}, {full.size[0]}x{full.size[1]} wanted, "
            f"{len(task.cores)} core",
            wishes=[Wish(of=REDUCED, against=FULL, at_least=_WANTED)],
        )
        contests.append(contest)
        try:
            reduced = load_card(write_opted_in(folder / coding.name)).input
        except BundleError:
            contest.missing(REDUCED, "not measured: no card can ask for it yet")
            continue
        paths = [
            save_picture(
                make_picture(DX, seed, Numbers()),
                folder / f"{coding.name}-{seed}.dcm",
                coding,
            )
            for seed in range(_FILES)
        ]
        lanes = {FULL: _decoding(paths, full), REDUCED: _decoding(paths, reduced)}
        compete(contest, lanes, task.plan)
        contest.remarks.append(_effect(task, coding, full, reduced))
    return contests


def write_opted_in(folder: Path) -> Path:
    """Copy the shipped bundle with reduced decoding switched on."""
    target = folder / SHIPPED.name
    target.mkdir(parents=True)
    card = (SHIPPED / "card.toml").read_text("utf-8")
    card = re.sub(r"(?m)^reduced_decode = .*\n", "", card)
    card = card.replace("[input]\n", "[input]\nreduced_decode = true\n")
    (target / "card.toml").write_text(card, "utf-8")
    shutil.copy(SHIPPED / "weights.safetensors", target)
    return target


def _decoding(paths: Sequence[Path], spec: InputSpec) -> Lane:
    turn = cycle([open_image(path) for path in paths])

    def once() -> int:
        read_frame(next(turn), 1, spec)
        return 1

    return once


def _effect(task: Task, coding: Coding, full: InputSpec, reduced: InputSpec) -> str:
    """Score real radiographs both ways and say how far the scores are apart."""
    radiographs = find_radiographs(task.data)
    if not radiographs:
        return "Effect on scores: not measured, --data names no radiographs."
    model = TimmModel(load_card(SHIPPED))
    model.load("cpu")
    differences = []
    for path in radiographs:
        file = write_radiograph(path, Path(task.folder) / "radiograph.dcm", coding)
        one, other = (model.predict(read_input(file, spec)) for spec in (full, reduced))
        differences.append(float(np.abs(one - other).max()))
    return (
        f"Effect on the shipped model's scores over {len(differences)} radiographs: "
        f"largest difference {max(differences):.4f}, mean {np.mean(differences):.4f}."
    )
