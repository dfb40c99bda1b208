"""The report says which images a result does not rest on, and why."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.provenance import Provenance
from dicom_node.core.types import ImageResult, InputFile, Prediction, RoutingHeader
from dicom_node.report.check import check_report
from tests.unit.report.examples import build_one, coded, named, prediction_for
from tests.unit.report.examples import write_source as write

FAILED, NOT_ATTEMPTED = "111224", "111225"  # CID 6042


def _study(folder: Path, count: int) -> list[InputFile]:
    return [
        write(folder / f"{n}.dcm", SOPInstanceUID=f"1.2.3.4.{n}")
        for n in range(1, count + 1)
    ]


def _result(files: Sequence[InputFile], **why: dict[int, str]) -> Prediction:
    """Give a prediction in which some images, numbered from 1, were left out."""
    prediction = prediction_for(files)
    images = list(prediction.images)
    for kind, reasons in why.items():
        for number, reason in reasons.items():
            uid = images[number - 1].sop_instance_uid
            blank = ImageResult(sop_instance_uid=uid)
            images[number - 1] = replace(blank, **{kind: reason})  # type: ignore[arg-type]  # any field, by its name
    return replace(prediction, images=tuple(images))


def _left_out(report: Dataset, findings: int = 1) -> list[tuple[str, str, list[str]]]:
    """Give status, text and images of each group behind those of the findings."""
    assert check_report(report) == []
    groups = report.ContentSequence[-1].ContentSequence[findings:]
    return [
        (
            coded(group, "Summary of Analyses")[0],
            named(group, "Comment")[0].TextValue,
            [
                item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
                for item in named(group, "Source of Measurement")
            ],
        )
        for group in groups
    ]


def test_two_of_thirty_broken_images_are_named_with_their_reasons(
    tmp_path: Path,
) -> None:
    files = _study(tmp_path, 30)
    broken = {4: "PixelData is shorter than its length says", 17: "Rows is missing"}
    report = build_one(files, _result(files, error=broken))
    assert _left_out(report) == [
        (
            FAILED,
            "1 of 30 images was not evaluated: "
            "PixelData is shorter than its length says.",
            ["1.2.3.4.4"],
        ),
        (
            FAILED,
            "1 of 30 images was not evaluated: Rows is missing.",
            ["1.2.3.4.17"],
        ),
    ]
    assert len(set(_tracking_uids(report))) == 3


def _tracking_uids(report: Dataset) -> list[str]:
    return [item.UID for item in named(report, "Tracking Unique Identifier")]


def test_images_outside_of_the_scope_are_told_apart_from_broken_ones(
    tmp_path: Path,
) -> None:
    files = _study(tmp_path, 5)
    lateral = "View Position is LATERAL; the model covers PA and AP"
    prediction = _result(files, error={2: "broken."}, skipped={1: lateral, 5: lateral})
    report = build_one(files, prediction)
    assert _left_out(report) == [
        (FAILED, "1 of 5 images was not evaluated: broken.", ["1.2.3.4.2"]),
        (
            NOT_ATTEMPTED,
            f"2 of 5 images were not evaluated: {lateral}.",
            ["1.2.3.4.1", "1.2.3.4.5"],
        ),
    ]


def test_objects_without_pixels_are_no_images_that_were_left_out(
    tmp_path: Path,
) -> None:
    files = _study(tmp_path, 2)
    state = replace(files[1], header=RoutingHeader(modality="PR", has_pixels=False))
    prediction = _result(files, skipped={2: "there is no pixel data"})
    assert _left_out(build_one([files[0], state], prediction)) == []


def test_slices_that_the_card_did_not_ask_for_are_not_missed(tmp_path: Path) -> None:
    files = _study(tmp_path, 4)
    skipped = {2: "not selected: every 3rd is", 3: "not selected: every 3rd is"}

    report = build_one(files, _result(files, skipped=skipped))

    assert _left_out(report) == []


def test_rare_reasons_share_a_group(tmp_path: Path) -> None:
    files = _study(tmp_path, 10)
    reasons = {n: f"reason {n}" for n in range(1, 10)} | {2: "reason 1"}
    groups = _left_out(build_one(files, _result(files, error=reasons)))
    assert len(groups) == 5
    assert groups[0][2] == ["1.2.3.4.1", "1.2.3.4.2"], "the most frequent first"
    images = [uid for _, _, named_images in groups for uid in named_images]
    assert sorted(images) == sorted(f"1.2.3.4.{n}" for n in range(1, 10))
    assert groups[4][1].startswith("4 of 10 images were not evaluated: reason")


def test_many_images_are_counted_where_not_all_can_be_listed(tmp_path: Path) -> None:
    files = _study(tmp_path, 1)
    files += [
        replace(files[0], sop_instance_uid=SOPInstanceUID(f"1.2.3.5.{n}"))
        for n in range(70)
    ]
    prediction = _result(files, skipped={n: "not chosen" for n in range(2, 72)})
    [(_, text, images)] = _left_out(build_one(files, prediction))
    assert text == (
        "70 of 71 images were not evaluated: not chosen. "
        "64 of them are referenced here."
    )
    assert len(images) == 64


@pytest.mark.parametrize("kind", ["not_evaluated", "failed"])
def test_a_study_without_a_result_says_so_once(tmp_path: Path, kind: str) -> None:
    files = _study(tmp_path, 2)
    report = build_one(files, prediction_for(files, kind))
    assert len(report.ContentSequence[-1].ContentSequence) == 1


def test_the_parameters_say_what_a_score_was_made_with(tmp_path: Path) -> None:
    files = _study(tmp_path, 1)
    made_with = Provenance(
        weights_sha256="0f" * 32,
        card_sha256="0a" * 32,
        code_version="0.2.0",
        code_sha256="0b" * 32,
        preprocessing_sha256="0c" * 32,
        settings=(),
        inputs=(),
    )
    report = build_one(files, replace(prediction_for(files), provenance=made_with))
    parameters = {item.TextValue for item in named(report, "Algorithm Parameters")}
    assert parameters >= {
        f"weights sha256 {'0f' * 32}",
        f"card sha256 {'0a' * 32}",
        f"code 0.2.0 sha256 {'0b' * 32}",
        f"preprocessing sha256 {'0c' * 32}",
    }
