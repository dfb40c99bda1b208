"""A study without a result is run again with one click, and it is told by whom."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import db.audit
import db.studies
from db import retention, work
from db.engine import Database
from db.prunable import Prunable, Scope
from dicom_node.core.ids import StudyId
from dicom_node.core.people import Role
from dicom_node.core.states import ONLY_OWN_RESULTS, StudyState
from dicom_node.core.types import Setback
from tests.integration.db.samples import after, claim, decision, route_study
from tests.integration.web.browser import Browser, Served, add_user, serving_desk
from tests.integration.web.studies import (
    ROUTE,
    enter_study,
    fail_delivery,
    finish,
)

RUN = "/studies/2.25.1/run"


@pytest.fixture
def served(database: Database, tmp_path: Path) -> Iterator[Served]:
    """A site over an empty database."""
    with serving_desk(database, tmp_path) as running:
        yield running


def _as(served: Served, role: Role) -> Browser:
    add_user(served.database, "kim", role)
    browser = served.browser()
    browser.log_in("kim")
    return browser


def _ignored(database: Database, because: str = "no route matched") -> StudyId:
    study_id = enter_study(database, "2.25.1")
    study = db.studies.load(database, study_id)
    db.studies.settle(database, study, decision(ignored_because=because), now=after(1))
    return study_id


def _failed(database: Database) -> StudyId:
    study_id = enter_study(database, "2.25.1")
    route_study(database, study_id, ROUTE, at=1)
    setback = Setback(reason="the weights are gone")
    work.fail(database, claim(database, at=1), setback, now=after(2))
    return study_id


def _page(browser: Browser) -> str:
    return browser.get("/studies/2.25.1").body.decode()


def test_a_study_that_no_route_took_is_routed_anew(served: Served) -> None:
    study_id = _ignored(served.database)
    browser = _as(served, Role.OPERATOR)
    assert "Run again" in _page(browser)
    answer = browser.post(RUN)
    assert (answer.status, served.woken) == (303, ["work"])
    study = db.studies.load(served.database, study_id)
    assert (study.state, study.revision) == (StudyState.RECEIVING, 2)
    page = browser.get(answer.headers["location"]).body.decode()
    assert "The study runs again" in page
    assert "kim had the study routed and run again" in page
    assert RUN not in page


def test_a_dead_letter_whose_object_retention_removed_says_so(served: Served) -> None:
    study_id = enter_study(served.database, "2.25.1")
    finish(served.database, study_id, urgency=None)
    number = fail_delivery(served.database)
    scope = Scope(states=frozenset({Prunable.FAILED}), before=after(1000))
    retention.mark(served.database, study_id, scope, reason="old", now=after(2000))
    browser = _as(served, Role.OPERATOR)
    assert "removed by retention" in _page(browser)
    answer = browser.post(f"/deliveries/{number}/retry")
    assert answer.status == 409
    assert "removed by retention" in answer.body.decode()


def test_a_model_that_failed_runs_again_on_the_same_images(served: Served) -> None:
    study_id = _failed(served.database)
    browser = _as(served, Role.OPERATOR)
    assert "Runs the model again on the same images" in _page(browser)
    assert browser.post(RUN).status == 303
    assert claim(served.database, at=10).study_id == study_id
    assert "kim put back what had failed" in _page(browser)
    told = browser.get("/api/studies/2.25.1").json["timeline"]
    [asked] = [event for event in told if event["what"] == "asked"]
    assert (asked["detail"]["who"], asked["detail"]["action"]) == ("kim", "retry")


def test_two_clicks_run_a_study_once(served: Served) -> None:
    _failed(served.database)
    browser = _as(served, Role.OPERATOR)
    _page(browser)
    assert [browser.post(RUN).status for _ in range(2)] == [303, 409]
    assert len(db.audit.latest(served.database, limit=9)) == 2  # and the login


def test_only_an_operator_of_this_site_runs_a_study_again(served: Served) -> None:
    study_id = _ignored(served.database)
    viewer = _as(served, Role.VIEWER)
    assert RUN not in _page(viewer)
    assert viewer.post(RUN).status == 403
    add_user(served.database, "lee", Role.OPERATOR)
    operator = served.browser()
    operator.log_in("lee")
    _page(operator)
    assert operator.post(RUN, headers={"Origin": "https://evil.example"}).status == 403
    assert operator.post(RUN, {"csrf": "0" * 64}).status == 403
    assert db.studies.load(served.database, study_id).revision == 1


def test_what_has_a_result_or_is_our_own_has_no_such_button(served: Served) -> None:
    study_id = _ignored(served.database, ONLY_OWN_RESULTS)
    browser = _as(served, Role.OPERATOR)
    assert RUN not in _page(browser)
    db.studies.reopen(served.database, study_id, now=after(3))
    assert RUN not in _page(browser)
    finish(served.database, study_id, urgency=None, at=4)
    assert RUN not in _page(browser)
    assert browser.post(RUN).status == 409
