"""Frames of enhanced images that no model may look at, by their own Frame Type."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset

from inference.select.choose import select
from tests.unit.inference.cards import make_card
from tests.unit.inference.slices import write_enhanced

ORIGINS = [(0.0, 0.0, 4.0 * n) for n in range(3)]


def _with_types(*types: str) -> Callable[[int, Dataset], None]:
    def describe(index: int, group: Dataset) -> None:
        item = Dataset()
        item.FrameType = types[index].split("/")
        group.MRImageFrameTypeSequence = [item]

    return describe


def _choose(folder: Path, *types: str) -> tuple[tuple[int, ...], str]:
    file = write_enhanced(folder, 1, ORIGINS, describe=_with_types(*types))
    header = replace(file.header, image_type=("ORIGINAL", "PRIMARY", "MIXED", "NONE"))
    (choice,) = select([replace(file, header=header)], make_card(Path("none"))).choices
    return choice.frames, choice.skipped


def test_localizer_frames_are_left_out_of_a_mixed_image(tmp_path: Path) -> None:
    volume = "ORIGINAL/PRIMARY/VOLUME/NONE"
    frames, _ = _choose(tmp_path, "ORIGINAL/PRIMARY/LOCALIZER/NONE", volume, volume)
    assert frames == (2, 3)


def test_an_image_of_localizer_frames_alone_is_not_evaluated(tmp_path: Path) -> None:
    frames, reason = _choose(tmp_path, *3 * ["ORIGINAL/PRIMARY/LOCALIZER/NONE"])
    assert frames == ()
    assert reason == "Frame Type says that it is a localizer"


def test_frames_made_after_the_examination_are_not_evaluated(tmp_path: Path) -> None:
    frames, reason = _choose(tmp_path, *3 * ["DERIVED/SECONDARY/VOLUME/NONE"])
    assert frames == ()
    assert reason == "Frame Type says SECONDARY, made after the examination"
