"""Results read and searched as FHIR: by FHIR's rules, and by whose right it is."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.operationoutcome import OperationOutcome
from sqlalchemy import select

import db.audit
from db import outbox, studies, work
from db.engine import Database
from db.tables import versions
from dicom_node.core.ids import StudyId
from dicom_node.core.people import AuditEntry, Role
from dicom_node.core.states import Outcome, Urgency
from dicom_node.core.types import Suggestion
from dicom_node.web.fhir_answers import KINDS
from tests.integration.db.samples import (
    after,
    claim,
    prediction,
    report,
    route_study,
    settlement,
)
from tests.integration.web.browser import (
    Served,
    add_token,
    add_user,
    bearer,
    serving_desk,
)
from tests.integration.web.site import Answer
from tests.integration.web.studies import ROUTE, enter_study, finish
from tests.unit.worklist.fhir_rules import faults_of_resource
from tests.unit.worklist.results import image_file

UID = "1.2.3"
FHIR_JSON = "application/fhir+json; charset=utf-8"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


@pytest.fixture
def served(database: Database, folder: Path) -> Iterator[Served]:
    with serving_desk(database, folder) as running:
        running.clock.pass_by(minutes=1)
        yield running


class Reader:
    """A program with a token."""

    def __init__(self, served: Served, *, sees_names: bool = False) -> None:
        secret = add_token(served.database, Role.VIEWER, sees_names=sees_names)
        self._headers, self._browser = bearer(secret), served.browser()

    def get(self, path: str) -> Answer:
        return self._browser.ask("GET", path, headers=self._headers)

    def found(self, path: str) -> list[dict[str, Any]]:
        """Search, and hold what is found against FHIR's rules."""
        page = self.page(path)
        return [entry["resource"] for entry in page.get("entry", [])]

    def page(self, path: str) -> dict[str, Any]:
        """Return a page of a search."""
        answer = self.get(path)
        assert answer.status == 200, answer.body
        assert answer.headers["content-type"] == FHIR_JSON
        page: dict[str, Any] = answer.json
        Bundle.model_validate_json(answer.body)
        for entry in page.get("entry", []):
            assert faults_of_resource(entry["resource"]) == []
        return page


@pytest.fixture
def reader(served: Served) -> Reader:
    return Reader(served)


def settle(
    database: Database,
    study_id: StudyId,
    outcome: Outcome = Outcome.PRESENT,
    *,
    suggestion: Suggestion | None = None,
    at: float = 1,
    goes_on: bool = False,
) -> None:
    """Settle the study's next job with this outcome, or only keep its result."""
    job = claim(database, at=at)
    made = replace(
        settlement(report(f"2.25.{job.job_id}")),
        prediction=prediction(outcome),
        suggestion=suggestion,
    )
    keep = outbox.keep_result if goes_on else work.settle_job
    keep(database, job, made, now=after(at))


def keep_file(database: Database, folder: Path, study_uid: str = UID) -> None:
    """Write the file of the only instance, of Jane Doe."""
    with database.read() as connection:
        key = connection.execute(select(versions.c.file_key)).scalars().first()
    written = image_file(folder, StudyInstanceUID=study_uid)
    shutil.move(written.path, folder / str(key))


@pytest.fixture
def study(database: Database, folder: Path) -> StudyId:
    """Return a study with a result that is to be read at once."""
    study_id = enter_study(database, UID, accession="ACC-1")
    finish(database, study_id, urgency=Urgency.STAT)
    keep_file(database, folder)
    return study_id


def test_what_the_server_can_do_is_told_to_everybody(served: Served) -> None:
    add_user(served.database, "kim")
    answer = served.browser().get("/fhir/metadata")
    assert answer.status == 200
    CapabilityStatement.model_validate_json(answer.body)
    assert answer.json["fhirVersion"] == "4.0.1"
    assert [one["type"] for one in answer.json["rest"][0]["resource"]] == list(KINDS)


def test_every_kind_is_searched_by_what_the_statement_names_and_by_nothing_else(
    served: Served, reader: Reader
) -> None:
    (rest,) = served.browser().get("/fhir/metadata").json["rest"]
    values = {"_lastUpdated": "ge2026-01-01"}
    known = {one["name"] for kind in rest["resource"] for one in kind["searchParam"]}
    assert known == {"_id", "_lastUpdated", "identifier", "accession"}
    for kind in rest["resource"]:
        named = {one["name"] for one in kind["searchParam"]}
        for name in sorted(known | {"code"}):
            value = values.get(name, "x")
            answer = reader.get(f"/fhir/{kind['type']}?{name}={value}")
            expected = 200 if name in named else 400
            assert answer.status == expected, (kind["type"], name)


