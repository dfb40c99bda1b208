"""Searches that cannot be answered, and odd ones that can: always in FHIR's words."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.operationoutcome import OperationOutcome
from sqlalchemy import update

from db.engine import Database
from db.tables import predictions
from dicom_node.core.states import Urgency
from tests.integration.web.browser import Served, serving_desk
from tests.integration.web.studies import enter_study, finish
from tests.integration.web.test_fhir import FHIR_JSON, Reader


@pytest.fixture
def served(database: Database, tmp_path: Path) -> Iterator[Served]:
    study_id = enter_study(database, "1.2.3", accession="ACC-1")
    finish(database, study_id, urgency=Urgency.STAT)
    with serving_desk(database, tmp_path) as running:
        running.clock.pass_by(minutes=1)
        yield running


@pytest.fixture
def reader(served: Served) -> Reader:
    return Reader(served)


@pytest.mark.parametrize(
    "query",
    [
        "accession=a%00b",
        "identifier=%00%7Ca",
        "_id=%00",
        "_lastUpdated=ge0001-01-01T00:00:00%2B14:00",
        "_lastUpdated=lt9999-12-31T23:59:59-14:00",
        "_lastUpdated=0001",
        "accession=%5C",
        "identifier=%5C",
        "_after=999999999.999999",
        "identifier=%F0%9F%98%80",
    ],
)
def test_no_search_ends_with_an_error_of_the_server(reader: Reader, query: str) -> None:
    answer = reader.get(f"/fhir/Observation?{query}")
    assert answer.status in (200, 400), answer.body
    kind = Bundle if answer.status == 200 else OperationOutcome
    kind.model_validate_json(answer.body)


def test_a_backslash_that_was_escaped_does_not_escape_the_comma_after_it(
    reader: Reader,
) -> None:
    # FHIR R4 search 3.1.1.4.0.1: \\ is a backslash, and the comma separates.
    assert reader.found("/fhir/Observation?accession=x%5C%5C,ACC-1")
    assert not reader.found("/fhir/Observation?accession=x%5C,ACC-1")


def test_a_fault_of_ours_is_told_in_fhir_too(served: Served, reader: Reader) -> None:
    with served.database.write() as connection:
        connection.execute(update(predictions).values(document={"not": "ours"}))
    answer = reader.get("/fhir/Observation")
    assert answer.status == 500
    told = OperationOutcome.model_validate_json(answer.body)
    assert told.issue[0].code == "exception"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/fhir/Patient", 404),
        ("/fhir/Observation/nobody", 404),
        ("/fhir/Observation?code=x", 400),
        ("/fhir/Observation?_format=", 406),
        ("/fhir/Observation?_format=xml", 406),
        (f"/fhir/Observation?accession={'x' * 1001}", 400),
        ("/fhir/a/b/c", 404),
    ],
)
def test_every_refusal_is_an_operation_outcome(
    reader: Reader, path: str, status: int
) -> None:
    answer = reader.get(path)
    assert answer.status == status
    assert answer.headers["content-type"] == FHIR_JSON
    OperationOutcome.model_validate_json(answer.body)
