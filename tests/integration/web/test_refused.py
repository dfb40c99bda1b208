"""Why an image is not here stands on the page, and nobody has to read a log."""

from collections.abc import Iterator
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest

import db.associations
import db.refusals
from db.engine import Database
from dicom_node.core.types import AssociationRecord, RefusedContext
from tests.integration.db.samples import after
from tests.integration.web.browser import Browser, Served, add_user, serving_desk
from tests.integration.web.studies import EVIL, REFUSED, enter_study

CALL = AssociationRecord(
    at=after(1),
    calling_ae_title="CT2",
    called_ae_title="AINODE",
    peer_address="10.0.0.2",
    accepted=True,
    reason="released",
    refused_contexts=(
        RefusedContext(
            sop_class_uid="1.2.840.10008.5.1.4.1.1.77.1.4.1",
            transfer_syntax_uids=("1.2.840.10008.1.2.4.102",),
            reason="transfer syntaxes not supported",
        ),
    ),
    instances=3,
    refused_instances=2,
)


@pytest.fixture
def served(database: Database, tmp_path: Path) -> Iterator[Served]:
    """A site over an empty database."""
    with serving_desk(database, tmp_path) as running:
        yield running


def _text(browser: Browser, path: str) -> str:
    answer = browser.get(path)
    assert answer.status == 200, path
    return answer.body.decode()


def test_a_refused_image_is_listed_with_its_reason_and_its_caller(
    served: Served,
) -> None:
    evil = replace(REFUSED, calling_ae_title="MR1", accession_number=EVIL)
    db.refusals.record(served.database, [REFUSED, evil])
    browser = served.browser()
    text = _text(browser, "/refused")
    assert text.count("Rows or Columns is missing or zero") == 2
    assert "0xC000" in text
    assert "Computed Radiography Image Storage" in text
    assert EVIL not in text
    assert escape(EVIL) in text.replace("&#34;", "&quot;")
    filtered = _text(browser, "/refused?caller=MR1")
    assert filtered.count("Rows or Columns is missing or zero") == 1
    assert '<option value="MR1" selected>' in filtered


def test_refused_associations_and_contexts_have_their_reason_too(
    served: Served,
) -> None:
    rejected = replace(
        CALL, calling_ae_title="EVIL", accepted=False, reason="not a listed peer"
    )
    db.associations.record(served.database, CALL)
    db.associations.record(served.database, rejected)
    text = _text(served.browser(), "/refused")
    assert "2 images refused, 3 taken" in text
    assert "Video Photographic Image Storage in MPEG-4 AVC/H.264" in text
    assert "transfer syntaxes not supported" in text
    assert "Rejected: not a listed peer" in text
    assert f"called {rejected.called_ae_title}" in text


@pytest.mark.parametrize("asked", ["A1", "2.25.1", "2.25.1.9"])
def test_a_search_that_finds_no_study_leads_to_what_was_refused(
    served: Served, asked: str
) -> None:
    db.refusals.record(served.database, [REFUSED])
    browser = served.browser()
    _text(browser, "/")
    found = browser.post("/search", {"q": asked}).body.decode()
    assert "No study matches" in found
    assert "Refused images with this number or UID: 1." in found
    shown = browser.post("/refused", {"q": asked}).body.decode()
    assert "Rows or Columns is missing or zero" in shown
    other = browser.post("/refused", {"q": "A2"}).body.decode()
    assert "No image was refused." in other


def test_the_page_of_a_study_says_what_of_it_was_refused(served: Served) -> None:
    enter_study(served.database, "2.25.1")
    browser = served.browser()
    assert "that were refused and are not here" not in _text(browser, "/studies/2.25.1")
    again = replace(REFUSED, sop_instance_uid="2.25.1.10")
    db.refusals.record(served.database, [REFUSED, again])
    text = _text(browser, "/studies/2.25.1")
    assert "that were refused and are not here: 2" in text
    assert "2 images of CT1: Rows or Columns is missing or zero" in text


def test_the_api_tells_refusals_page_by_page(served: Served) -> None:
    many = [replace(REFUSED, sop_instance_uid=f"2.25.1.{n}") for n in range(3)]
    db.refusals.record(served.database, many)
    browser = served.browser()
    first = browser.get("/api/refusals?limit=2&calling_ae_title=CT1&key=A1").json
    assert [one["sop_instance_uid"] for one in first["refusals"]] == [
        "2.25.1.2",
        "2.25.1.1",
    ]
    assert first["next_offset"] == 2
    assert first["refusals"][0]["status"] == "0xC000"
    assert first["refusals"][0]["here"] is False
    last = browser.get("/api/refusals?limit=2&offset=2").json
    assert (len(last["refusals"]), last["next_offset"]) == (1, None)


def test_nobody_sees_refusals_without_a_login(served: Served) -> None:
    add_user(served.database, "kim")
    assert served.browser().get("/refused").status == 303
    assert served.browser().get("/api/refusals").status == 401


def test_a_rejected_name_says_what_to_enter_where(served: Served) -> None:
    wrong = replace(CALL, accepted=False, reason="called AE title not recognized")
    unknown = replace(
        CALL,
        accepted=False,
        reason="calling AE title not recognized: not from this address",
    )
    for record in (wrong, unknown):
        db.associations.record(served.database, record)
    text = _text(served.browser(), "/refused")
    assert "as the called AE title in the sender" in text
    assert "[[peers]]" in text


def test_a_study_of_which_all_was_refused_leads_to_the_reason(served: Served) -> None:
    db.refusals.record(served.database, [REFUSED])
    browser = served.browser()
    answer = browser.get("/studies/2.25.1")
    assert answer.status == 404
    assert "the page Refused says why" in answer.body.decode()
    assert "Refused says" not in browser.get("/studies/2.25.2").body.decode()
    text = _text(browser, "/refused")
    assert "What to do: correct the image where it was made" in " ".join(text.split())
    [told] = browser.get("/api/refusals").json["refusals"]
    assert told["what_to_do"].startswith("correct the image")
