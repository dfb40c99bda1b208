"""A FHIR server in memory that carries transactions out, as the standard says.

Source: HL7 FHIR R4 RESTful API 3.1.0.4.3, 3.1.0.5 and 3.1.0.11.
"""

import json
import socket
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from tests.integration.deliver.http_service import Asked, answer

FHIR_JSON = "application/fhir+json"


def said(status: int, document: Any) -> Any:
    """Answer with a FHIR document."""
    return answer(status, json.dumps(document).encode(), content_type=FHIR_JSON)


def outcome(code: str, *, severity: str = "error", text: str = "") -> dict[str, Any]:
    """Make an OperationOutcome."""
    issue = {"severity": severity, "code": code, "diagnostics": text}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def response(*statuses: str | None) -> dict[str, Any]:
    """Make a transaction-response with these statuses."""
    return {
        "resourceType": "Bundle",
        "type": "transaction-response",
        "entry": [
            {"response": {"status": status}} if status else {} for status in statuses
        ],
    }


@dataclass(slots=True)
class FHIRServer:
    """Keeps resources by kind and id; a Behaviour of the HTTP service.

    Args:
        versions: how often each resource was written.
    """

    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    def __call__(self, connection: socket.socket, asked: Asked) -> None:
        """Answer one request."""
        if asked.method == "GET":
            document: dict[str, Any] = {
                "resourceType": "CapabilityStatement",
                "fhirVersion": "4.0.1",
                "rest": [{"mode": "server", "interaction": [{"code": "transaction"}]}],
            }
        else:
            document = self.carry_out(json.loads(asked.body))
        said(200, document)(connection, asked)

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """Return the resources of a kind."""
        return [one for one in self.kept.values() if one["resourceType"] == kind]

    def carry_out(self, bundle: dict[str, Any]) -> dict[str, Any]:
        """Keep what a transaction holds; return the transaction-response."""
        places: dict[str, str] = {}
        statuses: list[str | None] = []
        for entry in bundle["entry"]:
            place, status = self._place(entry)
            places[entry["fullUrl"]] = place
            statuses.append(status)
        for entry, done in zip(bundle["entry"], statuses, strict=True):
            place = places[entry["fullUrl"]]
            if done == "200 OK" and entry["request"]["method"] == "POST":
                continue  # it is there: nothing is changed
            resource = _linked(entry["resource"], places)
            if self.kept.get(place) != resource:
                self.versions[place] = self.versions.get(place, 0) + 1
            self.kept[place] = resource
        return response(*statuses)

    def _place(self, entry: dict[str, Any]) -> tuple[str, str]:
        """Find where an entry goes by its condition."""
        request, kind = entry["request"], entry["resource"]["resourceType"]
        query = request.get("ifNoneExist") or request["url"].partition("?")[2]
        (token,) = parse_qs(query)["identifier"]
        system, _, value = token.partition("|")
        matches = [
            place
            for place, one in self.kept.items()
            if one["resourceType"] == kind
            and any(
                (found.get("system"), found["value"]) == (system, value)
                for found in one["identifier"]
            )
        ]
        if matches:
            (place,) = matches
            return place, "200 OK"
        place = f"{kind}/{len(self.kept) + 1}"
        self.kept[place] = {"resourceType": kind, "identifier": []}
        return place, "201 Created"


def _linked(value: Any, places: dict[str, str]) -> Any:
    """Return a resource whose references name places on the server."""
    if isinstance(value, dict):
        return {
            key: places[item] if key == "reference" else _linked(item, places)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_linked(item, places) for item in value]
    return value
