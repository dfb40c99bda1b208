"""The JSON API: what it answers, to whom, and what it changes."""

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import select

import db.audit
import db.desk_results
import db.studies
import db.suggestions
from db import outbox
from db.engine import Database
from db.tables import versions
from dicom_node.core.people import Role
from dicom_node.core.states import Urgency
from dicom_node.web.fhir_answers import KINDS
from dicom_node.web.openapi import OPERATIONS, describe
from tests.integration.db.samples import SENT, after, claim_delivery, route_study
from tests.integration.web.browser import (
    Browser,
    Served,
    add_token,
    add_user,
    bearer,
    serving_desk,
)
from tests.integration.web.site import Answer
from tests.integration.web.studies import (
    EVIL,
    EVIL_NAME,
    enter_study,
    fail_delivery,
    finish,
    write_file,
)

ROLES = list(Role)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


@pytest.fixture
def served(database: Database, folder: Path) -> Iterator[Served]:
    with serving_desk(database, folder) as running:
        running.clock.pass_by(minutes=1)
        yield running


class Caller:
    """A program with a token."""

    def __init__(self, served: Served, role: Role, *, sees_names: bool = False) -> None:
        secret = add_token(served.database, role, sees_names=sees_names)
        self._headers, self._browser = bearer(secret), served.browser()

    def get(self, path: str) -> Answer:
        return self._browser.ask("GET", path, headers=self._headers)

    def post(self, path: str) -> Answer:
        return self._browser.ask("POST", path, headers=self._headers)


@pytest.fixture
def operator(served: Served) -> Caller:
    return Caller(served, Role.OPERATOR)


def _uids(answer: Answer, key: str = "studies") -> list[str]:
    assert answer.status == 200, answer.body
    return [item["study_instance_uid"] for item in answer.json[key]]


def _url(path: str) -> str:
    return path.replace("{uid}", "1.2.3").replace("{delivery}", "1")


@pytest.mark.parametrize("role", [None, *ROLES])
def test_every_address_asks_for_its_role(served: Served, role: Role | None) -> None:
    add_user(served.database, "kim")  # nobody is let in without a login any more
    caller = Caller(served, role) if role else served.browser()
    for one in OPERATIONS:
        ask = caller.post if one.changes else caller.get
        status = ask(_url(one.path)).status
        if one.role is None:
            assert status == 200, one.path
        elif role is None:
            assert status == 401, one.path
        elif not role.covers(one.role):
            assert status == 403, one.path
        else:
            # Names take a right of their own, which no role brings.
            assert status in (200, 403 if one.name == "showPatient" else 404), one.path


def test_the_description_names_every_route_of_the_api_and_no_other() -> None:
    from dicom_node.web.api import api_routes
    from dicom_node.web.fhir import fhir_routes

    routed = {
        (path, "post" if "POST" in (route.methods or ()) else "get")
        for route in (*api_routes(), *fhir_routes(lambda _found, _names: ()))
        for path in {route.path.replace("{kind}", kind) for kind in KINDS}
    }
    described = {
        (path, method) for path, item in describe()["paths"].items() for method in item
    }
    assert routed == described


def test_studies_are_found_by_accession_whole_and_in_part(
    served: Served, operator: Caller
) -> None:
    for number, accession in enumerate(("RX-100", "RX-1001", "50%_x", "50aax")):
        enter_study(served.database, f"1.2.{number}", accession=accession)
    assert _uids(operator.get("/api/studies?accession=RX-100")) == ["1.2.0"]
    found = _uids(operator.get("/api/studies?accession_part=x-100"))
    assert found == ["1.2.1", "1.2.0"]
    # % and _ are no wildcards.
    assert _uids(operator.get("/api/studies?accession_part=50%25_")) == ["1.2.2"]
    assert _uids(operator.get("/api/studies?accession_part=absent")) == []
    both = operator.get("/api/studies?accession=RX-100&accession_part=x-1")
    assert _uids(both) == ["1.2.0"]
    assert _uids(operator.get("/api/studies?accession=RX-100&accession_part=y")) == []


