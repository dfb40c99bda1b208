"""dciodvfy, dcmtk and our own check on summary pictures and key objects."""

import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image as Picture
from pydicom import dcmread

from dicom_node.core.states import ReportKind
from dicom_node.core.types import InputFile
from dicom_node.report.check import run_dciodvfy
from dicom_node.report.checks import faults_of
from dicom_node.report.sop_classes import is_image
from tests.peers import require_tool, shared_data
from tests.unit.report.examples import OUTCOMES, input_file, prediction_for
from tests.unit.report.pictures import (
    grey,
    key_objects_of,
    pixels_of,
    result_of,
    write_picture,
    write_summary,
)


def one_of_each_folder(folder: Path) -> list[InputFile]:
    """Return an image of each folder of the shared data."""
    found: dict[Path, InputFile] = {}
    for path in sorted(folder.rglob("*.dcm")):
        if path.parent in found or "fuzz" in path.parts or "malformed" in path.parts:
            continue
        file = input_file(path)
        if file is not None and is_image(file.sop_class_uid):
            found[path.parent] = file
    return list(found.values())


def faults(file: InputFile, kind: str, folder: Path) -> list[str]:
    """Ask every validator about the objects of a result; return what they say."""
    result = result_of([file], prediction_for([file], kind))
    path = folder / "object.dcm"
    path.write_bytes(write_summary(result)[1])
    found = [*run_dciodvfy(path), *faults_of(ReportKind.SC, dcmread(path))]
    selection = key_objects_of(result)
    if selection is not None:
        selection.save_as(path)
        found += [*run_dciodvfy(path), *faults_of(ReportKind.KOS, dcmread(path))]
    return found


@pytest.mark.parametrize("kind", OUTCOMES)
@pytest.mark.parametrize("part", [None, "CHEST", "HAND", "A PART OF ITS OWN"])
def test_objects_of_every_outcome_and_part_are_clean(
    tmp_path: Path, kind: str, part: str | None
) -> None:
    require_tool("dciodvfy")
    file = write_picture(tmp_path / "a.dcm", grey(), BodyPartExamined=part)
    assert faults(file, kind, tmp_path) == []


def test_objects_of_every_kind_of_real_image_are_clean(tmp_path: Path) -> None:
    require_tool("dciodvfy")
    files = one_of_each_folder(shared_data("dicom"))
    assert len(files) > 12
    found = {
        f"{file.path.parent.name}/{file.path.name}": lines
        for number, file in enumerate(files)
        if (lines := faults(file, OUTCOMES[number % len(OUTCOMES)], tmp_path))
    }
    assert found == {}


def test_dcmtk_draws_the_pixels_that_were_meant(tmp_path: Path) -> None:
    tool = require_tool("dcm2pnm")
    file = write_picture(tmp_path / "a.dcm", grey())
    content = write_summary(result_of([file], prediction_for([file])))[1]
    (tmp_path / "summary.dcm").write_bytes(content)

    subprocess.run(
        [tool, tmp_path / "summary.dcm", tmp_path / "summary.ppm"], check=True
    )

    with Picture.open(tmp_path / "summary.ppm") as drawn:
        assert drawn.tobytes() == pixels_of(dcmread(BytesIO(content))).tobytes()


def test_dcmtk_reads_the_key_objects(tmp_path: Path) -> None:
    tool = require_tool("dsrdump")
    file = write_picture(tmp_path / "a.dcm", grey())
    selection = key_objects_of(result_of([file], prediction_for([file])))
    assert selection is not None
    selection.save_as(tmp_path / "kos.dcm")

    done = subprocess.run(
        [tool, "+Pf", tmp_path / "kos.dcm"], capture_output=True, check=True
    )

    text = done.stdout.decode("utf-8", "replace")
    assert "Key Object Selection Document" in text
    assert "contains IMAGE" in text
    assert b"E: " not in done.stderr
    assert "SpecificCharacterSet" not in selection
