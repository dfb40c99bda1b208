"""A picture hangs as people read it, however it was stored."""

from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.core.types import ImageResult
from dicom_node.report.summary_image import Shown, Source, show
from dicom_node.report.summary_orientation import read_aspect
from tests.peers import shared_data
from tests.unit.report.examples import input_file, prediction_for
from tests.unit.report.pictures import UNGUARDED, Pixels, write_picture

# PS3.3 C.7.6.2.1.1: x grows to the left, y to the back, z to the head.
DIRECTIONS = {
    "L": (1, 0, 0),
    "R": (-1, 0, 0),
    "P": (0, 1, 0),
    "A": (0, -1, 0),
    "H": (0, 0, 1),
    "F": (0, 0, -1),
}
OPPOSITE = {"L": "R", "R": "L", "P": "A", "A": "P", "H": "F", "F": "H"}
# What is at the left and at the top of a picture as it is read.
PLANES = {"axial": ("R", "A"), "coronal": ("R", "H"), "sagittal": ("A", "H")}


def stored_ways(plane: str) -> list[tuple[str, str]]:
    """Name the eight ways to store a plane: direction of rows and of columns."""
    left, top = PLANES[plane]
    return [
        (
            OPPOSITE[one] if turn_one else one,
            OPPOSITE[other] if turn_other else other,
        )
        for one, other in permutations((left, top))
        for turn_one, turn_other in product((False, True), repeat=2)
    ]


def marked(rows_to: str, columns_to: str, corner: str) -> Pixels:
    """Make a picture that is bright in the corner of two directions only."""
    pixels = np.full((40, 60), 20, np.uint8)
    half_columns = slice(30, 60) if rows_to in corner else slice(0, 30)
    half_rows = slice(20, 40) if columns_to in corner else slice(0, 20)
    pixels[half_rows, half_columns] = 240
    return pixels


def shown(path: Path, pixels: Pixels, **attributes: object) -> Shown:
    """Show a picture with these attributes."""
    file = write_picture(path, pixels, **attributes)
    result = ImageResult(sop_instance_uid=file.sop_instance_uid)
    source = Source(result=result, file=file, frame=1, is_strongest=True)
    return show(source, prediction_for([file]), UNGUARDED)


def bright_corner(picture: Shown) -> tuple[bool, bool]:
    """Say whether the bright corner is at the left, and at the top."""
    values = np.asarray(picture.picture.convert("L"), np.float32)
    left, top = np.array_split(values, 2, axis=1)[0], np.array_split(values, 2)[0]
    return bool(left.mean() > values.mean()), bool(top.mean() > values.mean())


@pytest.mark.parametrize(
    ("plane", "rows_to", "columns_to"),
    [(plane, *way) for plane in PLANES for way in stored_ways(plane)],
)
def test_a_slice_hangs_alike_in_whatever_way_it_is_stored(
    tmp_path: Path, plane: str, rows_to: str, columns_to: str
) -> None:
    left, top = PLANES[plane]

    picture = shown(
        tmp_path / "slice.dcm",
        marked(rows_to, columns_to, left + top),
        Modality="CT",
        ImageOrientationPatient=[*DIRECTIONS[rows_to], *DIRECTIONS[columns_to]],
    )

    assert bright_corner(picture) == (True, True)
    assert picture.edges is not None
    assert (picture.edges.left, picture.edges.top) == (left, top)
    assert picture.edges.right == OPPOSITE[left]
    assert picture.edges.bottom == OPPOSITE[top]
    # 40 x 60 pixels: width and height change places with rows and columns.
    turned = rows_to not in (left, OPPOSITE[left])
    assert picture.aspect == pytest.approx(40 / 60 if turned else 60 / 40)


@pytest.mark.parametrize(("rows_to", "columns_to"), stored_ways("coronal"))
def test_a_frontal_radiograph_hangs_heads_up_with_the_right_on_the_left(
    tmp_path: Path, rows_to: str, columns_to: str
) -> None:
    picture = shown(
        tmp_path / "chest.dcm",
        marked(rows_to, columns_to, "RH"),
        Modality="DX",
        BodyPartExamined="CHEST",
        PatientOrientation=[rows_to, columns_to],
    )

    assert bright_corner(picture) == (True, True)


