"""Volumes: order, spacing and faults of slices that are known by construction."""

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.volume import Duplicates, Gap, Tilt, Uneven, describe_faults
from tests.unit.inference.slices import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    numbers_of,
    positions_of,
    volumes_of,
    write_slice,
    write_stack,
)


def _turned(degrees: float) -> tuple[float, ...]:
    """Axial cosines turned about the patient's x axis."""
    angle = math.radians(degrees)
    return (1.0, 0.0, 0.0, 0.0, math.cos(angle), math.sin(angle))


def test_slices_stand_in_the_order_of_their_position_whatever_their_number(
    tmp_path: Path,
) -> None:
    heights = [30.0, 10.0, 40.0, 20.0, 0.0]
    files = write_stack(tmp_path, heights)
    random.Random(3).shuffle(files)
    (volume,) = volumes_of(files)
    assert positions_of(volume) == [0, 10, 20, 30, 40]
    assert numbers_of(volume) == [5, 2, 4, 1, 3]
    assert volume.spacing_mm == pytest.approx(10)
    assert volume.orientation == "axial"
    assert volume.faults == ()
    assert volume.notes == ()


@pytest.mark.parametrize(
    ("orientation", "name"),
    [
        (AXIAL, "axial"),
        (SAGITTAL, "sagittal"),
        (CORONAL, "coronal"),
        (tuple(-value for value in AXIAL), "axial"),
        (_turned(29.9), "axial"),
        (_turned(30.1), "oblique"),
        (_turned(45.0), "oblique"),
        (_turned(60.1), "coronal"),
    ],
)
def test_planes_are_named_by_the_axis_of_their_normal(
    tmp_path: Path, orientation: tuple[float, ...], name: str
) -> None:
    (volume,) = volumes_of(
        [write_slice(tmp_path, 1, (0, 0, 0), orientation=orientation)]
    )
    assert volume.orientation == name
    assert volume.spacing_mm is None


@pytest.mark.parametrize("seed", range(5))
def test_any_rotation_is_sorted_along_its_own_normal(tmp_path: Path, seed: int) -> None:
    chance = np.random.default_rng(seed)
    axes, _ = np.linalg.qr(chance.normal(size=(3, 3)))
    normal = np.cross(axes[0], axes[1])
    corner = chance.normal(size=3) * 200
    steps = chance.permutation(7)
    files = [
        write_slice(
            tmp_path, n + 1, corner + normal * 2.5 * step,
            orientation=(*axes[0], *axes[1]),
        )
        for n, step in enumerate(steps)
    ]  # fmt: skip
    (volume,) = volumes_of(files)
    assert numbers_of(volume) == [int(index) + 1 for index in np.argsort(steps)]
    assert volume.spacing_mm == pytest.approx(2.5, abs=1e-4)
    assert volume.faults == ()


def test_missing_slices_are_counted_where_they_are_missing(tmp_path: Path) -> None:
    heights = [n * 2.5 for n in range(20) if n not in (4, 11, 12)]
    (volume,) = volumes_of(write_stack(tmp_path, heights))
    assert volume.spacing_mm == pytest.approx(2.5)
    assert volume.faults == (
        Gap(after_mm=7.5, before_mm=12.5, missing=1),
        Gap(after_mm=25.0, before_mm=32.5, missing=2),
    )
    assert describe_faults(volume) == (
        "3 slices missing (1 between 7.50 and 12.50 mm, 2 between 25.00 and 32.50 mm)"
    )


def test_half_of_the_slices_may_be_missing(tmp_path: Path) -> None:
    kept = sorted(random.Random(5).sample(range(40), 20))
    (volume,) = volumes_of(write_stack(tmp_path, [n * 1.25 for n in kept]))
    missing = sum(gap.missing for gap in volume.faults if isinstance(gap, Gap))
    assert missing == kept[-1] - kept[0] + 1 - len(kept)


def test_positions_that_are_rounded_have_no_fault(tmp_path: Path) -> None:
    heights = [round(n * 0.625, 1) for n in range(30)]
    (volume,) = volumes_of(write_stack(tmp_path, heights))
    assert volume.faults == ()


def test_a_slice_out_of_step_makes_the_spacing_uneven(tmp_path: Path) -> None:
    (volume,) = volumes_of(write_stack(tmp_path, [0, 5, 10, 11, 15, 20, 25]))
    assert Uneven(smallest_mm=1, largest_mm=5) in volume.faults
    assert not [fault for fault in volume.faults if isinstance(fault, Gap)]