def test_the_description_of_the_api_leads_to_that_of_fhir(served: Served) -> None:
    linked = served.browser().get("/api/openapi.json").json["externalDocs"]["url"]
    assert served.browser().get(linked).json["resourceType"] == "CapabilityStatement"


def test_nobody_reads_without_a_token_and_the_refusal_is_fhir(
    served: Served, study: StudyId
) -> None:
    add_user(served.database, "kim")
    for path in ("/fhir/Observation", f"/fhir/Task/{study}-x"):
        answer = served.browser().get(path)
        assert answer.status == 401
        OperationOutcome.model_validate_json(answer.body)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_found_can_be_read_and_its_references_followed(
    reader: Reader, study: StudyId, kind: str
) -> None:
    (found,) = reader.found(f"/fhir/{kind}")
    answer = reader.get(f"/fhir/{kind}/{found['id']}")
    assert answer.json == found
    assert answer.headers["etag"] == 'W/"1"'
    for reference in _references(found):
        there = reader.get(f"/fhir/{reference}")
        assert there.status == 200
        assert there.json["resourceType"] == reference.partition("/")[0]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "reference" in value:
            yield value["reference"]
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def audit(database: Database) -> list[AuditEntry]:
    return [entry for _, entry in db.audit.latest(database, limit=100)]


def test_names_are_for_who_may_see_them_and_every_look_is_in_the_audit(
    served: Served, database: Database, study: StudyId
) -> None:
    blind, seeing = Reader(served), Reader(served, sees_names=True)
    for kind in KINDS:
        text = json.dumps(blind.found(f"/fhir/{kind}"))
        assert "Doe" not in text
        assert "1CT1" not in text
    assert "name seen" not in [one.action for one in audit(database)]
    (told,) = seeing.found("/fhir/Observation")
    assert told["subject"]["display"] == "Doe Jane"
    assert told["subject"]["identifier"]["value"] == "1CT1"
    seen = [one for one in audit(database) if one.action == "name seen"]
    assert [one.study_id for one in seen] == [study]


def test_a_study_whose_files_are_gone_is_told_all_the_same(
    served: Served, database: Database
) -> None:
    finish(database, enter_study(database, UID, accession="A7"), urgency=None)
    (found,) = Reader(served, sees_names=True).found("/fhir/DiagnosticReport")
    assert found["basedOn"][0]["identifier"]["value"] == "A7"
    assert found["subject"]["extension"][0]["valueCode"] == "unknown"


@pytest.mark.parametrize(
    ("kind", "query", "count"),
    [
        ("ImagingStudy", f"identifier=urn:dicom:uid|urn:oid:{UID}", 1),
        ("ImagingStudy", f"identifier=urn:oid:{UID}", 1),
        ("ImagingStudy", f"identifier=other|urn:oid:{UID}", 0),
        ("ImagingStudy", "identifier=ACC-1", 1),
        ("ImagingStudy", "identifier=|ACC-1", 1),
        ("ImagingStudy", "identifier=ACC-2,ACC-1", 1),
        ("ImagingStudy", "identifier=ACC", 0),
        ("DiagnosticReport", "accession=ACC-1", 1),
        ("Observation", "accession=ACC-1", 1),
        ("Task", "accession=ACC-1", 1),
        ("Task", "accession=ACC-2", 0),
        ("Device", "identifier=urn:dicom:uid|urn:oid:2.25.1", 1),
        ("Device", "identifier=urn:oid:2.25.2", 0),
        ("DiagnosticReport", "_lastUpdated=ge2020-01-01", 1),
        ("DiagnosticReport", "_lastUpdated=lt2020-01-01", 0),
        ("DiagnosticReport", "_lastUpdated=gt2020&_lastUpdated=lt2021-01", 0),
        ("DiagnosticReport", "_id=7-x,1-y", 0),
    ],
)
def test_a_search_finds_what_it_asks_for(
    reader: Reader, study: StudyId, kind: str, query: str, count: int
) -> None:
    assert len(reader.found(f"/fhir/{kind}?{quote(query, safe='=&')}")) == count


def test_a_resource_is_found_by_its_own_identifier_and_id(
    reader: Reader, study: StudyId
) -> None:
    for kind in ("DiagnosticReport", "Observation", "Task"):
        (found,) = reader.found(f"/fhir/{kind}")
        own = found["identifier"][0]
        token = quote(f"{own['system']}|{own['value']}", safe="")
        assert reader.found(f"/fhir/{kind}?identifier={token}") == [found]
        assert reader.found(f"/fhir/{kind}?_id={found['id']}") == [found]


