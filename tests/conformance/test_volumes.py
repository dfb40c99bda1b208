"""Real series as volumes, against highdicom's sorting and spacing."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from highdicom import get_volume_from_series, imread
from highdicom.spatial import get_series_volume_positions
from pydicom import Dataset, dcmread

from dicom_node.core.types import InputFile
from dicom_node.receive.foreign import read_instance
from dicom_node.receive.limits import ScanLimits
from inference.volume import Volume
from inference.volume_build import build_volumes
from inference.volume_planes import read_planes
from tests.conformance.pixel_files import DICOM, MISSING

pytestmark = pytest.mark.skipif(not DICOM.is_dir(), reason=MISSING)


def _input(path: Path) -> InputFile:
    found = read_instance(path, ScanLimits())
    return InputFile(
        sop_instance_uid=found.sop_instance_uid,
        sop_class_uid=found.sop_class_uid,
        series_instance_uid=found.series_instance_uid,
        path=path,
        header=found.header,
    )


def _volumes(paths: Sequence[Path]) -> tuple[Volume, ...]:
    shuffled = list(paths)
    random.Random(11).shuffle(shuffled)
    planes = [plane for path in shuffled for plane in read_planes(_input(path))]
    return build_volumes(planes)


def _headers(volume: Volume) -> list[Dataset]:
    return [
        dcmread(frame.file.path, stop_before_pixels=True) for frame in volume.frames
    ]


def _check_against_highdicom(volume: Volume) -> None:
    """Compare order and spacing; highdicom may count from the other end."""
    spacing, indices = get_series_volume_positions(_headers(volume))
    assert spacing == pytest.approx(volume.spacing_mm, rel=1e-4)
    assert indices is not None
    rising = list(range(len(volume.frames)))
    assert list(indices) in (rising, rising[::-1])


@pytest.mark.parametrize(
    ("folder", "plane", "slices"),
    [("ct_chest_30", "axial", 30), ("mr_sag_35", "sagittal", 35)],
)
def test_a_series_is_one_volume_in_the_order_of_highdicom(
    folder: str, plane: str, slices: int
) -> None:
    (volume,) = _volumes(sorted((DICOM / folder).glob("*.dcm")))
    assert (volume.orientation, len(volume.frames)) == (plane, slices)
    assert not volume.faults
    assert not volume.notes
    _check_against_highdicom(volume)


def test_ten_times_of_an_fmri_series_are_ten_volumes() -> None:
    # NumberOfTemporalPositions says ten; only Instance Number tells them apart.
    found = _volumes(sorted((DICOM / "mr_epi_150").glob("*.dcm")))
    assert [len(volume.frames) for volume in found] == [15] * 10
    for time, volume in enumerate(found):
        _check_against_highdicom(volume)
        numbers = {frame.file.header.instance_number for frame in volume.frames}
        assert numbers == set(range(1 + 15 * time, 16 + 15 * time))


def test_a_missing_and_a_repeated_slice_are_found_where_they_are() -> None:
    paths = sorted((DICOM / "ct_chest_30").glob("*.dcm"))
    whole = _volumes(paths)[0]
    (volume,) = _volumes(
        [
            frame.file.path
            for place, frame in enumerate(whole.frames)
            if place not in (3, 10, 11)
        ]
    )
    assert [fault.kind for fault in volume.faults] == ["gaps", "gaps"]
    spacing, _ = get_series_volume_positions(
        _headers(volume), allow_missing_positions=True
    )
    assert volume.spacing_mm == pytest.approx(spacing)
    (doubled,) = _volumes([*paths, paths[7]])
    (fault,) = doubled.faults
    assert fault.kind == "duplicates"


def test_an_enhanced_ct_lies_where_highdicom_puts_it() -> None:
    path = DICOM / "enhanced" / "eCT_Supplemental.dcm"
    (volume,) = _volumes([path])
    theirs = imread(path).get_volume_geometry()
    assert theirs is not None
    assert volume.spacing_mm == pytest.approx(theirs.spacing[0])
    assert volume.normal is not None
    along = np.abs(np.array(theirs.unit_vectors()[0]) @ np.array(volume.normal))
    assert along == pytest.approx(1.0)
    assert volume.orientation == "axial"


def test_the_order_gives_the_voxels_of_highdicom_s_volume() -> None:
    paths = sorted((DICOM / "ct_chest_30").glob("*.dcm"))
    (volume,) = _volumes(paths)
    ours = np.stack([dcmread(frame.file.path).pixel_array for frame in volume.frames])
    theirs = get_volume_from_series(
        [dcmread(path) for path in paths], apply_modality_transform=False
    ).array
    same = np.array_equal(ours, theirs) or np.array_equal(ours[::-1], theirs)
    assert same
