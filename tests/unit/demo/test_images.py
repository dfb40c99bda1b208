"""The radiographs that the demo writes."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.demo.images import Subject, make_chest
from tests.peers import run_tool

CHILD = Subject(key="test", number=9, age="004Y", birth_date="20211101")


@pytest.fixture
def chest(tmp_path: Path) -> Path:
    row = np.linspace(0, 4095, 64).astype(np.uint16)
    path = tmp_path / "chest.dcm"
    make_chest(np.tile(row, (48, 1)), CHILD).save_as(path, enforce_file_format=True)
    return path


def test_dciodvfy_has_nothing_to_say(chest: Path) -> None:
    done = run_tool("dciodvfy", "-new", chest)

    assert done.returncode == 0
    assert done.stdout.split() == ["DXImageForPresentation"]


def test_a_radiograph_says_that_it_is_synthetic_and_whom_it_would_show(
    chest: Path,
) -> None:
    dataset = dcmread(chest)

    assert str(dataset.PatientName).startswith("SYNTHETIC^")
    assert "SYNTHETIC" in dataset.SeriesDescription
    assert "Synthetic" in dataset.ImageComments
    assert (dataset.Modality, dataset.PatientAge) == ("DX", "004Y")
    assert (dataset.BodyPartExamined, dataset.ViewPosition) == ("CHEST", "PA")


def test_the_window_spans_all_stored_values(chest: Path) -> None:
    dataset = dcmread(chest)
    stored = dataset.pixel_array.astype(np.float64)

    # PS3.3 C.11.2.1.2.1, LINEAR, to the range 0..1
    center, width = float(dataset.WindowCenter), float(dataset.WindowWidth)
    shown = (stored - (center - 0.5)) / (width - 1) + 0.5

    assert np.allclose(shown, stored / 4095)
    assert shown.min() == 0
    assert shown.max() == 1


def test_the_same_subject_is_the_same_object_everywhere(chest: Path) -> None:
    again = make_chest(np.zeros((4, 4), np.uint16), CHILD)

    assert again.SOPInstanceUID == dcmread(chest).SOPInstanceUID
    assert len(str(again.SOPInstanceUID)) <= 64