def test_a_list_is_read_page_by_page(served: Served, operator: Caller) -> None:
    for number in range(5):
        enter_study(served.database, f"1.2.{number}")
    seen: list[str] = []
    offsets = [0]
    for offset in offsets:
        answer = operator.get(f"/api/studies?limit=2&offset={offset}")
        seen += _uids(answer)
        if answer.json["next_offset"] is not None:
            offsets.append(answer.json["next_offset"])
    assert offsets == [0, 2, 4]
    assert seen == [f"1.2.{number}" for number in (4, 3, 2, 1, 0)]


def test_studies_are_found_by_patient_and_the_search_is_audited(
    served: Served, operator: Caller
) -> None:
    wanted = enter_study(served.database, "1.2.1")
    enter_study(served.database, "1.2.2")
    served.patients["id", "P1"] = (wanted,)
    served.patients["name", "Doe^Jane"] = (wanted,)
    assert _uids(operator.get("/api/studies?patient_id=P1")) == ["1.2.1"]
    assert _uids(operator.get("/api/studies?patient_name=Doe%5EJane")) == ["1.2.1"]
    assert _uids(operator.get("/api/studies?patient_id=P2")) == []
    assert _uids(operator.get("/api/studies?patient_id=P1&patient_name=x")) == []
    lines = [entry for _, entry in db.audit.latest(served.database, limit=9)]
    assert {entry.action for entry in lines} == {"searched"}
    assert {entry.detail for entry in lines} == {"patient id", "patient name"}


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=201", "limit=1e2", "limit=-1", "limit=%D9%A3", "offset=x",
        "state=routed", "urgency=high", "unknown=1", "limit=1&limit=2", "accession=",
        "accession=a%00b", "accession=a%0Ab", "accession=" + "x" * 65, "hours=0",
    ],
)  # fmt: skip
def test_a_parameter_that_does_not_fit_is_named_and_not_repeated(
    operator: Caller, query: str
) -> None:
    answer = operator.get(f"/api/studies?{query}")
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json"
    assert query.rpartition("=")[2] not in answer.json["error"] or len(query) < 12


def test_the_worklist_shows_the_most_urgent_and_then_who_waits_longest(
    served: Served, operator: Caller
) -> None:
    urgencies = (Urgency.ROUTINE, None, Urgency.URGENT, Urgency.STAT, Urgency.URGENT)
    ids = []
    for number, urgency in enumerate(urgencies):
        study_id = enter_study(served.database, f"1.2.{number}", at=number)
        finish(served.database, study_id, urgency=urgency, at=number)
        ids.append(study_id)
    shown = operator.get("/api/worklist")
    assert _uids(shown, "entries") == ["1.2.3", "1.2.2", "1.2.4", "1.2.0"]
    assert shown.json["entries"][0]["reason"] == "Pneumonia 0.88 (threshold 0.50)"
    assert _uids(operator.get("/api/studies?urgency=URGENT")) == ["1.2.4", "1.2.2"]
    now = served.clock.now()
    known = db.suggestions.current(served.database, ids, now=now)
    assert {
        (item["study_instance_uid"], item["urgency"]) for item in shown.json["entries"]
    } == {
        (f"1.2.{ids.index(study_id)}", one.suggestion.urgency.value)
        for study_id, one in known.items()
    }
    served.clock.pass_by(hours=2)  # all have expired
    assert _uids(operator.get("/api/worklist"), "entries") == []


def test_a_newer_result_replaces_a_suggestion_and_a_late_image_alone_does_not(
    served: Served, operator: Caller
) -> None:
    study_id = enter_study(served.database, "1.2.1")
    finish(served.database, study_id, urgency=Urgency.STAT)
    db.studies.reopen(served.database, study_id, now=after(5))
    assert _uids(operator.get("/api/worklist"), "entries") == ["1.2.1"]
    finish(served.database, study_id, urgency=None, at=6)
    assert _uids(operator.get("/api/worklist"), "entries") == []
    assert not db.suggestions.current(
        served.database, [study_id], now=served.clock.now()
    )


