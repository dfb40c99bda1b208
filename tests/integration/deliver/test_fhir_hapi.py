"""A FHIR server with the habits of HAPI: conditions are searched, answers have detail.

Source: HL7 FHIR R4 RESTful API 3.1.0.8.1 (conditional create), 3.1.0.4.3 (conditional
update), 3.1.0.7 (410 Gone) and 3.1.0.11.2 (transaction response).
"""

import json
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from dicom_node.deliver.fhir import FHIRDestination
from tests.integration.deliver.fhir_server import FHIRServer, outcome, said
from tests.integration.deliver.http_service import Asked, running_service
from tests.integration.deliver.test_fhir import (
    ENTRIES,
    NAME,
    fault_of,
    table,
    written,
)
from tests.unit.worklist import results
from tests.unit.worklist.results import finding, prediction

Token = tuple[str, str]


def _token(request: dict[str, Any]) -> Token:
    query = request.get("ifNoneExist") or request["url"].partition("?")[2]
    (found,) = parse_qs(query, strict_parsing=True)["identifier"]
    system, _, value = found.partition("|")
    return system, value


def _tokens(resource: dict[str, Any]) -> set[Token]:
    return {
        (one.get("system", ""), one["value"]) for one in resource.get("identifier", ())
    }


@dataclass(slots=True)
class HapiServer:
    """Refuses what HAPI refuses, else carries out as `FHIRServer` does."""

    inner: FHIRServer = field(default_factory=FHIRServer)
    statuses: list[list[str]] = field(default_factory=list)

    def __call__(self, connection: socket.socket, asked: Asked) -> None:
        bundle = json.loads(asked.body)
        status, text = self._refusal(bundle)
        if status:
            refusal = outcome("processing", text=f"{text} {NAME}")
            said(status, refusal)(connection, asked)
            return
        before = dict(self.inner.versions)
        document = self.inner.carry_out(bundle)
        for entry, sent in zip(document["entry"], bundle["entry"], strict=True):
            place = self._place(sent)
            version = self.inner.versions[place]
            entry["response"] |= {
                "location": f"{place}/_history/{version}",
                "etag": f'W/"{version}"',
                "lastModified": "2026-11-23T10:00:00.000+00:00",
                "outcome": outcome("informational", severity="information", text=NAME),
            }
            assert (place in before) == entry["response"]["status"].startswith("200")
        self.statuses.append([one["response"]["status"] for one in document["entry"]])
        said(200, document)(connection, asked)

    def _matches(self, entry: dict[str, Any]) -> list[str]:
        kind = entry["resource"]["resourceType"]
        return [
            place
            for place, one in self.inner.kept.items()
            if one["resourceType"] == kind and _token(entry["request"]) in _tokens(one)
        ]

    def _place(self, entry: dict[str, Any]) -> str:
        (place,) = self._matches(entry)
        return place

    def _refusal(self, bundle: dict[str, Any]) -> tuple[int, str]:
        conditions = [
            (one["resource"]["resourceType"], _token(one["request"]))
            for one in bundle["entry"]
        ]
        if len(conditions) != len(set(conditions)):
            return 400, "several entries with one condition"
        for entry in bundle["entry"]:
            if _token(entry["request"]) not in _tokens(entry["resource"]):
                return 400, "the resource does not satisfy its own condition"
            if len(self._matches(entry)) > 1:
                return 412, "multiple resources match this search"
        return 0, ""


def test_conditions_without_a_match_create_and_with_one_match_change_nothing(
    tmp_path: Path,
) -> None:
    image = results.image_file(tmp_path)
    message = written(tmp_path, results.result([image], prediction(finding())))
    server = HapiServer()
    with running_service(server) as service:
        destination = FHIRDestination(table(service.url))
        notes = [
            destination.send([message], chosen=None, on_chosen=lambda _: None).note
            for _ in range(2)
        ]
    assert notes == ["", ""]
    created, again = server.statuses
    assert set(created) == {"201 Created"}
    assert set(again) == {"200 OK"}
    assert set(server.inner.versions.values()) == {1}
    assert len(server.inner.kept) == len(created) <= ENTRIES


def test_several_matches_of_a_condition_are_told_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    image = results.image_file(tmp_path)
    message = written(tmp_path, results.result([image], prediction(finding())))
    (study,) = (
        entry["resource"]
        for entry in json.loads(message.path.read_bytes())["entry"]
        if entry["resource"]["resourceType"] == "ImagingStudy"
    )
    server = HapiServer()
    server.inner.kept = {"ImagingStudy/1": study, "ImagingStudy/2": study}
    error = fault_of(message, server)
    assert not error.retryable
    assert error.status == 412
    assert "merge them there" in str(error)
    assert "several resources" in str(error)
    assert len(server.inner.kept) == 2


@pytest.mark.parametrize("code", ["deleted", "processing"])
def test_a_resource_that_was_deleted_there_is_told_as_such(
    tmp_path: Path, code: str
) -> None:
    image = results.image_file(tmp_path)
    message = written(tmp_path, results.result([image], prediction(finding())))
    error = fault_of(message, said(410, outcome(code, text=f"deleted: {NAME}")))
    assert "was deleted there" in str(error)
    assert "check url" not in str(error)
    assert f"[{code}]" in str(error)
    assert not error.retryable
