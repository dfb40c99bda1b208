"""Selection: which series and frames of a study go to a model, and why not others."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dicom_node.core.types import InputFile
from inference.api import ModelCard, Scope
from inference.pixels.frames import open_image
from inference.select.choose import Selection, select
from inference.select.spec import SelectionSpec
from tests.unit.inference.cards import make_card
from tests.unit.inference.slices import (
    SAGITTAL,
    write_enhanced,
    write_slice,
    write_stack,
)
from tests.unit.inference.studies import make_file, write_image


def _card(max_frames: int = 8, **selection: Any) -> ModelCard:
    spec = SelectionSpec(**selection)
    return make_card(Path("none"), selection=spec, max_frames=max_frames)


def _taken(found: Selection) -> list[int | None]:
    """Give the Instance Numbers of the files that were chosen, in order."""
    return [
        choice.file.header.instance_number for choice in found.choices if choice.frames
    ]


def _reasons(found: Selection) -> set[str]:
    return {choice.skipped for choice in found.choices if choice.skipped}


def _study(folder: Path) -> list[InputFile]:
    """Give a study of three series: 20 thin slices, 8 thick ones, 5 sagittal ones."""
    thin = write_stack(
        folder, [float(n) for n in range(20)], series="2.25.11", SliceThickness=1,
        SeriesNumber=3, SeriesDescription="Thorax 1.0 [lung]",
    )  # fmt: skip
    thick = write_stack(
        folder, [5.0 * n for n in range(8)], series="2.25.12", SliceThickness="5.0",
        SeriesNumber=2, SeriesDescription="Thorax  5.0", start=100,
    )  # fmt: skip
    sagittal = [
        write_slice(
            folder, 200 + n, (3.0 * n, 0, 0), orientation=SAGITTAL, series="2.25.10",
            SeriesNumber=5, SeriesDescription="MPR sag",
        )
        for n in range(5)
    ]  # fmt: skip
    return [*thin, *thick, *sagittal]


THIN, THICK, SAG = list(range(1, 21)), list(range(100, 108)), list(range(200, 205))


def test_without_conditions_all_images_are_chosen(tmp_path: Path) -> None:
    files = _study(tmp_path)
    found = select(files, _card())
    assert [choice.file for choice in found.choices] == files
    assert _taken(found) == [*THIN, *THICK, *SAG]
    assert all(choice.frames == (1,) for choice in found.choices)


@pytest.mark.parametrize(
    ("selection", "expected", "reason"),
    [
        ({"orientations": ("sagittal",)}, SAG, "the plane is axial, not sagittal"),
        (
            {"max_slice_thickness_mm": 2.5},
            THIN,
            "Slice Thickness is above 2.5 mm",
        ),
        ({"min_slice_thickness_mm": 5.0}, THICK, "Slice Thickness is below 5 mm"),
        (
            {"min_number_of_frames": 6},
            [*THIN, *THICK],
            "the series has fewer than 6 such images",
        ),
        (
            {"max_number_of_frames": 8},
            [*THICK, *SAG],
            "the series has more than 8 such images",
        ),
        (
            {"series_descriptions": ("*thorax*[lung]*",)},
            THIN,
            "Series Description is not one that the model takes",
        ),
        (
            {"exclude_series_descriptions": ("mpr*", "thorax 5.?")},
            THIN,
            "Series Description is one that the model leaves out",
        ),
        ({"series": "first"}, THICK, "the model takes the first series that fits"),
        ({"series": "largest"}, THIN, "the model takes the largest series that fits"),
        (
            {"frames": "middle"},
            [11, 104, 202],
            "of the images the model takes the middle of each volume",
        ),
        (
            {"frames": "first", "series": "first"},
            [100],
            "of the images the model takes the first of each volume",
        ),
        (
            {"frames": "every_nth", "nth": 10, "series": "largest"},
            [1, 11],
            "of the images the model takes every 10th of each volume",
        ),
        (
            {"max_images": 3, "series": "first"},
            [101, 104, 106],
            "the model takes at most 3 images",
        ),
        ({"modalities": ("MR", "PT")}, [], "Modality is not MR or PT"),
        ({"body_parts": ("CHEST",)}, [], "Body Part Examined is missing, not CHEST"),
        ({"view_positions": ("PA",)}, [], "View Position is missing, not PA"),
        ({"image_types": ("axial", "MIP")}, [], "Image Type lacks MIP"),
        ({"exclude_image_types": ("Axial",)}, [], "Image Type has AXIAL"),
    ],
)
def test_a_condition_chooses_and_says_why_not_the_rest(
    tmp_path: Path, selection: dict[str, Any], expected: list[int], reason: str
) -> None:
    files = _study(tmp_path)
    found = select(files, _card(**selection))
    assert _taken(found) == expected
    assert f"not selected: {reason}" in _reasons(found)
    assert all(bool(choice.frames) != bool(choice.skipped) for choice in found.choices)
    random.Random(1).shuffle(files)
    again = select(files, _card(**selection))
    assert sorted(map(repr, again.choices)) == sorted(map(repr, found.choices))
    assert again.parameters == found.parameters


def test_slices_are_counted_in_space_and_not_by_their_number(tmp_path: Path) -> None:
    heights = [9.0, 0.0, 8.0, 1.0, 7.0, 2.0, 6.0, 3.0, 5.0, 4.0]
    files = write_stack(tmp_path, heights)
    found = select(files, _card(frames="every_nth", nth=4))
    assert [heights[number - 1] for number in _taken(found) if number] == [0, 8, 4]


def test_a_repeated_position_counts_once(tmp_path: Path) -> None:
    files = write_stack(tmp_path, [0, 1, 1, 2, 3, 4])
    found = select(files, _card(frames="every_nth", nth=2))
    assert _taken(found) == [1, 4, 6]


def test_ties_go_to_the_lower_series_instance_uid(tmp_path: Path) -> None:
    files = write_stack(tmp_path, [0, 1], series="2.25.6")
    files += write_stack(tmp_path, [0, 1], series="2.25.5", start=3)
    for mode in ("first", "largest"):
        assert _taken(select(files, _card(series=mode))) == [3, 4]


def test_frames_of_an_image_are_spread_along_its_volume(tmp_path: Path) -> None:
    # Frame 1 lies highest: evenly spread in space is from 12 downward.
    file = write_enhanced(tmp_path, 1, [(0, 0, 4 * (12 - n)) for n in range(12)])
    (choice,) = select([file], _card(max_frames=3)).choices
    assert choice.frames == (2, 6, 10)
    (choice,) = select([file], _card(max_frames=3, frames="all")).choices
    assert choice.frames == tuple(range(1, 13))
    (choice,) = select([file], _card(frames="every_nth", nth=5)).choices
    assert choice.frames == (2, 7, 12)
    (choice,) = select([file], _card(frames="every_nth", nth=1, max_images=2)).choices
    assert len(choice.frames) == 2


def test_frames_without_a_place_are_counted_by_their_number(tmp_path: Path) -> None:
    file = write_image(tmp_path, 1, frames=9)
    (choice,) = select([file], _card(frames="middle")).choices
    assert choice.frames == (5,)
    (choice,) = select([file], _card(frames="first")).choices
    assert choice.frames == (1,)


@pytest.mark.parametrize(
    ("fault", "heights", "tilt"),
    [
        ("gaps", [0, 1, 2, 4, 5], 0),
        ("duplicates", [0, 1, 2, 2, 3], 0),
        ("uneven", [0, 5, 10, 11, 15, 20, 25], 0),
        ("tilt", [0, 1, 2], 10),
    ],
)
def test_a_volume_with_a_fault_can_be_refused(
    tmp_path: Path, fault: str, heights: list[float], tilt: int
) -> None:
    files = write_stack(tmp_path, heights, GantryDetectorTilt=tilt)
    others = tuple({"gaps", "duplicates", "uneven", "tilt"} - {fault})
    assert len(_taken(select(files, _card(refuse_faults=others)))) == len(heights)
    refused = select(files, _card(refuse_faults=(fault,)))
    assert _taken(refused) == []
    assert "volume faults" in dict(select(files, _card()).parameters)


def test_contrast_counts_only_where_an_attribute_says_so(tmp_path: Path) -> None:
    files = write_stack(tmp_path, [0, 1], ContrastBolusAgent="OMNIPAQUE")
    files += write_stack(tmp_path, [2], start=3, ContrastBolusAgent="None")
    files += write_stack(tmp_path, [3], start=4)
    assert _taken(select(files, _card(contrast=True))) == [1, 2]
    assert _taken(select(files, _card(contrast=False))) == [3, 4]


def test_the_scope_comes_first_and_keeps_its_words(tmp_path: Path) -> None:
    files = [*write_stack(tmp_path, [0, 1]), make_file(9, has_pixels=False)]
    card = replace(_card(), scope=Scope(modalities=("MR",)))
    found = select(files, card)
    assert [choice.skipped for choice in found.choices] == [
        "Modality is CT; the model covers MR",
        "Modality is CT; the model covers MR",
        "there is no pixel data",
    ]
    assert found.parameters == ()


@pytest.mark.parametrize("frames", ["all", "middle", "every_nth"])
def test_an_unreadable_image_is_left_to_its_evaluation(
    tmp_path: Path, frames: str
) -> None:
    files = write_stack(tmp_path, [float(n) for n in range(5)])
    files[3].path.write_bytes(b"rubbish")
    nth = 2 if frames == "every_nth" else None
    found = select(files, _card(frames=frames, nth=nth, orientations=("axial",)))
    assert 4 in _taken(found)


def test_single_images_are_not_even_opened(tmp_path: Path) -> None:
    file = replace(make_file(1), path=tmp_path / "none.dcm")
    (choice,) = select([file], _card(body_parts=("CHEST",))).choices
    assert choice.frames == (1,)


def test_the_record_names_series_frames_and_faults(tmp_path: Path) -> None:
    files = write_stack(
        tmp_path, [0, 2, 4, 8], SeriesNumber=7, SeriesDescription="DOE^JANE"
    )
    found = select(files, _card(frames="every_nth", nth=2))
    assert found.parameters == (
        ("selected", "series 7 (CT), 2 of 4 images"),
        ("frames", "every 2nd of each volume: 2 of 4"),
        ("volumes", "series 7 (CT): axial, 4 images, 2.00 mm apart"),
        (
            "volume faults",
            "series 7 (CT): 1 slice missing (1 between 4.00 and 8.00 mm)",
        ),
    )
    assert "DOE" not in repr([choice.skipped for choice in found.choices])


def test_each_series_has_its_verdict(tmp_path: Path) -> None:
    files = _study(tmp_path)
    found = select(files, _card(orientations=("axial",), series="largest"))
    thick, thin, sagittal = found.series
    assert (thick.series_number, thick.chosen, thick.images) == (2, 0, 8)
    assert thick.reasons == (
        ("not selected: the model takes the largest series that fits", 8),
    )
    assert (thin.chosen, thin.reasons) == (20, ())
    assert sagittal.reasons == (("not selected: the plane is sagittal, not axial", 5),)
    assert [volume.orientation for volume in sagittal.volumes] == ["sagittal"]


def test_opening_an_image_for_its_pixels_tells_where_it_lies(tmp_path: Path) -> None:
    files = write_stack(tmp_path, [0, 2, 6])
    found = select(files, _card())
    for choice in found.choices:
        choice.opened(open_image(choice.file.path))
        choice.file.path.unlink()  # what is asked for from here on is known
    assert dict(found.parameters)["volume faults"] == (
        "series without number (CT): 1 slice missing (1 between 2.00 and 6.00 mm)"
    )


def test_what_nobody_opened_is_read_when_the_record_is_asked_for(
    tmp_path: Path,
) -> None:
    files = write_stack(tmp_path, [0, 2, 4])
    files[2].path.write_bytes(b"rubbish")
    found = select(files, _card())
    assert dict(found.parameters)["volumes"] == (
        "series without number (CT): axial, 2 images, 2.00 mm apart"
    )