def test_two_images_at_one_position_are_duplicates(tmp_path: Path) -> None:
    files = write_stack(tmp_path, [0, 5, 10, 15])
    files += write_stack(tmp_path, [10.004], start=9)
    (volume,) = volumes_of(files)
    assert volume.faults == (Duplicates(position_mm=10, frames=2),)
    assert numbers_of(volume) == [1, 2, 3, 9, 4]
    assert [frame.position_mm for frame in volume.distinct] == [0, 5, 10, 15]
    assert volume.spacing_mm == pytest.approx(5)


def test_a_tilted_gantry_shows_as_the_angle_that_slices_shift_by(
    tmp_path: Path,
) -> None:
    # The couch moves along z, the slices are turned by 15 degrees.
    files = [
        write_slice(
            tmp_path, n + 1, (0, 0, 6 * n), orientation=_turned(15),
            GantryDetectorTilt=15,
        )
        for n in range(10)
    ]  # fmt: skip
    (volume,) = volumes_of(files)
    (tilt,) = volume.faults
    assert isinstance(tilt, Tilt)
    assert tilt.degrees == pytest.approx(15, abs=1e-3)
    assert tilt.stated_degrees == 15
    assert volume.spacing_mm == pytest.approx(6 * math.cos(math.radians(15)), abs=1e-4)
    assert "15.0 degrees off their normal" in describe_faults(volume)


def test_a_stated_tilt_is_reported_where_the_slices_do_not_shift(
    tmp_path: Path,
) -> None:
    (volume,) = volumes_of(write_stack(tmp_path, [0, 5, 10], GantryDetectorTilt=-12))
    assert volume.faults == (Tilt(degrees=0, stated_degrees=-12),)


def test_a_spacing_other_than_stated_is_noted(tmp_path: Path) -> None:
    files = write_stack(tmp_path, [0, 6, 12], SpacingBetweenSlices=3)
    (volume,) = volumes_of(files)
    assert volume.notes == ("measured 6.00 mm apart, Spacing Between Slices says 3.00",)


def test_the_stated_spacing_decides_where_most_slices_are_missing(
    tmp_path: Path,
) -> None:
    heights = [0, 3, 9, 15, 21, 27, 33]
    (volume,) = volumes_of(write_stack(tmp_path, heights, SpacingBetweenSlices=3))
    assert sum(gap.missing for gap in volume.faults if isinstance(gap, Gap)) == 5


def test_planes_of_another_orientation_are_another_volume(tmp_path: Path) -> None:
    files = write_stack(tmp_path, [0, 5, 10])
    files += [
        write_slice(tmp_path, 10 + n, (n * 4, 0, 0), orientation=SAGITTAL)
        for n in range(2)
    ]
    axial, sagittal = volumes_of(files)
    assert (axial.orientation, len(axial.frames)) == ("axial", 3)
    assert (sagittal.orientation, len(sagittal.frames)) == ("sagittal", 2)


@pytest.mark.parametrize(
    "attributes",
    [{"FrameOfReferenceUID": "2.25.77"}, {"Rows": 2, "Columns": 12}, {"StackID": "2"}],
)
def test_what_cannot_be_one_grid_is_not_one_volume(
    tmp_path: Path, attributes: dict[str, Any]
) -> None:
    files = write_stack(tmp_path, [0, 5, 10])
    files += write_stack(tmp_path, [15, 20], start=4, **attributes)
    assert [len(volume.frames) for volume in volumes_of(files)] == [3, 2]


@pytest.mark.parametrize(
    "orientation",
    [
        (0, 0, 0, 0, 0, 0),
        (1, 0, 0, 1, 0, 0),
        (2, 0, 0, 0, 1, 0),
    ],
)
def test_without_usable_geometry_the_instance_number_orders(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    files = [
        write_slice(tmp_path, number, (0, 0, -number), orientation=orientation)
        for number in (3, 1, 2)
    ]
    (volume,) = volumes_of(files)
    assert numbers_of(volume) == [1, 2, 3]
    assert volume.normal is None
    assert volume.notes == ("no position in space: in the order of their numbers",)


def test_the_order_of_the_files_changes_nothing(tmp_path: Path) -> None:
    files = write_stack(tmp_path, [0, 5, 10, 10, 20])
    expected = volumes_of(files)
    for seed in range(5):
        random.Random(seed).shuffle(files)
        assert volumes_of(files) == expected


def test_a_file_that_is_no_image_takes_no_volume_along(tmp_path: Path) -> None:
    files = write_stack(tmp_path, [0, 5, 10])
    files[1].path.write_bytes(b"rubbish")
    found = volumes_of(files)
    assert sorted(len(volume.frames) for volume in found) == [1, 2]
