"""`models select`: a dry run on files and on a study that was received."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from dicom_node.cli import main
from dicom_node.core.states import Outcome
from dicom_node.core.types import InputFile
from inference.api import InputSpec
from inference.select.spec import SelectionSpec
from tests.integration.kept import keep_study
from tests.unit.inference.cards import make_bundle
from tests.unit.inference.slices import SAGITTAL, write_slice, write_stack

STEERING = "DOE^JANE\x1b[31m"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A node whose only model takes every second axial slice."""
    make_bundle(
        tmp_path / "bundles" / "tiny",
        input=InputSpec(size=(32, 32), windowing="percentile"),
        selection=SelectionSpec(orientations=("axial",), frames="every_nth", nth=2),
    )
    file = tmp_path / "node.toml"
    file.write_text(
        '[models]\nfolder = "bundles"\ndevice = "cpu"\n'
        "[receive]\nmin_free_bytes = 1000000\n"
        '[[destinations]]\nname = "pacs"\nkind = "folder"\nfolder = "reports"\n'
        '[[routes]]\nname = "all"\nmodel = "tiny"\ndestinations = ["pacs"]\n',
        encoding="utf-8",
    )
    return file


@pytest.fixture
def files(tmp_path: Path) -> list[InputFile]:
    """A series of five axial slices, one missing, and a sagittal one."""
    folder = tmp_path / "images"
    folder.mkdir()
    files = write_stack(
        folder, [0, 2, 4, 8, 10], series="2.25.5", SeriesNumber=2,
        SeriesDescription=STEERING, SliceThickness=2,
    )  # fmt: skip
    sagittal = write_slice(
        folder, 9, (0, 0, 0), orientation=SAGITTAL, series="2.25.6", SeriesNumber=4
    )
    return [*files, sagittal]


def _select(config: Path, *arguments: str) -> int:
    return main(["models", "select", "tiny", *arguments, "--config", str(config)])


def _document(
    capsys: pytest.CaptureFixture[str], config: Path, *arguments: str
) -> dict[str, Any]:
    capsys.readouterr()
    assert _select(config, *arguments, "--json") == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_a_dry_run_says_of_each_series_and_file_what_becomes_of_it(
    config: Path, files: list[InputFile], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = files[0].path.parent
    (folder / "notes.txt").write_text("no image")
    document = _document(capsys, config, str(folder), "--no-predict")
    axial, sagittal = document["series"]
    assert (axial["series_number"], axial["images"], axial["chosen"]) == (2, 5, 3)
    (volume,) = axial["volumes"]
    assert volume["orientation"] == "axial"
    assert volume["spacing_mm"] == pytest.approx(2)
    assert volume["slice_thickness_mm"] == 2
    assert volume["faults"].startswith("1 slice missing")
    assert sagittal["verdict"] == "not selected: the plane is sagittal, not axial"
    by_path = {image["path"]: image for image in document["images"]}
    verdicts = [by_path[str(file.path)]["verdict"] for file in files]
    assert [verdict == "chosen" for verdict in verdicts] == [
        True, False, True, False, True, False,
    ]  # fmt: skip
    assert list(document["refused"]) == [str(folder / "notes.txt")]
    assert "outcome" not in document


def test_with_scores_it_says_what_the_model_would(
    config: Path, files: list[InputFile], capsys: pytest.CaptureFixture[str]
) -> None:
    document = _document(capsys, config, *(str(file.path) for file in files))
    scored = [image for image in document["images"] if image["scores"]]
    assert [image["verdict"] for image in scored] == ["evaluated"] * 3
    best = max(image["scores"][0] for image in scored)
    assert document["findings"][0]["probability"] == pytest.approx(best)


def test_a_dry_run_on_own_files_stores_nothing(
    config: Path, files: list[InputFile], tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert _select(config, *(str(file.path) for file in files)) == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_the_table_is_for_people_and_no_description_steers_the_terminal(
    config: Path, files: list[InputFile], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _select(config, str(files[0].path.parent), "--no-predict") == 0
    shown = capsys.readouterr().out
    assert "chosen: 3 of 5 images" in shown
    assert "volume faults: series 2 (CT): 1 slice missing" in shown
    assert "DOE^JANE" in shown
    assert "\x1b" not in shown


def test_a_study_that_was_received_is_chosen_from_alike(
    config: Path, files: list[InputFile], capsys: pytest.CaptureFixture[str]
) -> None:
    images = [dcmread(file.path) for file in files]
    for image in images:
        image.AccessionNumber = "A77"
        image.StudyDate = "20260101"
    assert keep_study(config, images) in (Outcome.PRESENT, Outcome.ABSENT)
    for key in ("2.25.800", "A77"):
        document = _document(capsys, config, "--study", key, "--no-predict")
        assert [item["chosen"] for item in document["series"]] == [3, 0]
    assert _select(config, "--study", "2.25.801") == 1
    assert "was received" in capsys.readouterr().err


def test_files_and_a_study_together_are_wrong_usage(
    config: Path, files: list[InputFile], capsys: pytest.CaptureFixture[str]
) -> None:
    assert _select(config) == 2
    assert _select(config, str(files[0].path), "--study", "2.25.800") == 2
    assert _select(config, str(config)) == 2
    assert "--study" in capsys.readouterr().err


def test_what_the_prediction_keeps_names_gaps_and_reasons(
    config: Path, files: list[InputFile], capsys: pytest.CaptureFixture[str]
) -> None:
    keep_study(config, [dcmread(file.path) for file in files])
    capsys.readouterr()
    assert main(["show", "2.25.800", "--config", str(config)]) == 0
    shown = capsys.readouterr().out
    assert "not selected: the plane is sagittal, not axial" in shown
    assert "DOE" not in shown
    reports = [dcmread(path) for path in (config.parent / "data").rglob("*.dcm")]
    spoken = [
        {element.value for element in report.iterall() if element.VR == "UT"}
        for report in reports
        if report.Modality == "SR"
    ]
    assert spoken
    fault = "volume faults series 2 (CT): 1 slice missing (1 between 4.00 and 8.00 mm)"
    assert all(fault in texts for texts in spoken)
