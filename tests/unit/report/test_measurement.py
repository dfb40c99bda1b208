"""The content tree: what each outcome looks like to a reader."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.types import CodedConcept, ImageResult, InputFile
from dicom_node.report.finding import shown_probability
from dicom_node.report.measurement import content_items
from tests.unit.report.examples import (
    DEVICE_UID,
    OUTCOMES,
    build_all,
    build_one,
    coded,
    finding,
    named,
    prediction_for,
    write_source,
)


@pytest.fixture
def source(tmp_path: Path) -> InputFile:
    """A CR image."""
    return write_source(tmp_path / "cr.dcm")


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        ("present", "52101004", ["233604007"]),
        ("absent", "272519000", []),
        ("undetermined", "373068000", []),
    ],
)
def test_a_decision_is_a_member_of_cid_240(
    source: InputFile, kind: str, value: str, found: list[str]
) -> None:
    report = build_one([source], prediction_for([source], kind))

    assert coded(report, "Pneumonia") == [value]
    assert coded(report, "Finding") == found
    assert coded(report, "Finding Site") == ["39607008"]
    assert coded(report, "Summary of Analyses") == []


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("not_evaluated", "111225", "PatientAge is outside 1 to 5 years."),
        ("failed", "111224", "No image could be evaluated."),
    ],
)
def test_without_a_result_there_is_a_status_a_reason_and_nothing_else(
    source: InputFile, kind: str, status: str, reason: str
) -> None:
    report = build_one([source], prediction_for([source], kind))

    assert coded(report, "Summary of Analyses") == [status]
    (comment,) = named(report, "Comment")
    assert comment.TextValue.startswith(reason)
    assert not [item for item in content_items(report) if item.ValueType == "NUM"]
    assert not named(report, "Finding")
    assert not named(report, "Pneumonia")


def test_findings_of_a_prediction_without_result_are_not_written(
    source: InputFile,
) -> None:
    prediction = replace(
        prediction_for([source], "not_evaluated"), findings=(finding(True, 0.9),)
    )

    assert not named(build_one([source], prediction), "Pneumonia")


def test_a_status_without_a_reason_tells_why_images_were_left_out(
    source: InputFile,
) -> None:
    prediction = replace(prediction_for([source], "not_evaluated"), reason="")

    (comment,) = named(build_one([source], prediction), "Comment")

    assert comment.TextValue == "PatientAge is outside 1 to 5 years (1)"


def test_images_that_failed_make_a_partial_success(source: InputFile) -> None:
    report = build_one([source], prediction_for([source], "partially_failed"))

    partially, failed = "111223", "111224"
    assert coded(report, "Summary of Analyses") == [partially, failed]
    assert coded(report, "Pneumonia") == ["52101004"]
    comment = named(report, "Comment")[0]
    assert comment.TextValue.startswith("1 of 2 images could not be evaluated.")


@pytest.mark.parametrize("kind", OUTCOMES)
def test_highdicom_reads_the_groups_back(
    source: InputFile, tmp_path: Path, kind: str
) -> None:
    prediction = prediction_for([source], kind)
    path = tmp_path / "report.dcm"
    path.write_bytes(build_all([source], prediction)[0][1])

    content: Any = hd.sr.srread(path).content
    groups = content.get_image_measurement_groups()

    left_out = 1 if kind == "partially_failed" else 0
    assert len(groups) == max(1, len(prediction.findings)) + left_out
    for group, wanted in zip(groups, prediction.findings, strict=False):
        (probability,) = group.get_measurements()
        assert probability.value == round(wanted.probability, 4)
        assert probability.unit.value == "1"
        assert probability.name.value == "122157"
    assert len({group.tracking_uid for group in groups}) == len(groups)


def test_the_algorithm_and_the_device_are_named(source: InputFile) -> None:
    report = build_one([source], prediction_for([source]))

    (uid,) = named(report, "Device Observer UID")
    assert uid.UID == DEVICE_UID == report.DeviceUID
    assert [item.TextValue for item in named(report, "Algorithm Name")] == [
        "cxr-pneumonia"
    ]
    assert [item.TextValue for item in named(report, "Algorithm Version")] == ["1.2.0"]
    parameters = {item.TextValue for item in named(report, "Algorithm Parameters")}
    assert parameters >= {
        "threshold 0.5",
        f"weights sha256 {'0f' * 32}",
        "aggregation max over images",
        "calibration platt",
        "windowing file window",
        "images evaluated 1 of 1",
        "intended use research only, not for diagnosis",
    }


@pytest.mark.parametrize(
    ("probability", "threshold", "shown"),
    [
        (0.931249, 0.5, 0.9312),
        (0.499996, 0.5, 0.499996),  # 0.5 would read as at the threshold
        (0.500004, 0.5, 0.5),
        (0.70004, 0.70004, 0.70004),
        (0.123456, None, 0.1235),
        (0.0, 0.5, 0.0),
        (1.0, 0.5, 1.0),
    ],
)
def test_a_shown_probability_stays_on_its_side_of_the_threshold(
    probability: float, threshold: float | None, shown: float
) -> None:
    assert shown_probability(finding(True, probability, threshold=threshold)) == shown


def test_a_numpy_probability_is_written(source: InputFile) -> None:
    float_like: Any = np.float32(0.75)
    prediction = replace(
        prediction_for([source]), findings=(finding(True, float_like),)
    )

    (item,) = named(build_one([source], prediction), "Probability")

    assert item.MeasuredValueSequence[0].NumericValue == 0.75


def test_a_concept_keeps_its_form_within_the_limits(source: InputFile) -> None:
    concept = CodedConcept(
        value="a-code-of-more-than-sixteen", scheme="99LOCAL", meaning="m\\n " * 40
    )
    prediction = replace(
        prediction_for([source]), findings=(finding(True, 0.9, concept=concept),)
    )

    (item,) = named(build_one([source], prediction), "Finding")

    code = item.ConceptCodeSequence[0]
    assert code.LongCodeValue == concept.value
    assert len(code.CodeMeaning) <= 64
    assert "\\" not in code.CodeMeaning


def images_of(report: Dataset) -> list[str]:
    return [
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in named(report, "Source of Measurement")
    ]


def test_at_most_16_images_are_listed_strongest_first(tmp_path: Path) -> None:
    files = [
        write_source(tmp_path / f"{n}.dcm", SOPInstanceUID=f"1.2.3.4.{n}")
        for n in range(20)
    ]
    images = tuple(
        ImageResult(sop_instance_uid=file.sop_instance_uid, scores=(1 - n / 40, n / 40))
        for n, file in enumerate(files)
    )
    prediction = replace(
        prediction_for(files),
        images=images,
        findings=(finding(True, 0.9, class_index=1),),
    )

    listed = images_of(build_one(files, prediction))

    assert listed == [f"1.2.3.4.{n}" for n in range(19, 3, -1)]


def test_frames_are_named_where_the_class_has_frames(tmp_path: Path) -> None:
    cine = write_source(
        tmp_path / "us.dcm",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.3.1",
        Modality="US",
        NumberOfFrames=9,
    )
    capture = write_source(
        tmp_path / "sc.dcm",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.7",
        Modality="OT",
        NumberOfFrames=9,
    )
    frames = (2, 5, 9)

    for file, expected in ((cine, [2, 5, 9]), (capture, None)):
        result = ImageResult(
            sop_instance_uid=file.sop_instance_uid, frames=frames, scores=(0.9,)
        )
        report = build_one([file], replace(prediction_for([file]), images=(result,)))
        (item,) = named(report, "Source of Measurement")
        assert item.ReferencedSOPSequence[0].get("ReferencedFrameNumber") == expected


def test_failed_images_are_evidence_but_speak_for_no_finding(tmp_path: Path) -> None:
    good = write_source(tmp_path / "a.dcm")
    bad = write_source(tmp_path / "b.dcm", SOPInstanceUID="1.2.3.5")
    prediction = prediction_for([good, bad])
    images = (
        prediction.images[0],
        ImageResult(sop_instance_uid=SOPInstanceUID("1.2.3.5"), error="broken"),
    )

    report = build_one([good, bad], replace(prediction, images=images))

    findings, failed = report.ContentSequence[-1].ContentSequence
    assert images_of(findings) == ["1.2.3.4"]
    assert images_of(failed) == ["1.2.3.5"]
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    assert len(study.ReferencedSeriesSequence[0].ReferencedSOPSequence) == 2


def test_the_procedure_is_the_sources_code_or_a_generic_one(tmp_path: Path) -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "36643-5", "LN"
    code.CodeMeaning = "XR Chest 2 Views"
    broken = Dataset()
    broken.CodeMeaning = "no code"
    with_code = write_source(tmp_path / "a.dcm", ProcedureCodeSequence=[broken, code])
    ct = write_source(
        tmp_path / "b.dcm", Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2"
    )
    unknown = write_source(tmp_path / "c.dcm", Modality="XYZ")

    values = [
        coded(build_one([file], prediction_for([file])), "Procedure reported")
        for file in (with_code, ct, unknown)
    ]

    assert values == [["36643-5"], ["25045-6"], ["363679005"]]
