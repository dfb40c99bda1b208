"""Key frames: what a Key Object Selection of the study names, and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.sr import CodedConcept
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, generate_uid

from dicom_node.core.ids import SOPClassUID
from dicom_node.core.types import InputFile
from inference.select.choose import select
from inference.select.key_objects import KEY_OBJECT_SELECTION, read_key_frames
from inference.select.spec import SelectionSpec
from tests.unit.inference.cards import make_card
from tests.unit.inference.slices import write_enhanced, write_stack
from tests.unit.inference.studies import make_file

OF_INTEREST = ("113000", "Of Interest")
REJECTED = ("113001", "Rejected for Quality Reasons")
MANIFEST = ("113030", "Manifest")
CARD = make_card(
    Path("none"), selection=SelectionSpec(frames="key"), max_frames=2, batch_size=1
)


def _image(file: InputFile) -> Dataset:
    """Read an image and complete it so far that highdicom may refer to it."""
    dataset = dcmread(file.path)
    for keyword in (
        "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID",
        "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName",
    ):  # fmt: skip
        setattr(dataset, keyword, "")
    return dataset


def _write_keys(
    folder: Path, files: list[InputFile], *, title: tuple[str, str] = OF_INTEREST
) -> InputFile:
    images = [_image(file) for file in files]
    code = CodedConcept(value=title[0], scheme_designator="DCM", meaning=title[1])
    document = KeyObjectSelectionDocument(
        evidence=images,
        content=KeyObjectSelection(document_title=code, referenced_objects=images),
        series_instance_uid=generate_uid(),
        series_number=90,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="Test",
        institution_name="Test",
        institutional_department_name="Test",
    )
    path = folder / f"key-{title[0]}-{len(files)}.dcm"
    document.save_as(path, enforce_file_format=True)
    file = make_file(9000, has_pixels=False, modality="KO")
    return replace(file, path=path, sop_class_uid=SOPClassUID(KEY_OBJECT_SELECTION))


def _name_frames(key: InputFile, *numbers: int) -> None:
    """Let the first reference of a Key Object Selection name frames alone."""
    dataset = dcmread(key.path)
    for item in dataset.ContentSequence:
        if item.ValueType == "IMAGE":
            item.ReferencedSOPSequence[0].ReferencedFrameNumber = list(numbers)
            break
    dataset.save_as(key.path)


def test_the_images_that_are_named_are_chosen(tmp_path: Path) -> None:
    files = write_stack(tmp_path, [0, 1, 2, 3])
    key = _write_keys(tmp_path, [files[1], files[3]])
    found = select([*files, key], CARD)
    assert [choice.frames for choice in found.choices] == [(), (1,), (), (1,), ()]
    assert found.choices[0].skipped == (
        "not selected: no Key Object Selection names it"
    )


def test_frames_that_are_named_are_all_chosen(tmp_path: Path) -> None:
    file = write_enhanced(tmp_path, 1, [(0, 0, 4 * n) for n in range(9)])
    key = _write_keys(tmp_path, [file])
    assert select([file, key], CARD).choices[0].frames == (3, 7)  # max_frames
    _name_frames(key, 2, 5, 9)
    assert select([file, key], CARD).choices[0].frames == (2, 5, 9)


def test_a_study_without_keys_is_not_evaluated_and_says_so(tmp_path: Path) -> None:
    files = write_stack(tmp_path, [0, 1])
    found = select(files, CARD)
    assert {choice.skipped for choice in found.choices} == {
        "not selected: no Key Object Selection of the study names an image"
    }


@pytest.mark.parametrize("title", [REJECTED, MANIFEST])
def test_a_rejection_and_a_manifest_name_no_keys(
    tmp_path: Path, title: tuple[str, str]
) -> None:
    files = write_stack(tmp_path, [0, 1])
    key = _write_keys(tmp_path, files, title=title)
    assert read_key_frames([*files, key]) == {}


def test_two_selections_are_taken_together(tmp_path: Path) -> None:
    files = write_stack(tmp_path, [0, 1, 2])
    keys = [
        _write_keys(tmp_path, files[:1]),
        _write_keys(tmp_path, files[:2], title=("113013", "Best In Set")),
    ]
    found = select([*keys, *files], CARD)
    assert [bool(choice.frames) for choice in found.choices[2:]] == [True, True, False]


def test_a_broken_selection_names_nothing(tmp_path: Path) -> None:
    files = write_stack(tmp_path, [0])
    key = _write_keys(tmp_path, files)
    content = key.path.read_bytes()
    key.path.write_bytes(content[:400])
    assert read_key_frames([key]) == {}
    key.path.write_bytes(b"rubbish")
    assert read_key_frames([key]) == {}
    key.path.unlink()
    assert read_key_frames([key]) == {}


def test_a_deflated_selection_is_not_inflated(tmp_path: Path) -> None:
    files = write_stack(tmp_path, [0])
    key = _write_keys(tmp_path, files)
    dataset = dcmread(key.path)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(key.path)
    assert read_key_frames([key]) == {}