def test_what_was_suggested_before_a_study_was_ignored_is_history(
    served: Served, operator: Caller
) -> None:
    study_id = enter_study(served.database, "1.2.1")
    finish(served.database, study_id, urgency=Urgency.STAT)
    db.studies.reopen(served.database, study_id, now=after(5))
    route_study(served.database, study_id, at=6)  # by rules that take it no more
    assert _uids(operator.get("/api/worklist"), "entries") == []
    assert _uids(operator.get("/api/studies?urgency=STAT")) == []
    told = operator.get("/api/studies/1.2.1").json
    assert (told["suggestions"], told["jobs"]) == ([], [])
    [former] = told["suggested"]
    assert (former["urgency"], former["revision"]) == ("STAT", 1)
    assert former["standing"] == "superseded"
    assert [one["revision"] for one in told["results"]] == [1]
    page = served.browser().get("/studies/1.2.1").body.decode()
    assert "superseded: a later revision replaced it" in page
    assert "AI suggests: read first" not in page
    results = db.desk_results.results_of(
        served.database, [study_id], now=served.clock.now()
    )
    assert [(one.holds, one.left_out) for one in results[study_id]] == [(False, True)]


def test_a_study_that_is_being_received_says_when_it_is_complete(
    served: Served, operator: Caller
) -> None:
    study_id = enter_study(served.database, "1.2.1", at=0)
    # What the worker waits for, by a query of its own; 10 s and 1 h are the defaults.
    due = db.studies.next_quiet_at(
        served.database, quiet_seconds=10, limit_seconds=3600
    )
    assert due == after(10)
    [shown] = operator.get("/api/studies").json["studies"]
    assert datetime.fromisoformat(shown["complete_at"]) == due
    page = served.browser().get("/studies/1.2.1").body.decode()
    assert "It is being routed now." in page  # the clock of the test is a minute on
    served.clock.at = after(4)
    page = served.browser().get("/studies/1.2.1").body.decode()
    assert f'datetime="{due.isoformat(timespec="milliseconds")}"' in page
    assert "if nothing more arrives" in page
    finish(served.database, study_id, urgency=None)
    assert operator.get("/api/studies/1.2.1").json["complete_at"] is None


def test_a_study_tells_its_timeline_its_verdicts_and_its_deliveries(
    served: Served, operator: Caller
) -> None:
    study_id = enter_study(served.database, "1.2.1")
    finish(served.database, study_id, urgency=Urgency.STAT)
    outbox.settle_delivery(
        served.database, claim_delivery(served.database), SENT, now=after(11)
    )
    told = operator.get("/api/studies/1.2.1").json
    assert [event["what"] for event in told["timeline"]][:2] == ["received", "routed"]
    verdicts = told["decisions"][0]["verdicts"]
    assert [item["matched"] for item in verdicts] == [True, False]
    [sent] = told["sent"]
    assert (sent["state"], sent["status"], sent["proof"]) == ("DONE", "0x0000", "sent")
    [result] = told["results"]
    assert result["findings"][0]["meaning"] == "Pneumonia"


def test_a_failed_delivery_is_sent_again_once(served: Served, operator: Caller) -> None:
    study_id = enter_study(served.database, "1.2.1")
    finish(served.database, study_id, urgency=None)
    number = fail_delivery(served.database)
    failed = operator.get("/api/deliveries?state=FAILED").json["deliveries"]
    assert [item["delivery_id"] for item in failed] == [number]
    assert failed[0]["reason"] == "the PACS refused"
    path = f"/api/deliveries/{number}/retry"
    assert operator.post(path).json == {"delivery_id": number, "state": "QUEUED"}
    assert operator.post(path).status == 409
    assert served.woken == ["deliver"]
    assert operator.get(f"/api/deliveries/{number}").json["state"] == "QUEUED"
    [(_, entry)] = db.audit.latest(served.database, limit=9)
    assert (entry.action, entry.study_id) == ("retry", study_id)


def test_a_browser_retries_with_the_token_of_its_page_only(served: Served) -> None:
    study_id = enter_study(served.database, "1.2.1")
    finish(served.database, study_id, urgency=None)
    path = f"/api/deliveries/{fail_delivery(served.database)}/retry"
    add_user(served.database, "kim", Role.OPERATOR)
    browser = served.browser()
    browser.log_in("kim")
    assert browser.ask("POST", path).status == 403
    from dicom_node.web.csrf import csrf_token

    headers = {"X-CSRF-Token": csrf_token(browser.cookies["dicom-node"])}
    evil = {**headers, "Origin": "https://evil.example"}
    assert browser.ask("POST", path, headers=evil).status == 403
    assert browser.ask("POST", path, headers=headers).status == 200