@pytest.mark.parametrize(
    "moment",
    ["2026-02-28T23:59:59.999Z", "2026-02-28", "2026-02", "2025"],
)
def test_a_moment_is_as_long_as_it_is_written(
    served: Served, reader: Reader, study: StudyId, moment: str
) -> None:
    (found,) = reader.found("/fhir/Task")
    updated = found["meta"]["lastUpdated"]
    second = quote(updated.partition(".")[0] + "Z", safe="")
    assert len(reader.found(f"/fhir/Task?_lastUpdated={second}")) == 1
    assert len(reader.found(f"/fhir/Task?_lastUpdated=gt{second}")) == 0
    assert len(reader.found(f"/fhir/Task?_lastUpdated=le{second}")) == 1
    before = updated < moment
    assert len(reader.found(f"/fhir/Task?_lastUpdated=lt{moment}")) == int(before)


def test_pages_follow_one_another_without_a_gap_or_a_repeat(
    reader: Reader, database: Database
) -> None:
    for number in range(5):
        finish(
            database,
            enter_study(database, f"1.2.{number}", accession=f"A{number}"),
            urgency=Urgency.ROUTINE,
        )
    path, pages, seen = "/fhir/Task?_count=2&_lastUpdated=ge2020", 0, []
    while path:
        page = reader.page(path)
        pages += 1
        seen += [entry["resource"]["id"] for entry in page["entry"]]
        links = {one["relation"]: one["url"] for one in page["link"]}
        after_this = urlsplit(links["next"]) if "next" in links else None
        path = f"{after_this.path}?{after_this.query}" if after_this else ""
    assert pages == 3
    assert len(seen) == len(set(seen)) == 5


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("Patient", 404),
        ("Observation/1-nothing", 404),
        ("Observation/99999999999999999999-0", 404),
        ("Observation/" + "0" * 5 + "7-" + "0" * 36, 404),
        ("Observation?patient=1", 400),
        ("Observation?_count=0", 400),
        ("Observation?_count=x", 400),
        ("Observation?_lastUpdated=ne2020", 400),
        ("Observation?_lastUpdated=2020-13", 400),
        ("Observation?_lastUpdated=9999", 400),
        ("Observation?_after=1", 400),
        ("Observation?identifier=a|b|c", 400),
        ("Observation?identifier=", 400),
        ("Observation?identifier=a&identifier=b", 400),
        ("Observation?identifier=" + ",".join("a" * 51), 400),
        ("Observation?_format=xml", 406),
        ("Device?accession=A1", 400),
    ],
)
def test_what_cannot_be_answered_is_refused_in_fhir(
    reader: Reader, study: StudyId, path: str, status: int
) -> None:
    answer = reader.get(f"/fhir/{path}")
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == FHIR_JSON
    OperationOutcome.model_validate_json(answer.body)


def test_a_later_revision_without_result_takes_the_report_back(
    served: Served, database: Database, reader: Reader
) -> None:
    study_id = enter_study(database, UID)
    finish(database, study_id, urgency=Urgency.STAT)
    (first,) = reader.found("/fhir/DiagnosticReport")
    told = reader.found("/fhir/Observation")
    studies.reopen(database, study_id, now=after(5))
    route_study(database, study_id, ROUTE, at=6)
    settle(database, study_id, Outcome.NOT_EVALUATED, at=7)
    (second,) = reader.found("/fhir/DiagnosticReport")
    assert first["status"] == "preliminary"
    assert (second["id"], second["status"]) == (first["id"], "entered-in-error")
    # R4: a record that was there and no longer holds is entered-in-error, not gone.
    again = reader.found("/fhir/Observation")
    assert [one["id"] for one in again] == [one["id"] for one in told]
    assert {one["status"] for one in again} == {"entered-in-error"}
    assert {one["meta"]["versionId"] for one in again} == {"2"}


def test_a_result_is_read_while_its_pictures_are_still_being_written(
    served: Served, database: Database, reader: Reader
) -> None:
    study_id = enter_study(database, UID)
    route_study(database, study_id, ROUTE)
    settle(database, study_id, goes_on=True)
    (found,) = reader.found("/fhir/DiagnosticReport?_lastUpdated=ge2026-03-01")
    assert found["status"] == "preliminary"
    assert found["meta"]["lastUpdated"] == "2026-03-01T12:00:01.000+00:00"
    row = served.browser().get("/").body.decode()
    assert "Being delivered" in row
    assert "AI is working" not in row


def test_a_suggestion_that_expired_is_cancelled(
    served: Served, database: Database, reader: Reader
) -> None:
    study_id = enter_study(database, UID)
    route_study(database, study_id, ROUTE)
    past = served.clock.now()
    suggestion = Suggestion(urgency=Urgency.STAT, reason="x", expires_at=past)
    settle(database, study_id, suggestion=suggestion)
    (task,) = reader.found("/fhir/Task")
    assert (task["status"], task["priority"]) == ("cancelled", "routine")
