"""The pages as a browser without scripts reads them."""

from collections.abc import Iterator
from dataclasses import replace
from html import escape, unescape
from pathlib import Path

import pytest
from sqlalchemy import select

import db.audit
from db import studies, work
from db.engine import Database
from db.tables import instances, reports, versions
from db.why import FAILED_REMEDY, GIVEN_UP_REMEDY, NOT_COVERED_REMEDY
from dicom_node.core.people import Role
from dicom_node.core.states import Outcome, Urgency
from dicom_node.core.types import RoutingDecision, Setback, Settlement, Verdict
from tests.integration.db.samples import (
    SENT,
    after,
    claim,
    claim_delivery,
    prediction,
    route_study,
)
from tests.integration.web.browser import Browser, Served, add_user, serving_desk
from tests.integration.web.studies import (
    EVIL,
    ROUTE,
    enter_study,
    fail_delivery,
    finish,
    write_file,
)

_PATHS = ("/", "/?show=all", "/queues", "/models", "/health")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the files lie."""
    made = tmp_path / "files"
    made.mkdir()
    return made


@pytest.fixture
def served(database: Database, folder: Path) -> Iterator[Served]:
    """A site over an empty database."""
    with serving_desk(database, folder) as running:
        yield running


def _text(browser: Browser, path: str, **headers: str) -> str:
    answer = browser.get(path, **headers)
    assert answer.status == 200, path
    return answer.body.decode()


def test_the_most_urgent_study_is_on_top_and_marked_to_be_read_first(
    served: Served,
) -> None:
    plain = enter_study(served.database, "2.25.1", accession="PLAIN", at=0)
    urgent = enter_study(served.database, "2.25.2", accession="URGENT", at=1)
    finish(served.database, plain, urgency=None)
    finish(served.database, urgent, urgency=Urgency.STAT)
    text = _text(served.browser(), "/")
    assert 0 < text.index("URGENT</a>") < text.index("PLAIN</a>")
    assert text.count("AI suggests: read first") == 1
    assert text.index("AI suggests: read first") < text.index("PLAIN</a>")


@pytest.mark.parametrize("path", _PATHS)
def test_every_page_is_there_in_both_languages(served: Served, path: str) -> None:
    browser = served.browser()
    assert '<html lang="en"' in _text(browser, path)
    assert '<html lang="ko"' in _text(browser, path, accept_language="ko-KR")


def test_the_chosen_language_and_colours_win_and_lead_back(served: Served) -> None:
    browser = served.browser()
    answer = browser.get("/preferences?lang=ko&theme=light&to=/models")
    assert (answer.status, answer.headers["location"]) == (303, "/models")
    text = _text(browser, "/", accept_language="en")
    assert '<html lang="ko" data-theme="light">' in text
    for elsewhere in ("//evil.example", "https://evil.example/", "/\\evil.example"):
        answer = browser.get(f"/preferences?lang=en&to={elsewhere}")
        assert answer.headers["location"] == "/"


def test_script_in_an_accession_number_stays_text(served: Served) -> None:
    study = enter_study(served.database, "2.25.1", accession=EVIL)
    finish(served.database, study, urgency=Urgency.STAT)
    browser = served.browser()
    for path in ("/", "/studies/2.25.1"):
        text = _text(browser, path)
        assert EVIL not in text
        assert escape(EVIL) in text.replace("&#34;", "&quot;")
    found = browser.post("/search", {"q": EVIL}).body.decode()
    assert EVIL not in found
    assert "/studies/2.25.1" in found


def test_a_study_is_found_by_part_of_its_number_and_by_its_whole_patient(
    served: Served,
) -> None:
    one = enter_study(served.database, "2.25.1", accession="KR-0042")
    enter_study(served.database, "2.25.2", accession="KR-0777")
    served.patients["name", "Doe^Jane"] = {one}
    browser = served.browser()
    browser.get("/")
    for asked in ("0042", "kr-00", "Doe^Jane"):
        text = browser.post("/search", {"q": asked}).body.decode()
        assert "/studies/2.25.1" in text
        assert "/studies/2.25.2" not in text
    assert "No study matches" in browser.post("/search", {"q": "Doe"}).body.decode()


def test_a_study_is_found_by_its_uid_and_by_that_of_an_image_or_a_report(
    served: Served,
) -> None:
    one = enter_study(served.database, "2.25.999971", accession="KR-1")
    finish(served.database, one, urgency=None)
    enter_study(served.database, "2.25.999972", accession="KR-2")
    with served.database.read() as connection:
        image = connection.execute(
            select(instances.c.sop_instance_uid).where(instances.c.study_id == one)
        ).scalar_one()
        written = connection.execute(select(reports.c.sop_instance_uid)).scalar_one()
    browser = served.browser()
    browser.get("/")
    for uid in ("2.25.999971", image, written):
        text = browser.post("/search", {"q": f" {uid} "}).body.decode()
        assert "/studies/2.25.999971" in text
        assert "/studies/2.25.999972" not in text
        found = browser.get(f"/api/studies?uid={uid}").json["studies"]
        assert [item["study_instance_uid"] for item in found] == ["2.25.999971"]
    nothing = browser.post("/search", {"q": "2.25.99997"}).body.decode()
    assert "No study matches" in nothing


def test_a_study_that_no_route_took_says_why_in_one_sentence(served: Served) -> None:
    why = "no route matched: route 'ct': Modality is MR; the route asks for CT"
    study = enter_study(served.database, "2.25.1")
    verdict = Verdict(
        route="ct",
        rule="modality",
        attribute="Modality",
        matched=False,
        detail="Modality is MR; the route asks for CT",
    )
    decision = RoutingDecision(routes=(), verdicts=(verdict,), ignored_because=why)
    found = studies.load(served.database, study)
    studies.settle(served.database, found, decision, now=after(1))
    browser = served.browser()
    assert f"No AI result: {escape(why)}".replace("&#x27;", "&#39;") in _text(
        browser, "/"
    )
    page = _text(browser, "/studies/2.25.1")
    assert "does not hold" in page
    assert "Modality is MR; the route asks for CT" in page


def test_a_result_that_was_not_delivered_says_so_wherever_one_looks(
    served: Served, database: Database
) -> None:
    finish(database, enter_study(database, "2.25.1"), urgency=None)
    fail_delivery(database)
    browser = served.browser()
    why = "deliveries to 'pacs' were given up"
    assert f"Not delivered: {why}" in unescape(_text(browser, "/"))
    page = unescape(_text(browser, "/studies/2.25.1"))
    assert f"Not delivered: {why}" in page
    assert GIVEN_UP_REMEDY in page
    told = browser.get("/api/studies/2.25.1").json
    assert (told["why_not_delivered"], told["what_to_do"]) == (why, GIVEN_UP_REMEDY)
    assert '<a href="/studies/2.25.1">A1</a>' in _text(browser, "/queues")
    korean = unescape(_text(browser, "/studies/2.25.1", accept_language="ko"))
    assert "전송되지 않음: 'pacs'(으)로의 전송을 포기함" in korean


def test_deliveries_of_an_earlier_revision_are_apart_from_those_of_the_latest(
    served: Served, database: Database
) -> None:
    study_id = enter_study(database, "2.25.1")
    finish(database, study_id, urgency=None)
    browser = served.browser()
    assert "Deliveries of earlier revisions" not in _text(browser, "/studies/2.25.1")
    studies.reopen(database, study_id, now=after(2))
    finish(database, study_id, urgency=None, at=3)
    page = _text(browser, "/studies/2.25.1")
    assert "Deliveries of earlier revisions (1)" in page
    assert page.count("cxr · Revision 1") == 1


def test_every_study_without_a_result_is_in_one_tab_with_its_reason(
    served: Served,
) -> None:
    database = served.database
    done = enter_study(database, "2.25.1", accession="DONE")
    finish(database, done, urgency=None)
    old = enter_study(database, "2.25.2", accession="OLD")
    route_study(database, old, ROUTE)
    too_old = "Patient's Age is 64 years; the model covers 1 to 5 years"
    outside = replace(
        prediction(Outcome.NOT_EVALUATED, reason=too_old), findings=(), images=()
    )
    work.settle_job(
        database,
        claim(database),
        Settlement(prediction=outside, reports=(), addressees=()),
        now=after(4),
    )
    broken = enter_study(database, "2.25.3", accession="BROKEN")
    route_study(database, broken, ROUTE)
    work.fail(database, claim(database), Setback(reason="no memory"), now=after(4))
    waits = enter_study(database, "2.25.4", accession="WAITS")
    route_study(database, waits, ROUTE)
    enter_study(database, "2.25.5", accession="COMES")
    browser = served.browser()
    text = unescape(_text(browser, "/?show=ignored"))
    assert "DONE</a>" not in text
    for reason in (
        f"the model 'cxr' does not cover this study: {too_old}",
        "the model 'cxr' failed: no memory",
        "the model 'cxr' waits for its turn",
        "images are still coming in",
    ):
        assert text.count(f"No AI result: {reason}") == 1
    assert f"No AI result: the model 'cxr' does not cover this study: {too_old}" in (
        unescape(_text(browser, "/studies/2.25.2"))
    )
    korean = unescape(_text(browser, "/?show=ignored", accept_language="ko"))
    assert (
        "모델 'cxr' 대상이 아닌 검사: 환자 나이(Patient's Age) 값은 64세; 모델 대상은"
        in korean
    )
    assert "No AI" not in korean
    for number, remedy in ((2, NOT_COVERED_REMEDY), (3, FAILED_REMEDY), (4, "")):
        page = unescape(_text(browser, f"/studies/2.25.{number}"))
        assert page.count("What to do:") == bool(remedy)
        assert remedy in page
    story = browser.get("/api/studies/2.25.3").json
    assert story["why_no_result"] == "the model 'cxr' failed: no memory"


def test_a_dead_letter_goes_out_again_with_one_click(served: Served) -> None:
    study = enter_study(served.database, "2.25.1")
    finish(served.database, study, urgency=None)
    number = fail_delivery(served.database)
    browser = served.browser()
    page = _text(browser, "/studies/2.25.1")
    assert "the PACS refused" in page
    assert f'action="/deliveries/{number}/retry"' in page
    back = {"to": "/studies/2.25.1"}
    answer = browser.post(f"/deliveries/{number}/retry", back)
    assert (answer.status, answer.headers["location"]) == (303, "/studies/2.25.1")
    assert served.woken == ["deliver"]
    assert f"/deliveries/{number}/retry" not in _text(browser, "/studies/2.25.1")
    assert browser.post(f"/deliveries/{number}/retry", back).status == 409


def test_what_was_delivered_goes_out_again_only_after_a_question_and_is_audited(
    served: Served,
) -> None:
    finish(served.database, enter_study(served.database, "2.25.1"), urgency=None)
    delivery = claim_delivery(served.database)
    work.settle_delivery(served.database, delivery, SENT, now=after(11))
    browser, number = served.browser(), delivery.delivery_id
    path = f"/deliveries/{number}/resend"
    assert f'href="{path}"' in _text(browser, "/studies/2.25.1")
    assert "under the same UID" in _text(browser, path)
    assert served.woken == []
    answer = browser.post(path)
    assert (answer.status, answer.headers["location"]) == (303, "/studies/2.25.1")
    assert served.woken == ["deliver"]
    assert browser.post(path).status == 409
    assert browser.get(path).status == 409
    again = claim_delivery(served.database, at=20)
    assert (again.delivery_id, again.chosen) == (number, SENT.sop_instance_uid)
    assert [one.sop_instance_uid for one in again.reports] == [
        one.sop_instance_uid for one in delivery.reports
    ]
    [(_, entry)] = db.audit.latest(served.database, limit=1)
    assert (entry.action, entry.detail) == ("sent again", f"delivery {number} to pacs")


def test_what_a_later_revision_replaced_is_not_sent_again(served: Served) -> None:
    study = enter_study(served.database, "2.25.1")
    finish(served.database, study, urgency=None)
    delivery = claim_delivery(served.database)
    work.settle_delivery(served.database, delivery, SENT, now=after(11))
    studies.reopen(served.database, study, now=after(12))
    route_study(served.database, study, ROUTE, at=13)
    browser = served.browser()
    browser.get("/")
    answer = browser.post(f"/deliveries/{delivery.delivery_id}/resend")
    assert answer.status == 409
    assert b"a later revision replaced this result" in answer.body


def test_all_dead_letters_of_a_destination_go_out_again(served: Served) -> None:
    for uid in ("2.25.1", "2.25.2"):
        finish(served.database, enter_study(served.database, uid), urgency=None)
    fail_delivery(served.database)
    fail_delivery(served.database)
    browser = served.browser()
    browser.get("/queues")
    other = browser.post("/queues/retry", {"destination": "other"})
    assert (other.status, other.headers["location"]) == (303, "/queues")
    assert "the PACS refused" in _text(browser, "/queues")
    browser.post("/queues/retry", {"destination": "pacs"})
    assert "the PACS refused" not in _text(browser, "/queues")


def test_a_viewer_sees_no_button_and_gets_no_further_by_hand(served: Served) -> None:
    study = enter_study(served.database, "2.25.1")
    finish(served.database, study, urgency=None)
    number = fail_delivery(served.database)
    add_user(served.database, "vera", Role.VIEWER)
    browser = served.browser()
    browser.log_in("vera")
    for path in ("/studies/2.25.1", "/queues"):
        assert "/retry" not in _text(browser, path)
    browser.get("/")
    assert browser.post(f"/deliveries/{number}/retry").status == 403
    assert browser.post("/queues/retry").status == 403
    assert browser.get(f"/deliveries/{number}/resend").status == 403
    assert browser.post(f"/deliveries/{number}/resend").status == 403
    for path in ("/users", "/audit"):
        assert browser.get(path).status == 403


def test_names_are_shown_to_whom_may_see_them_as_text_and_audited_once_a_look(
    served: Served, folder: Path
) -> None:
    enter_study(served.database, "2.25.1")
    with served.database.read() as connection:
        [key] = connection.execute(select(versions.c.file_key)).scalars().all()
    write_file(folder, key)
    add_user(served.database, "nora", Role.VIEWER, sees_names=True)
    add_user(served.database, "vera", Role.VIEWER)
    blind, seeing = served.browser(), served.browser()
    blind.log_in("vera")
    seeing.log_in("nora")
    for _ in range(3):
        text = _text(seeing, "/")
    assert "Doe" in text
    assert EVIL not in text
    assert "Doe" not in _text(blind, "/")
    lines = db.audit.latest(served.database, limit=100, before=None)
    looks = [entry for _, entry in lines if entry.action == "name seen"]
    assert [entry.who for entry in looks] == ["nora"]


@pytest.mark.parametrize(
    "path",
    [
        "/studies/nothing",
        "/studies/2.25.1/images/1.2/frames/1/levels",
        "/studies/2.25.1/images/1.2/frames/0/picture.png",
        "/studies/2.25.1/images/1.2/frames/x/picture.png",
        "/reports/0",
        "/reports/99999999999",
        "/reports/x/file",
        "/reports/1/picture.png",
    ],
)
def test_what_is_not_there_is_said_so_on_a_page(served: Served, path: str) -> None:
    enter_study(served.database, "2.25.1")
    answer = served.browser().get(path)
    assert answer.status == 404
    assert b"This did not work" in answer.body
