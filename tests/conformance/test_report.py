"""dciodvfy, dsrdump and our own check on reports of every kind and source."""

import subprocess
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import dcmread

from dicom_node.core.types import InputFile
from dicom_node.report.builder import SOP_CLASS_UIDS
from dicom_node.report.check import check_report, run_dciodvfy
from dicom_node.report.reading import hushed
from dicom_node.report.sop_classes import is_image
from tests.peers import require_tool, shared_data
from tests.unit.report.examples import (
    OUTCOMES,
    build_all,
    builder,
    input_file,
    prediction_for,
    write_source,
)
from tests.unit.report.pictures import grey, key_objects_of, result_of, write_picture

BUNDLED = Path(pydicom.__file__).parent / "data" / "test_files"


def image_sources(folder: Path) -> list[InputFile]:
    """Return the files of a folder that are image instances."""
    found = (input_file(path) for path in sorted(folder.rglob("*")) if path.is_file())
    return [file for file in found if file and is_image(file.sop_class_uid)]


def by_series(files: Iterable[InputFile]) -> list[list[InputFile]]:
    """Group files by folder and series; a file without a series stands alone.

    Of the files that hold one instance in several transfer syntaxes, the first is
    taken: they have one header.
    """
    groups: defaultdict[tuple[object, ...], list[InputFile]] = defaultdict(list)
    for number, file in enumerate(files):
        key: tuple[object, ...] = (file.path.parent, file.series_instance_uid)
        if not file.series_instance_uid:
            key = (*key, number)
        if file.sop_instance_uid not in {one.sop_instance_uid for one in groups[key]}:
            groups[key].append(file)
    return list(groups.values())


def reports_of(groups: Sequence[Sequence[InputFile]], folder: Path) -> list[Path]:
    """Write a report of each group, the SOP classes and outcomes taking turns."""
    paths = []
    for number, files in enumerate(groups):
        kind = OUTCOMES[number % len(OUTCOMES)]
        ((_, content),) = builder().build(
            files,
            prediction_for(files, kind),
            sop_class_uids=[SOP_CLASS_UIDS[number % len(SOP_CLASS_UIDS)]],
            predecessors=(),
        )
        paths.append(folder / f"{number}-{kind}-{files[0].path.name[-40:]}")
        paths[-1].write_bytes(content)
    return paths


def faults_of(paths: Sequence[Path]) -> dict[str, list[str]]:
    """Ask every validator about every report; return what they complain of."""
    require_tool("dciodvfy")
    faults: dict[str, list[str]] = {}
    with ThreadPoolExecutor(max_workers=4) as pool:
        for path, lines in zip(paths, pool.map(run_dciodvfy, paths), strict=True):
            faults.setdefault(path.name, []).extend(lines)
    for path in paths:
        with hushed():
            faults[path.name] += check_report(dcmread(BytesIO(path.read_bytes())))
    return {name: lines for name, lines in faults.items() if lines}


def dsrdump_errors(paths: Sequence[Path]) -> list[str]:
    """Return the errors dsrdump has with the reports, all in one run."""
    done = subprocess.run(
        [require_tool("dsrdump"), "+Pf", "+Pt", *paths],
        capture_output=True,
        check=False,
    )
    lines = done.stderr.decode("utf-8", "replace").splitlines()
    errors = [line for line in lines if line.startswith(("E:", "F:"))]
    return errors or ([] if done.returncode == 0 else lines[-3:])


@pytest.mark.parametrize("kind", OUTCOMES)
def test_every_outcome_is_clean_in_every_sop_class(tmp_path: Path, kind: str) -> None:
    files = [
        write_source(tmp_path / f"{n}.dcm", SOPInstanceUID=f"1.2.3.4.{n}")
        for n in (1, 2)
    ]
    paths = []
    for report, content in build_all(files, prediction_for(files, kind)):
        paths.append(tmp_path / f"{report.sop_class_uid}.sr.dcm")
        paths[-1].write_bytes(content)

    assert faults_of(paths) == {}
    assert dsrdump_errors(paths) == []


def test_every_image_that_pydicom_bundles_makes_a_clean_report(tmp_path: Path) -> None:
    groups = by_series(image_sources(BUNDLED))
    assert len(groups) > 30

    paths = reports_of(groups, tmp_path)

    assert faults_of(paths) == {}
    assert dsrdump_errors(paths) == []


def test_every_real_image_makes_a_clean_report(tmp_path: Path) -> None:
    sources = image_sources(shared_data("dicom"))
    assert len(sources) > 300

    paths = reports_of(by_series(sources), tmp_path)

    assert faults_of(paths) == {}
    assert dsrdump_errors(paths) == []


def test_an_image_with_leading_zeros_in_its_uid_is_evidence_and_spoils_no_document(
    tmp_path: Path,
) -> None:
    odd = write_picture(tmp_path / "a.dcm", grey(), SOPInstanceUID="1.2.03.4")
    plain = write_picture(tmp_path / "b.dcm", grey(), SOPInstanceUID="1.2.3.5")
    paths = []
    for kind in ("present", "failed", "partially_failed"):
        files = [plain, odd]
        _, content = build_all(files, prediction_for(files, kind))[0]
        paths.append(tmp_path / f"{kind}.sr.dcm")
        paths[-1].write_bytes(content)
        (study,) = dcmread(BytesIO(content)).CurrentRequestedProcedureEvidenceSequence
        (series,) = study.ReferencedSeriesSequence
        assert len(series.ReferencedSOPSequence) == 2
    selection = key_objects_of(result_of(files, prediction_for(files)))
    assert selection is not None
    paths.append(tmp_path / "kos.dcm")
    selection.save_as(paths[-1])

    assert dsrdump_errors(paths) == []


def test_a_predecessor_is_clean_too(tmp_path: Path) -> None:
    first = write_source(tmp_path / "a.dcm")
    late = write_source(tmp_path / "b.dcm", SOPInstanceUID="1.2.3.5")
    earlier = [report for report, _ in build_all([first], prediction_for([first]))]
    paths = []
    files = [first, late]
    for report, content in build_all(files, prediction_for(files), earlier):
        paths.append(tmp_path / f"{report.sop_class_uid}.sr.dcm")
        paths[-1].write_bytes(content)

    assert faults_of(paths) == {}
    assert dsrdump_errors(paths) == []


def test_patient_and_study_agree_with_the_images(tmp_path: Path) -> None:
    tool = require_tool("dcentvfy")
    file = write_source(tmp_path / "cr.dcm", PatientAge="004Y", PatientWeight="17.5")
    path = tmp_path / "sr.dcm"
    path.write_bytes(build_all([file], prediction_for([file]))[0][1])

    done = subprocess.run(
        [tool, file.path, path], capture_output=True, check=False, text=True
    )

    lines = (done.stdout + done.stderr).splitlines()
    assert [line for line in lines if line.startswith("Error")] == []
