"""The demo's self-check finds what is off."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from db.summary import StudySummary
from dicom_node.deliver.send import SendSummary, SentFile
from dicom_node.demo.images import Case, Expected
from dicom_node.demo.verify import (
    Check,
    check_deliveries,
    check_reports,
    check_sending,
    check_studies,
)
from tests.integration.deliver.peers import make_report
from tests.unit.demo.test_watch import CASE, delivery, job, study

BROKEN = Case(
    name="broken",
    files=(Path("broken.dcm"),),
    study_instance_uid="1.3",
    expected=Expected.REFUSED,
)


def _failed(checks: Iterable[Check]) -> list[str]:
    return [check.name for check in checks if not check.passed]


def _sent(*statuses: int | None) -> SendSummary:
    paths = (CASE.files[0], BROKEN.files[0])
    files = tuple(
        SentFile(path=path, status=status, problem="x")
        for path, status in zip(paths, statuses, strict=True)
    )
    return SendSummary(files=files, seconds=1.0)


def test_a_stored_file_and_a_refused_broken_one_are_as_they_should_be() -> None:
    assert _failed(check_sending([CASE, BROKEN], _sent(0x0000, 0xC000))) == []


@pytest.mark.parametrize(
    "statuses", [(0xA700, 0xC000), (None, 0xC000), (0, 0), (0, None)]
)
def test_another_answer_to_a_file_is_off(
    statuses: tuple[int | None, int | None],
) -> None:
    assert len(_failed(check_sending([CASE, BROKEN], _sent(*statuses)))) == 1


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (Expected.PRESENT, study("ROUTED", job("DONE", "present"))),
        (Expected.ABSENT, study("ROUTED", job("DONE", "absent"))),
        (
            Expected.NOT_EVALUATED,
            study("ROUTED", job("DONE", "not_evaluated", reason="too old")),
        ),
        (Expected.IGNORED, study("IGNORED")),
        (Expected.ANSWERED, study("ROUTED", job("DONE", "failed", reason="broken"))),
    ],
)
def test_the_expected_outcome_is_accepted(
    expected: Expected, found: StudySummary
) -> None:
    case = replace(CASE, expected=expected)

    assert _failed(check_studies([case], [found])) == []


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        (Expected.PRESENT, None),
        (Expected.PRESENT, study("RECEIVING")),
        (Expected.PRESENT, study("IGNORED")),
        (Expected.PRESENT, study("ROUTED", job("DONE", "absent"))),
        (Expected.PRESENT, study("ROUTED", job("FAILED", None))),
        (Expected.ABSENT, study("ROUTED", job("DONE", "present"))),
        (Expected.NOT_EVALUATED, study("ROUTED", job("DONE", "not_evaluated"))),
        (Expected.NOT_EVALUATED, study("ROUTED", job("DONE", "present"))),
        (Expected.IGNORED, study("ROUTED", job("DONE", "absent"))),
        (Expected.ANSWERED, study("ROUTED", job("QUEUED", None))),
        (Expected.ANSWERED, study("ROUTED", job("FAILED", None))),
        (Expected.REFUSED, study("IGNORED")),
    ],
)
def test_another_outcome_is_off(expected: Expected, found: StudySummary | None) -> None:
    case = replace(CASE, expected=expected)

    assert len(_failed(check_studies([case], [found] if found else []))) == 1


def test_reports_in_the_pacs_must_be_those_that_were_delivered(tmp_path: Path) -> None:
    report = make_report(tmp_path)
    done = delivery("DONE", "0x0000")
    done["sop_instance_uid"] = str(report.report.sop_instance_uid)
    delivered = [study("ROUTED", job("DONE", "present", done))]
    failed = [study("ROUTED", job("DONE", "present", delivery("FAILED", "0xC000")))]

    assert _failed(check_deliveries(delivered, [report.path])) == []
    assert _failed(check_deliveries(delivered, [])) != []
    assert _failed(check_deliveries(delivered, [report.path] * 2)) != []
    assert _failed(check_deliveries(failed, [])) != []


def test_a_report_that_is_none_fails_each_check_of_reports(tmp_path: Path) -> None:
    report = make_report(tmp_path)
    done: list[int] = []

    checks = list(check_reports([CASE], [report.path], on_progress=done.append))

    assert len(_failed(checks)) == 3
    assert done == [1]
