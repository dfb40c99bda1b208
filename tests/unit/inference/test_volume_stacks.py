"""Stacks at one place: what tells times, echoes and weights apart."""

from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dicom_node.core.types import InputFile
from inference.volume import Duplicates
from tests.unit.inference.slices import (
    numbers_of,
    positions_of,
    volumes_of,
    write_enhanced,
    write_stack,
)

HEIGHTS = [0.0, 5.0, 10.0, 15.0]


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("EchoNumbers", (1, 2)),
        ("EchoTime", (4.6, 9.2)),
        ("TemporalPositionIdentifier", (1, 2, 3)),
        ("TriggerTime", (0, 40, 80)),
        ("FrameReferenceTime", (1000, 2000)),
        ("DiffusionBValue", (0.0, 1000.0)),
        ("ImageType", (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"])),
        ("AcquisitionNumber", (1, 2)),
    ],
)
def test_stacks_are_told_apart_by(
    tmp_path: Path, keyword: str, values: tuple[object, ...]
) -> None:
    files: list[InputFile] = []
    # Each position in turn: neither the order nor the number tells the stacks.
    for index, height in enumerate(HEIGHTS):
        for turn, value in enumerate(values):
            number = 1 + index * len(values) + turn
            named: dict[str, Any] = {keyword: value}
            files += write_stack(tmp_path, [height], start=number, **named)
    found = volumes_of(files)
    assert [positions_of(volume) for volume in found] == [HEIGHTS] * len(values)
    assert numbers_of(found[0]) == [1 + n * len(values) for n in range(len(HEIGHTS))]
    assert all(volume.faults == () for volume in found)


def test_echoes_of_each_time_are_stacks_of_their_own(tmp_path: Path) -> None:
    files: list[InputFile] = []
    for time in (1, 2, 3):
        for echo in (1, 2):
            files += write_stack(
                tmp_path, HEIGHTS, start=1 + len(files),
                TemporalPositionIdentifier=time, EchoNumbers=echo,
            )  # fmt: skip
    found = volumes_of(files)
    assert [len(volume.frames) for volume in found] == [4] * 6
    assert all(volume.faults == () for volume in found)


def test_a_trigger_time_of_each_slice_does_not_tear_a_stack_apart(
    tmp_path: Path,
) -> None:
    files: list[InputFile] = []
    for turn in range(2):
        for index, height in enumerate(HEIGHTS):
            files += write_stack(
                tmp_path, [height], start=1 + len(files),
                TriggerTime=100 * turn + index,
            )  # fmt: skip
    assert [numbers_of(volume) for volume in volumes_of(files)] == [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
    ]


def test_repeats_without_any_attribute_are_split_by_their_number(
    tmp_path: Path,
) -> None:
    files = write_stack(tmp_path, [*HEIGHTS, *HEIGHTS, *HEIGHTS[:3]])
    files += write_stack(tmp_path, [15.0, *HEIGHTS[:2]], start=12)
    found = volumes_of(files)
    assert [positions_of(volume) for volume in found] == [
        HEIGHTS, HEIGHTS, HEIGHTS, HEIGHTS[:2],
    ]  # fmt: skip
    assert found[0].notes == (
        "stacks at one place told apart by Instance Number alone",
    )


def test_two_acquisitions_that_meet_are_one_volume_with_a_duplicate(
    tmp_path: Path,
) -> None:
    heights = [float(n) for n in range(12)]
    files = write_stack(tmp_path, heights, AcquisitionNumber=1)
    more = [float(n) for n in range(11, 24)]
    files += write_stack(tmp_path, more, start=13, AcquisitionNumber=2)
    (volume,) = volumes_of(files)
    assert len(volume.frames) == 25
    assert volume.faults == (Duplicates(position_mm=11, frames=2),)


def test_a_cine_at_one_position_is_one_volume_without_fault(tmp_path: Path) -> None:
    files: list[InputFile] = []
    for turn in range(10):
        files += write_stack(tmp_path, [7.0], start=turn + 1, TriggerTime=turn * 30)
    (volume,) = volumes_of(files)
    assert numbers_of(volume) == list(range(1, 11))
    assert volume.faults == ()


def test_an_enhanced_image_is_sorted_like_its_slices(tmp_path: Path) -> None:
    file = write_enhanced(tmp_path, 1, [(0, 0, z) for z in (8, 0, 12, 4)])
    (volume,) = volumes_of([file])
    assert [frame.frame_number for frame in volume.frames] == [2, 4, 1, 3]
    assert volume.spacing_mm == pytest.approx(4)
    assert volume.thickness_mm == 3
    assert volume.orientation == "axial"
    assert not volume.faults
    assert not volume.notes


def test_frames_of_enhanced_images_are_told_apart_by_their_groups(
    tmp_path: Path,
) -> None:
    def describe(index: int, group: Dataset) -> None:
        content = Dataset()
        content.TemporalPositionIndex = 1 + index % 3
        content.StackID = "1"
        group.FrameContentSequence = [content]

    origins = [(0, 0, 4 * (index // 3)) for index in range(12)]
    file = write_enhanced(tmp_path, 1, origins, describe=describe)
    found = volumes_of([file])
    assert [[f.frame_number for f in volume.frames] for volume in found] == [
        [1, 4, 7, 10], [2, 5, 8, 11], [3, 6, 9, 12],
    ]  # fmt: skip


def test_diffusion_directions_are_stacks(tmp_path: Path) -> None:
    directions = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])

    def describe(index: int, group: Dataset) -> None:
        direction, diffusion = Dataset(), Dataset()
        direction.DiffusionGradientOrientation = directions[index % 2]
        diffusion.DiffusionBValue = 1000.0
        diffusion.DiffusionGradientDirectionSequence = [direction]
        group.MRDiffusionSequence = [diffusion]

    origins = [(0, 0, 4 * (index // 2)) for index in range(6)]
    file = write_enhanced(tmp_path, 1, origins, describe=describe)
    assert [len(volume.frames) for volume in volumes_of([file])] == [3, 3]


def test_a_missing_frame_of_an_enhanced_image_is_a_gap(tmp_path: Path) -> None:
    file = write_enhanced(tmp_path, 1, [(0, 0, z) for z in (0, 4, 8, 16, 20)])
    (volume,) = volumes_of([file])
    assert [fault.kind for fault in volume.faults] == ["gaps"]