@pytest.mark.parametrize(("rows_to", "columns_to"), stored_ways("sagittal"))
def test_a_lateral_radiograph_hangs_heads_up_and_is_never_mirrored(
    tmp_path: Path, rows_to: str, columns_to: str
) -> None:
    picture = shown(
        tmp_path / "lateral.dcm",
        marked(rows_to, columns_to, "AH"),
        Modality="DX",
        BodyPartExamined="CHEST",
        PatientOrientation=[rows_to, columns_to],
    )

    before = np.cross(DIRECTIONS[rows_to], DIRECTIONS[columns_to])
    assert picture.edges is not None
    after = np.cross(DIRECTIONS[picture.edges.right], DIRECTIONS[picture.edges.bottom])
    assert picture.edges.top == "H"
    assert after.tolist() == before.tolist()


@pytest.mark.parametrize("part", ["HAND", "FOOT"])
def test_hands_and_feet_stay_as_they_are(tmp_path: Path, part: str) -> None:
    picture = shown(
        tmp_path / "hand.dcm",
        marked("R", "H", "RH"),
        Modality="DX",
        BodyPartExamined=part,
        PatientOrientation=["R", "H"],
    )

    assert picture.edges is not None
    assert (picture.edges.right, picture.edges.bottom) == ("R", "H")


# PS3.3 C.8.11.7 and the hanging that IHE Mammography Image asks for.
@pytest.mark.parametrize(
    ("side", "stored", "right", "top"),
    [
        ("R", ["P", "F"], "P", "H"),
        ("R", ["A", "F"], "P", "H"),
        ("L", ["P", "F"], "A", "H"),
        ("R", ["P", "L"], "P", "R"),
        ("L", ["P", "L"], "A", "L"),
        ("L", ["A", "R"], "A", "L"),
    ],
)
def test_breasts_hang_back_to_back(
    tmp_path: Path, side: str, stored: list[str], right: str, top: str
) -> None:
    picture = shown(
        tmp_path / "breast.dcm",
        marked(stored[0], stored[1], "AH"),
        Modality="MG",
        ImageLaterality=side,
        PatientOrientation=stored,
    )

    assert picture.edges is not None
    assert (picture.edges.right, picture.edges.top) == (right, top)
    assert picture.side == side


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
        {"PatientOrientation": ["L", "R"]},
        {"PatientOrientation": ["Q", "F"]},
        {"PatientOrientation": ["L"]},
        {"PatientOrientation": ["L", "F"], "AnatomicalOrientationType": "QUADRUPED"},
    ],
)
def test_a_picture_without_a_usable_orientation_stays_and_has_no_letters(
    tmp_path: Path, attributes: dict[str, object]
) -> None:
    pixels = marked("L", "F", "RH")

    picture = shown(tmp_path / "image.dcm", pixels, **attributes)

    assert picture.edges is None
    assert np.asarray(picture.picture.convert("L")).tolist() == pixels.tolist()


def test_an_oblique_slice_has_two_letters_at_its_edges(tmp_path: Path) -> None:
    picture = shown(
        tmp_path / "oblique.dcm",
        marked("L", "P", "RA"),
        Modality="MR",
        ImageOrientationPatient=[0.8, 0.6, 0, -0.6, 0.8, 0],
    )

    assert picture.edges is not None
    assert picture.edges.left == "RA"
    assert picture.edges.top == "AL"


# Row spacing comes first (PS3.3 10.7.1.3), as vertical does in Pixel Aspect Ratio.
@pytest.mark.parametrize(
    ("attributes", "ratio"),
    [
        ({"PixelSpacing": [0.5, 0.25]}, 2.0),
        ({"ImagerPixelSpacing": [0.1, 0.2]}, 0.5),
        ({"PixelAspectRatio": [4, 3]}, 4 / 3),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [1, 2]}, 0.5),
        ({"PixelSpacing": [1, 1000]}, 1 / 20),
        ({}, 1.0),
    ],
)
def test_pixels_keep_their_shape(
    tmp_path: Path, attributes: dict[str, object], ratio: float
) -> None:
    file = write_picture(tmp_path / "a.dcm", marked("L", "F", "RH"), **attributes)
    assert read_aspect(dcmread(file.path), frame_number=1) == pytest.approx(ratio)


def test_a_real_chest_lies_on_its_back_with_the_spine_below() -> None:
    path = sorted(shared_data("dicom", "ct_chest_30").glob("*.dcm"))[0]
    file = input_file(path)
    assert file is not None
    result = ImageResult(sop_instance_uid=file.sop_instance_uid)
    source = Source(result=result, file=file, frame=1, is_strongest=True)

    picture = show(source, prediction_for([file]), UNGUARDED)

    assert picture.edges is not None
    edges = picture.edges
    assert (edges.left, edges.right, edges.top, edges.bottom) == ("R", "L", "A", "P")
