"""What later revisions of a study make of what FHIR servers were told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dicom_node.core.states import Outcome, ReportKind
from tests.unit.worklist import results
from tests.unit.worklist.fhir_desk import Desk, code_of, of_kind, only
from tests.unit.worklist.results import (
    PNEUMONIA,
    finding,
    nothing,
    prediction,
    stat,
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "reports").mkdir()
    return Desk(folder=tmp_path)


def test_the_same_result_is_the_same_message(desk: Desk) -> None:
    result = results.result([desk.image()], prediction(finding()), suggestion=stat())
    first, second = desk.write(result), desk.write(result)
    assert first is not None
    assert first == second
    report, bundle = first
    assert report.kind is ReportKind.FHIR
    assert report.sop_instance_uid == bundle["identifier"]["value"]


def test_a_correction_brings_the_same_resources_up_to_date(desk: Desk) -> None:
    image = desk.image()
    first = desk.write(
        results.result([image], prediction(finding(), finding(PNEUMONIA)))
    )
    assert first is not None
    report, before = first
    corrected = prediction(finding(probability=0.1))
    after = desk.bundle(results.result([image], corrected, revision=2), report)
    assert only(after, "DiagnosticReport")["status"] == "preliminary"
    standing, gone = of_kind(after, "Observation")
    assert (standing["status"], gone["status"]) == ("preliminary", "entered-in-error")
    assert code_of(gone["code"])[1] == PNEUMONIA.value
    assert "valueCodeableConcept" not in gone
    assert len(only(after, "DiagnosticReport")["result"]) == 1

    def requests(bundle: dict[str, Any], kind: str) -> set[str]:
        return {
            entry["request"]["url"]
            for entry in bundle["entry"]
            if entry["resource"]["resourceType"] == kind
        }

    for kind in ("DiagnosticReport", "Observation"):
        assert requests(before, kind) == requests(after, kind)


def test_what_was_withdrawn_by_a_message_that_was_perhaps_never_sent_stays_withdrawn(
    desk: Desk,
) -> None:
    image = desk.image()
    first = desk.write(
        results.result([image], prediction(finding(), finding(PNEUMONIA)))
    )
    assert first is not None
    second = desk.write(
        results.result([image], prediction(finding()), revision=2), first[0]
    )
    assert second is not None
    third = desk.bundle(
        results.result([image], prediction(finding()), revision=3), second[0]
    )
    assert [one["status"] for one in of_kind(third, "Observation")] == [
        "preliminary",
        "entered-in-error",
    ]


def test_a_revision_without_result_withdraws_everything(desk: Desk) -> None:
    image = desk.image()
    first = desk.write(
        results.result([image], prediction(finding()), suggestion=stat())
    )
    assert first is not None
    second = desk.write(results.result([image], nothing(), revision=2), first[0])
    assert second is not None
    for bundle in (
        second[1],
        # Again without a result: the withdrawal may never have been sent.
        desk.bundle(results.result([image], nothing(), revision=3), second[0]),
    ):
        assert only(bundle, "DiagnosticReport")["status"] == "entered-in-error"
        assert only(bundle, "Observation")["status"] == "entered-in-error"
        task = only(bundle, "Task")
        assert (task["status"], task["priority"]) == ("cancelled", "routine")


def test_a_result_after_a_withdrawal_holds_again(desk: Desk) -> None:
    image = desk.image()
    first = desk.write(results.result([image], prediction(finding())))
    assert first is not None
    second = desk.write(results.result([image], nothing(), revision=2), first[0])
    assert second is not None
    third = desk.bundle(
        results.result([image], prediction(finding()), revision=3), second[0]
    )
    assert only(third, "DiagnosticReport")["status"] == "preliminary"
    assert only(third, "Observation")["status"] == "preliminary"


def test_a_suggestion_that_is_no_more_is_cancelled(desk: Desk) -> None:
    image = desk.image()
    first = desk.write(
        results.result([image], prediction(finding()), suggestion=stat())
    )
    assert first is not None
    after = desk.bundle(
        results.result([image], prediction(finding(probability=0.1)), revision=2),
        first[0],
    )
    assert only(after, "Task")["status"] == "cancelled"


@pytest.mark.parametrize("outcome", [Outcome.NOT_EVALUATED, Outcome.FAILED])
def test_what_was_not_evaluated_is_told_only_to_who_wants_it(
    desk: Desk, outcome: Outcome
) -> None:
    result = results.result([desk.image()], replace(nothing(), outcome=outcome))
    assert desk.write(result) is None
    desk.table = desk.table.model_copy(update={"send_not_evaluated": True})
    report = only(desk.bundle(result), "DiagnosticReport")
    assert report["status"] == "cancelled"
    assert "PatientAge is outside" in report["conclusion"]


def test_a_withdrawal_does_without_the_earlier_message(desk: Desk) -> None:
    image = desk.image()
    first = desk.write(results.result([image], prediction(finding())))
    assert first is not None
    lost = replace(first[0], file_key="0" * 64)
    bundle = desk.bundle(results.result([image], nothing(), revision=2), lost)
    assert only(bundle, "DiagnosticReport")["status"] == "entered-in-error"
    assert only(bundle, "Task")["status"] == "cancelled"