def test_a_study_is_run_again_as_a_new_revision(
    served: Served, operator: Caller
) -> None:
    study_id = enter_study(served.database, "1.2.1")
    assert operator.post("/api/studies/1.2.1/replay").status == 409  # still receiving
    finish(served.database, study_id, urgency=None)
    assert operator.post("/api/studies/1.2.1/replay").json == {"revision": 2}


def test_destinations_tell_what_waits_for_them(
    served: Served, operator: Caller
) -> None:
    finish(served.database, enter_study(served.database, "1.2.1"), urgency=None)
    [pacs] = operator.get("/api/destinations").json["destinations"]
    assert (pacs["name"], pacs["kind"]) == ("pacs", None)
    assert pacs["deliveries"]["QUEUED"] == 1
    assert operator.get("/api/queues").json["deliveries"]["QUEUED"] == 1


def test_names_are_for_those_who_may_see_them_and_every_look_is_audited(
    served: Served, folder: Path
) -> None:
    study_id = enter_study(served.database, "1.2.1")
    _write_files(served.database, folder)
    path = "/api/studies/1.2.1/patient"
    assert Caller(served, Role.ADMIN).get(path).status == 403
    assert db.audit.latest(served.database, limit=9) == ()
    shown = Caller(served, Role.VIEWER, sees_names=True).get(path)
    assert shown.json == {
        "name": EVIL_NAME,
        "patient_id": "P1",
        "birth_date": "19700101",
        "sex": "O",
    }
    [(_, entry)] = db.audit.latest(served.database, limit=9)
    assert (entry.action, entry.study_id) == ("name seen", study_id)
    assert entry.who == "token viewer-True"


def test_a_file_that_is_gone_or_broken_has_no_name_and_tells_nothing(
    served: Served, folder: Path
) -> None:
    enter_study(served.database, "1.2.1")
    caller = Caller(served, Role.VIEWER, sees_names=True)
    assert caller.get("/api/studies/1.2.1/patient").status == 404
    _write_files(served.database, folder)
    for file in folder.iterdir():
        file.write_bytes(b"Doe^Jane" * 100)
    answer = caller.get("/api/studies/1.2.1/patient")
    assert answer.status == 404
    assert b"Doe" not in answer.body


def test_script_in_a_study_stays_text_in_json_and_csv(
    served: Served, operator: Caller
) -> None:
    enter_study(served.database, "1.2.1", accession=EVIL)
    enter_study(served.database, "1.2.2", accession="=1+cmd|' /C calc'!A0")
    answer = operator.get("/api/studies")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.json["studies"][1]["accession_number"] == EVIL
    table = operator.get("/api/studies.csv")
    assert table.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.body.decode())))
    assert rows[0]["accession_number"].startswith("'=")
    assert rows[1]["accession_number"] == EVIL


def test_what_the_router_refuses_is_json_under_the_api(served: Served) -> None:
    browser = served.browser()
    for method, path, status in (
        ("GET", "/api/absent", 404),
        ("DELETE", "/api/studies", 405),
        ("GET", "/api/deliveries/1/retry", 405),
    ):
        answer = browser.ask(method, path)
        assert answer.status == status
        assert set(json.loads(answer.body)) == {"error"}
    assert answer.headers["allow"] == "POST"


def test_a_body_is_bounded_and_a_form(served: Served) -> None:
    browser: Browser = served.browser()
    path = "/api/studies/1.2.1/retry"
    assert browser.ask("POST", path, body=b"x" * 70_000).status == 413
    json_type = {"Content-Type": "application/json"}
    assert browser.ask("POST", path, body=b"{}", headers=json_type).status == 415
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for body in (b"a=1&a=2", b"a=%ff", b"a=\xff", b"&".join([b"a=1"] * 70)):
        assert browser.ask("POST", path, body=body, headers=form).status == 400


def _write_files(database: Database, folder: Path) -> None:
    with database.read() as connection:
        keys = connection.execute(select(versions.c.file_key)).scalars().all()
    for key in keys:
        write_file(folder, key)
