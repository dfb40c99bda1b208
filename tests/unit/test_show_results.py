"""What `show` and `studies` say of results: failures first, values with their unit."""

import io

from rich.console import Console

from db.summary import FindingSummary, JobSummary, StudySummary
from dicom_node.commands.show_images import describe_images
from dicom_node.commands.studies import describe_finding, describe_job, print_studies
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.types import ImageResult


def _image(number: int, **outcome: object) -> ImageResult:
    uid = SOPInstanceUID(f"1.2.{number}")
    return ImageResult(sop_instance_uid=uid, **outcome)  # type: ignore[arg-type]  # any field, by its name


def _finding(**changed: object) -> FindingSummary:
    found: FindingSummary = {
        "code": "445518008",
        "scheme": "SCT",
        "meaning": "Age",
        "present": None,
        "probability": 0.0,
        "value": 43.25,
        "unit": "a",
    }
    found.update(changed)  # type: ignore[typeddict-item]  # any key, by its name
    return found


def _job(*findings: FindingSummary) -> JobSummary:
    return {
        "revision": 1,
        "model": "age",
        "route": "all",
        "model_version": "1",
        "priority": "normal",
        "state": "DONE",
        "outcome": "undetermined",
        "reason": None,
        "findings": list(findings),
        "deliveries": [],
    }


def test_images_that_failed_come_first_each_with_its_reason() -> None:
    images = [
        *(_image(n, scores=(0.5,), windowing="file window") for n in range(1, 15)),
        _image(15, skipped="not selected: every 2nd"),
        _image(16, error="RLE Lossless cannot be decoded: the frame is broken"),
        _image(17, skipped="not selected: every 2nd"),
    ]
    lines = list(describe_images(images))
    assert lines[0] == (
        "image 1.2.16: FAILED: RLE Lossless cannot be decoded: the frame is broken"
    )
    assert lines[1] == "image 1.2.1: evaluated, file window"
    assert lines[-2:] == [
        "and 2 more images evaluated",
        "2 images left out: not selected: every 2nd",
    ]


def test_a_measured_value_has_its_unit_and_no_verdict() -> None:
    assert describe_finding(_finding()) == "Age: 43.25 a"
    assert describe_job(_job(_finding())) == "measured: Age 43.25 a"


def test_a_decision_on_a_value_is_told_with_it() -> None:
    assert describe_finding(_finding(present=True)) == "Age: value 43.25 a, present"


def test_a_probability_without_a_decision_stays_undetermined() -> None:
    open_ended = _finding(value=None, unit=None, probability=0.4)
    assert describe_finding(open_ended) == "Age: probability 0.4000, undetermined"
    assert describe_job(_job(open_ended)) == "undetermined: Age 0.40"


def test_a_uid_is_whole_on_a_narrow_screen_too() -> None:
    uid = "1.2.826.0.1.3680043.8.498." + "7" * 38  # 64 characters, the longest
    study: StudySummary = {
        "study_instance_uid": uid,
        "accession_number": "A1",
        "state": "ROUTED",
        "revision": 1,
        "instances": 2,
        "jobs": [_job(_finding())],
        "ignored_because": None,
    }
    for columns in (80, 400):
        shown = io.StringIO()
        print_studies([study], Console(file=shown, width=columns))
        words = {word.strip(",:") for word in shown.getvalue().split()}
        assert {uid, "A1", "ROUTED", "age", "43.25"} <= words
