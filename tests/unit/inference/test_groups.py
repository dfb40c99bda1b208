"""Findings by side and view, from what the headers say."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.core.types import Finding, ImageResult, InputFile
from inference.api import Image, ModelCard
from inference.custom import CardModel
from inference.groups import conclude_groups
from inference.views import read_shown
from tests.unit.inference.cards import PNEUMONIA, make_card
from tests.unit.inference.studies import write_image


class _Model(CardModel):
    """Concludes; never runs."""

    def load(self, device: str) -> None:
        raise NotImplementedError

    def predict(self, batch: Image) -> Image:
        raise NotImplementedError


def _image(folder: Path, number: int, **attributes: object) -> InputFile:
    file = write_image(folder, number)
    dataset = dcmread(file.path)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(file.path)
    return file


def _code(value: str, scheme: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, scheme
    item.CodeMeaning = "Doe^Jane"
    return item


def _anatomy(*sides: str) -> list[Dataset]:
    groups = []
    for side in sides:
        anatomy, group = Dataset(), Dataset()
        anatomy.FrameLaterality = side
        group.FrameAnatomySequence = [anatomy]
        groups.append(group)
    return groups


def _conclude(
    card: ModelCard, files: list[InputFile], scores: list[float]
) -> tuple[Finding, ...]:
    images = [
        ImageResult(sop_instance_uid=file.sop_instance_uid, frames=(1,), scores=(one,))
        for file, one in zip(files, scores, strict=True)
    ]
    return conclude_groups(_Model(card), images, files)


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ({"ImageLaterality": "R"}, "24028007"),
        ({"ImageLaterality": "L", "Laterality": "R"}, "7771000"),
        ({"Laterality": "L"}, "7771000"),
        ({"ImageLaterality": "B"}, "51440002"),
        ({"PerFrameFunctionalGroupsSequence": _anatomy("L", "L")}, "7771000"),
        ({"SharedFunctionalGroupsSequence": _anatomy("R")}, "24028007"),
        ({"PerFrameFunctionalGroupsSequence": _anatomy("L", "R")}, None),
        ({"ImageLaterality": "U"}, None),
        ({"ImageLaterality": "X"}, None),
        ({}, None),
    ],
)
def test_the_side_is_read_where_the_standard_puts_it(
    tmp_path: Path, attributes: dict[str, object], code: str | None
) -> None:
    shown = read_shown(_image(tmp_path, 1, **attributes).path)
    assert (shown.laterality.value if shown.laterality else None) == code
    assert shown.unpaired is (attributes.get("ImageLaterality") == "U")


def test_of_frames_of_both_sides_only_the_evaluated_count(tmp_path: Path) -> None:
    groups = _anatomy("L", "R")
    file = _image(tmp_path, 1, PerFrameFunctionalGroupsSequence=groups)
    shown = read_shown(file.path, (2,))
    assert shown.laterality is not None
    assert shown.laterality.meaning == "Right"


@pytest.mark.parametrize(
    ("attributes", "code", "scheme"),
    [
        ({"ViewPosition": "MLO"}, "399368009", "SCT"),  # CID 4014
        ({"ViewPosition": "PA"}, "272479007", "SCT"),
        ({"ViewCodeSequence": [_code("399162004", "SCT")]}, "399162004", "SCT"),
        # SNOMED-RT, as in mammograms of before 2017: the same view.
        ({"ViewCodeSequence": [_code("R-10242", "SRT")]}, "399162004", "SCT"),
        (
            {"ViewCodeSequence": [_code("R-10226", "SRT")], "ViewPosition": "CC"},
            "399368009",
            "SCT",
        ),
        ({"ViewCodeSequence": [_code("V1", "99LOCAL")]}, "V1", "99LOCAL"),
        ({"ViewPosition": "SWIMMERS"}, "SWIMMERS", "99DCMNODE"),
    ],
)
def test_the_view_is_one_code_however_it_was_written(
    tmp_path: Path, attributes: dict[str, object], code: str, scheme: str
) -> None:
    view = read_shown(_image(tmp_path, 1, **attributes).path).view
    assert view is not None
    assert (view.value, view.scheme) == (code, scheme)
    assert "Doe" not in view.meaning


def test_each_side_has_its_finding_and_its_images(tmp_path: Path) -> None:
    files = [
        _image(tmp_path, 1, ImageLaterality="L"),
        _image(tmp_path, 2, ImageLaterality="R"),
        _image(tmp_path, 3, ImageLaterality="L"),
        _image(tmp_path, 4),
    ]
    card = make_card(tmp_path, group_by="laterality")
    findings = _conclude(card, files, [0.1, 0.9, 0.3, 0.7])
    assert [
        (
            item.laterality.meaning if item.laterality else None,
            item.probability,
            item.present,
            len(item.images),
        )
        for item in findings
    ] == [
        ("Right", 0.9, True, 1),
        ("Left", 0.3, False, 2),
        (None, 0.7, True, 1),
    ]
    assert [bool(item.note) for item in findings] == [False, False, True]
    assert "laterality is unknown" in findings[2].note
    backwards = _conclude(card, files[::-1], [0.7, 0.3, 0.9, 0.1])
    assert backwards == findings


def test_an_unpaired_part_is_not_called_unknown(tmp_path: Path) -> None:
    card = make_card(tmp_path, group_by="laterality")
    file = _image(tmp_path, 1, ImageLaterality="U")
    (finding,) = _conclude(card, [file], [0.9])
    assert finding.laterality is None
    assert "unpaired" in finding.note


def test_without_groups_nothing_is_read(tmp_path: Path) -> None:
    files = [_image(tmp_path, 1, ImageLaterality="L")]
    gone = [replace(file, path=tmp_path / "gone") for file in files]
    (finding,) = _conclude(make_card(tmp_path), gone, [0.9])
    assert (finding.laterality, finding.note, finding.images) == (None, "", ())


def test_a_file_that_cannot_be_read_is_of_unknown_side(tmp_path: Path) -> None:
    file = replace(_image(tmp_path, 1, ImageLaterality="L"), path=tmp_path / "gone")
    card = make_card(tmp_path, group_by="laterality", classes=(PNEUMONIA,))
    (finding,) = _conclude(card, [file], [0.9])
    assert "unknown" in finding.note
