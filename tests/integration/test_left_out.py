"""A routing that leaves a model out takes back what the model has told."""

from contextlib import closing
from pathlib import Path

import pytest
from fhir.resources.R4B.bundle import Bundle
from hl7apy.parser import parse_message

import db.queries
from dicom_node import app
from tests.integration.told import STUDY, Messages, Site, make_site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A node that tells three systems."""
    return make_site(tmp_path)


def test_a_routing_that_leaves_the_model_out_withdraws_what_it_told(site: Site) -> None:
    site.receive()
    first = site.told()
    site.leave_out()
    second = site.told()
    for code in ("233604007", "122157", "AIPRIO"):
        assert second.statuses[code] == "X"
    parse_message(second.hl7, validation_level=1).validate()
    Bundle.model_validate(second.fhir)
    assert second.resources["Observation"] == {"entered-in-error"}
    assert second.resources["Task"] == {"cancelled"}
    assert second.webhook["withdrawn"] is True
    assert second.webhook["supersedes"] == first.webhook["id"]
    assert not site.suggested


def test_what_a_routing_left_out_stays_ignored_and_is_told_once(site: Site) -> None:
    site.receive()
    site.told()
    site.leave_out()
    assert site.told().hl7
    with closing(app.open_database(site.node.settings)) as database:
        (story,) = db.queries.timeline(database, STUDY)
    assert story.summary["state"] == "IGNORED"
    last = max(story.jobs, key=lambda one: one.summary["revision"])
    assert (last.summary["state"], last.summary["outcome"]) == ("DONE", "not_evaluated")
    assert "no route wants this model" in str(
        last.prediction and last.prediction.reason
    )
    site.leave_out()
    assert site.told() == Messages("", {}, {})


def test_a_model_that_is_wanted_again_tells_its_result_again(site: Site) -> None:
    site.receive()
    site.told()
    site.leave_out()
    site.told()
    site.receive()
    third = site.told()
    assert third.statuses["233604007"] == third.statuses["AIPRIO"] == "P"
    assert third.resources["Observation"] == {"preliminary"}
    assert third.webhook["withdrawn"] is False
    assert site.suggested
    site.leave_out()
    fourth = site.told()
    assert {fourth.statuses[code] for code in ("233604007", "AIPRIO")} == {"X"}


def test_a_routing_that_leaves_out_who_told_nothing_makes_no_work(site: Site) -> None:
    node = site.node
    text = node.configuration.read_text()
    node.configuration.write_text(text.replace('["ris", "ehr", "hook"]', "[]"))
    site.receive()
    site.leave_out()
    with closing(app.open_database(node.settings)) as database:
        (story,) = db.queries.timeline(database, STUDY)
    assert [job.summary["revision"] for job in story.jobs] == [1]
