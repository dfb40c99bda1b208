"""Results that a later revision takes back, read as FHIR: in error, not gone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from db import studies, work
from db.engine import Database
from dicom_node.core.ids import StudyId
from dicom_node.core.states import Outcome, Urgency
from dicom_node.core.types import Setback
from tests.integration.db.samples import (
    after,
    claim,
    prediction,
    report,
    route_study,
    settlement,
)
from tests.integration.web.browser import Served, serving_desk
from tests.integration.web.studies import ROUTE, enter_study, finish
from tests.unit.worklist.fhir_rules import faults_of_resource


@pytest.fixture
def served(database: Database, tmp_path: Path) -> Iterator[Served]:
    with serving_desk(database, tmp_path) as running:
        running.clock.pass_by(minutes=1)
        yield running


def found(served: Served, query: str) -> list[dict[str, Any]]:
    answer = served.browser().get(f"/fhir/{query}")
    assert answer.status == 200, answer.body
    resources = [entry["resource"] for entry in answer.json.get("entry", [])]
    for one in resources:
        assert faults_of_resource(one) == []
    return resources


def ignore_later(database: Database, study_id: StudyId) -> None:
    """Let a late image make a revision that no route takes."""
    studies.reopen(database, study_id, now=after(5))
    route_study(database, study_id, at=6)


def test_a_result_that_no_route_wants_any_more_is_entered_in_error(
    served: Served,
) -> None:
    study_id = enter_study(served.database, "1.2.3")
    finish(served.database, study_id, urgency=Urgency.STAT)
    before = {kind: found(served, kind) for kind in ("DiagnosticReport", "Observation")}
    assert {one["status"] for kind in before for one in before[kind]} == {"preliminary"}
    ignore_later(served.database, study_id)
    for kind, told in before.items():
        now = found(served, kind)
        assert [one["id"] for one in now] == [one["id"] for one in told]
        assert {one["status"] for one in now} == {"entered-in-error"}
    assert [one["status"] for one in found(served, "Task")] == ["cancelled"]
    (report,) = found(served, "DiagnosticReport")
    assert "conclusionCode" not in report
    assert "Withdrawn" in report["conclusion"]


def test_who_asks_for_what_changed_since_is_told_that_a_result_was_left_out(
    served: Served,
) -> None:
    study_id = enter_study(served.database, "1.2.3")
    finish(served.database, study_id, urgency=None)
    since = quote(after(4).isoformat(), safe="")
    assert found(served, f"DiagnosticReport?_lastUpdated=ge{since}") == []
    ignore_later(served.database, study_id)
    (told,) = found(served, f"DiagnosticReport?_lastUpdated=ge{since}")
    assert (told["status"], told["meta"]["versionId"]) == ("entered-in-error", "2")
    assert found(served, f"DiagnosticReport?_lastUpdated=lt{since}") == []


def test_a_result_of_a_model_that_is_wanted_again_is_preliminary_again(
    served: Served,
) -> None:
    study_id = enter_study(served.database, "1.2.3")
    finish(served.database, study_id, urgency=None)
    ignore_later(served.database, study_id)
    studies.reopen(served.database, study_id, now=after(8))
    finish(served.database, study_id, urgency=None, at=9)
    (told,) = found(served, "Observation")
    assert (told["status"], told["meta"]["versionId"]) == ("preliminary", "3")


def test_a_later_revision_that_was_given_up_takes_the_result_back(
    served: Served,
) -> None:
    study_id = enter_study(served.database, "1.2.3")
    finish(served.database, study_id, urgency=Urgency.STAT)
    studies.reopen(served.database, study_id, now=after(5))
    route_study(served.database, study_id, ROUTE, at=6)
    setback = Setback(reason="the worker died in every attempt")
    work.fail(served.database, claim(served.database, at=6), setback, now=after(7))
    since = quote(after(7).isoformat(), safe="")
    for kind in ("DiagnosticReport", "Observation"):
        (one,) = found(served, f"{kind}?_lastUpdated=ge{since}")
        assert (one["status"], one["meta"]["versionId"]) == ("entered-in-error", "2")
    assert [one["status"] for one in found(served, "Task")] == ["cancelled"]


def test_a_finding_that_a_later_result_does_not_make_is_taken_back(
    served: Served,
) -> None:
    study_id = enter_study(served.database, "1.2.3")
    finish(served.database, study_id, urgency=None)
    (told,) = found(served, "Observation")
    studies.reopen(served.database, study_id, now=after(5))
    route_study(served.database, study_id, ROUTE, at=6)
    job = claim(served.database, at=6)
    silent = replace(prediction(Outcome.ABSENT), findings=())
    made = replace(settlement(report("2.25.9")), prediction=silent)
    work.settle_job(served.database, job, made, now=after(7))
    (now,) = found(served, "Observation")
    assert (now["id"], now["status"]) == (told["id"], "entered-in-error")
    (standing,) = found(served, "DiagnosticReport")
    assert (standing["status"], "result" in standing) == ("preliminary", False)
