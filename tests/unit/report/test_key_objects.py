"""The selection of key images, and the check before objects leave."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.core.ids import SeriesInstanceUID
from dicom_node.core.states import ReportKind
from dicom_node.core.types import Finding, InputFile, Prediction
from dicom_node.report.checks import faults_of
from dicom_node.report.reading import hushed
from tests.unit.report.examples import (
    EFFUSION,
    finding,
    named,
    prediction_for,
    write_source,
)
from tests.unit.report.pictures import (
    grey,
    key_objects_of,
    result_of,
    summary_of,
    write_picture,
)


def series(folder: Path, count: int) -> list[InputFile]:
    """Write the headers of a series of images with pixels."""
    return [
        write_picture(folder / f"{n}.dcm", grey(4, 4), SOPInstanceUID=f"1.2.3.4.{n}")
        for n in range(1, count + 1)
    ]


def scored(
    files: list[InputFile], scores: Sequence[tuple[float, ...]], *findings: Finding
) -> Prediction:
    """Make a prediction with these scores of the images."""
    base = prediction_for(files)
    images = tuple(
        replace(image, scores=score)
        for image, score in zip(base.images, scores, strict=True)
    )
    return replace(base, images=images, findings=findings)


def selected(files: list[InputFile], prediction: Prediction) -> list[str]:
    """Return the last parts of the UIDs that are selected, in order."""
    made = key_objects_of(result_of(files, prediction))
    assert made is not None
    return [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID.rpartition(".")[2]
        for item in made.ContentSequence
        if item.ValueType == "IMAGE"
    ]


@pytest.mark.parametrize("kind", ["absent", "undetermined", "failed", "not_evaluated"])
def test_nothing_is_selected_where_nothing_is_present(
    tmp_path: Path, kind: str
) -> None:
    files = series(tmp_path, 1)
    assert key_objects_of(result_of(files, prediction_for(files, kind))) is None


def test_the_strongest_images_above_the_operating_point_are_selected(
    tmp_path: Path,
) -> None:
    files = series(tmp_path, 7)
    values = [(v,) for v in (0.1, 0.6, 0.9, 0.49, 0.8, 0.7, 0.95)]
    prediction = scored(files, values, finding(True, 0.95, class_index=0))
    assert selected(files, prediction) == ["7", "3", "5", "6"]


def test_where_no_image_reaches_it_alone_the_strongest_one_is_selected(
    tmp_path: Path,
) -> None:
    files = series(tmp_path, 3)
    prediction = scored(
        files, [(0.1,), (0.4,), (0.3,)], finding(True, 0.5, class_index=0)
    )
    assert selected(files, prediction) == ["2"]


def test_every_positive_finding_has_its_images_and_no_negative_one(
    tmp_path: Path,
) -> None:
    files = series(tmp_path, 3)
    scores = [(0.9, 0.1, 0.4), (0.2, 0.8, 0.3), (0.1, 0.2, 0.45)]
    findings = (
        finding(True, 0.9, class_index=0),
        finding(True, 0.8, class_index=1, concept=EFFUSION, site=None),
        finding(False, 0.45, class_index=2),
    )
    assert selected(files, scored(files, scores, *findings)) == ["1", "2"]


def test_the_number_of_key_images_is_bounded(tmp_path: Path) -> None:
    files = series(tmp_path, 40)
    # Each of ten findings is strongest in images of its own.
    scores = [tuple(0.9 if n % 10 == k else 0.1 for k in range(10)) for n in range(40)]
    findings = tuple(finding(True, 0.9, class_index=k) for k in range(10))
    chosen = selected(files, scored(files, scores, *findings))
    assert len(chosen) == len(set(chosen)) == 16


def test_the_strongest_frame_is_named_and_not_all_of_them(tmp_path: Path) -> None:
    file = write_source(
        tmp_path / "a.dcm",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.3.1",
        Modality="US",
        NumberOfFrames=30,
    )
    base = prediction_for([file])
    image = replace(base.images[0], scores=(0.9, 0.8), peaks=(7, 21))
    findings = (
        finding(True, 0.9, class_index=0),
        finding(True, 0.8, class_index=1, concept=EFFUSION, site=None),
    )

    made = key_objects_of(
        result_of([file], replace(base, images=(image,), findings=findings))
    )

    assert made is not None
    (item,) = [one for one in made.ContentSequence if one.ValueType == "IMAGE"]
    assert list(item.ReferencedSOPSequence[0].ReferencedFrameNumber) == [7, 21]


def test_the_document_says_why_and_by_whom(tmp_path: Path) -> None:
    files = series(tmp_path, 1)

    made = key_objects_of(result_of(files, prediction_for(files)))

    assert made is not None
    assert made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.59"
    assert made.Modality == "KO"
    assert made.ConceptNameCodeSequence[0].CodeValue == "113000"
    (text,) = named_text(made, "Key Object Description")
    assert "Pneumonia: present. Probability 0.93" in text
    assert "NOT FOR DIAGNOSIS" in text
    (device,) = named(without_images(made), "Device Observer UID")
    assert made.DeviceUID == device.UID


def test_an_image_that_cannot_be_cited_is_not_selected(tmp_path: Path) -> None:
    file = write_source(tmp_path / "a.dcm", SeriesInstanceUID=None)
    file = replace(file, series_instance_uid=SeriesInstanceUID(""))
    assert key_objects_of(result_of([file], prediction_for([file]))) is None


def without_images(made: Dataset) -> Dataset:
    """Leave out the items of TID 2010 that have no name."""
    made.ContentSequence = [
        item for item in made.ContentSequence if item.ValueType != "IMAGE"
    ]
    return made


def named_text(made: Dataset, meaning: str) -> list[str]:
    return [
        str(item.TextValue)
        for item in made.ContentSequence
        if item.ValueType == "TEXT"
        and item.ConceptNameCodeSequence[0].CodeMeaning == meaning
    ]


def objects(folder: Path) -> dict[ReportKind, Dataset]:
    files = series(folder, 2)
    result = result_of(files, prediction_for(files))
    selection = key_objects_of(result)
    assert selection is not None
    return {ReportKind.SC: summary_of(result), ReportKind.KOS: selection}


@pytest.mark.parametrize("kind", [ReportKind.SC, ReportKind.KOS])
def test_objects_as_they_are_written_have_no_fault(
    tmp_path: Path, kind: ReportKind
) -> None:
    assert faults_of(kind, objects(tmp_path)[kind]) == []


@pytest.mark.parametrize(
    ("kind", "keyword"),
    [
        (kind, keyword)
        for kind, keywords in {
            ReportKind.SC: "SOPInstanceUID StudyInstanceUID PatientID ConversionType "
            "Rows PixelData PhotometricInterpretation ImageType PatientOrientation",
            ReportKind.KOS: "SOPInstanceUID SeriesInstanceUID ContentSequence Modality "
            "ContentTemplateSequence CurrentRequestedProcedureEvidenceSequence "
            "ReferencedPerformedProcedureStepSequence",
        }.items()
        for keyword in keywords.split()
    ],
)
def test_whatever_is_missing_is_named(
    tmp_path: Path, kind: ReportKind, keyword: str
) -> None:
    made = objects(tmp_path)[kind]
    del made[keyword]
    assert any(keyword in fault for fault in faults_of(kind, made)) or (
        keyword == "ContentSequence"
        and "no object is selected" in faults_of(kind, made)
    )


def test_pixels_of_another_length_are_a_fault(tmp_path: Path) -> None:
    made = objects(tmp_path)[ReportKind.SC]
    made.PixelData = made.PixelData[:-2]
    (fault,) = faults_of(ReportKind.SC, made)
    assert fault.startswith("PixelData has not the length")


def test_a_reference_outside_the_evidence_is_a_fault(tmp_path: Path) -> None:
    made = objects(tmp_path)[ReportKind.KOS]
    reference = made.ContentSequence[-1].ReferencedSOPSequence[0]
    reference.ReferencedSOPInstanceUID = UID("1.2.9")
    assert faults_of(ReportKind.KOS, made) == [
        "a selected object is not in the evidence",
        "the evidence names an object that is not selected",
    ]


@pytest.mark.parametrize("uid", ["", "1.02.3", "1..2", "x", "1." + "2" * 64])
def test_a_uid_that_is_none_is_a_fault_and_is_not_quoted(
    tmp_path: Path, uid: str
) -> None:
    made = objects(tmp_path)[ReportKind.SC]
    with hushed():
        made.SeriesInstanceUID = UID(uid)
    faults = faults_of(ReportKind.SC, made)
    assert faults == ["SeriesInstanceUID is missing or no UID"]


def test_a_file_meta_information_of_another_object_is_a_fault(tmp_path: Path) -> None:
    made = objects(tmp_path)[ReportKind.KOS]
    made.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    assert faults_of(ReportKind.KOS, made) == [
        "MediaStorageSOPInstanceUID is not SOPInstanceUID"
    ]
