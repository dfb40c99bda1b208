"""Frames of enhanced images that no model may look at, by their own Frame Type."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from inference.api import Scope
from inference.select.choose import select
from tests.unit.inference.cards import make_card
from tests.unit.inference.slices import write_enhanced, write_slice

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


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("ORIGINAL/PRIMARY/LOCALIZER/NONE", "localizer"),
        ("DERIVED/SECONDARY/VOLUME/NONE", "SECONDARY"),
        ("DERIVED/PRIMARY/SCREEN SAVE/NONE", "screen save"),
    ],
)
def test_the_only_frame_of_an_enhanced_image_counts_though_the_image_says_nothing(
    tmp_path: Path, kind: str, said: str
) -> None:
    """PS3.3 C.8.16.1: Image Type of a single frame should be its Frame Type."""
    file = write_enhanced(tmp_path, 1, ORIGINS[:1], describe=_with_types(kind))
    (choice,) = select([file], make_card(Path("none"))).choices
    assert choice.frames == ()
    assert said in choice.skipped


@pytest.mark.parametrize(
    ("conversion", "frames"),
    [("WSD", ()), ("SD", ()), ("DRW", ()), ("SYN", ()), ("DF", (1,)), ("DI", (1,))],
)
def test_secondary_captures_that_a_card_names_are_no_pictures_of_a_screen(
    tmp_path: Path, conversion: str, frames: tuple[int, ...]
) -> None:
    capture = "1.2.840.10008.5.1.4.1.1.7"
    file = write_slice(
        tmp_path, 1, None, SOPClassUID=capture, ConversionType=conversion
    )
    scope = Scope(sop_class_uids=(capture,))
    (choice,) = select([file], make_card(Path("none"), scope=scope)).choices
    assert choice.frames == frames
    if not frames:
        assert choice.skipped.startswith("Conversion Type says")


def test_frames_made_after_the_examination_are_not_evaluated(tmp_path: Path) -> None:
    frames, reason = _choose(tmp_path, *3 * ["DERIVED/SECONDARY/VOLUME/NONE"])
    assert frames == ()
    assert reason == "Frame Type says SECONDARY, made after the examination"
