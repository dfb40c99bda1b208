"""A job that was given up takes back what was told of an earlier revision."""

from pathlib import Path

import pytest
from fhir.resources.R4B.bundle import Bundle
from hl7apy.parser import parse_message

from tests.integration.told import Messages, Site, make_site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A node that tells three systems."""
    return make_site(tmp_path)


def test_a_revision_that_was_given_up_withdraws_what_an_earlier_one_told(
    site: Site,
) -> None:
    site.receive()
    first = site.told()
    assert set(first.statuses.values()) == {"P"}
    assert site.suggested

    assert site.give_up() == "the device is gone"
    second = site.told()
    assert second.statuses["233604007"] == second.statuses["AIPRIO"] == "X"
    assert second.statuses["122157"] == "X"
    parse_message(second.hl7, validation_level=1).validate()
    Bundle.model_validate(second.fhir)
    assert second.resources["Observation"] == {"entered-in-error"}
    assert second.resources["DiagnosticReport"] == {"entered-in-error"}
    assert second.resources["Task"] == {"cancelled"}
    assert second.webhook["withdrawn"] is True
    assert second.webhook["findings"] == []
    assert second.webhook["supersedes"] == first.webhook["id"]
    assert not site.suggested


def test_a_result_after_a_withdrawal_holds_again(site: Site) -> None:
    site.receive()
    site.told()
    site.give_up()
    site.told()
    site.receive()
    third = site.told()
    # Only that the analysis failed is taken back (111065, Summary of Analyses).
    assert {code for code, said in third.statuses.items() if said == "X"} == {"111065"}
    assert third.statuses["233604007"] == third.statuses["AIPRIO"] == "P"
    parse_message(third.hl7, validation_level=1).validate()
    Bundle.model_validate(third.fhir)
    assert third.resources["Observation"] == {"preliminary"}
    assert "entered-in-error" not in third.resources["DiagnosticReport"]
    assert third.resources["Task"] == {"requested"}
    assert third.webhook["withdrawn"] is False
    assert third.webhook["findings"]
    assert site.suggested


def test_what_is_withdrawn_is_withdrawn_once(site: Site) -> None:
    site.receive()
    site.told()
    site.give_up()
    assert site.told().hl7
    site.give_up()
    assert site.told().hl7 == ""


def test_a_study_of_which_nothing_was_told_has_nothing_to_withdraw(site: Site) -> None:
    node = site.node
    text = node.configuration.read_text()
    node.configuration.write_text(text.replace('["ris", "ehr", "hook"]', "[]"))
    site.receive()
    site.give_up()
    assert site.told() == Messages("", {}, {})


def test_a_withdrawal_reaches_who_was_told_wherever_the_route_goes_now(
    site: Site,
) -> None:
    site.receive()
    site.told()
    node = site.node
    text = node.configuration.read_text()
    node.configuration.write_text(text.replace('["ris", "ehr", "hook"]', '["hook"]'))
    site.give_up()
    assert site.told().statuses["AIPRIO"] == "X"


def test_without_a_file_to_read_the_job_says_that_nothing_was_withdrawn(
    site: Site,
) -> None:
    site.receive()
    site.told()
    for file in site.node.files:
        file.unlink()
    reason = site.give_up()
    assert "could not be withdrawn" in reason
    assert site.told().hl7 == ""
