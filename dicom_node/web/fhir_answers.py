"""FHIR's own answers: a page of a search, what the server can do, what went wrong."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from starlette.responses import Response

from dicom_node import __version__

JSON = dict[str, object]
MEDIA_TYPE: Final = "application/fhir+json"
KINDS: Final = ("DiagnosticReport", "Observation", "Device", "ImagingStudy", "Task")

_ISSUES: Final = {
    400: "invalid",
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    406: "not-supported",
    500: "exception",
    503: "transient",
}
ACCESSION: Final = "accession"
_RELEASED: Final = "2026-11-23"
PARAMETERS: Final = (
    ("_id", "token", "the resource's id"),
    ("_lastUpdated", "date", "when the result was written"),
    ("identifier", "token", "system|value or value"),
    (ACCESSION, "token", "the Accession Number of the study's order"),
)


def fhir_answer(
    document: Mapping[str, object],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer with a resource."""
    return Response(
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode(),
        status_code=status,
        media_type=f"{MEDIA_TYPE}; charset=utf-8",
        headers=dict(headers or {}),
    )


def outcome(status: int, text: str) -> JSON:
    """Return an OperationOutcome."""
    issue = {
        "severity": "error",
        "code": _ISSUES.get(status, "processing"),
        "diagnostics": text,
    }
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def search_page(
    found: Sequence[Mapping[str, object]], *, base: str, links: Mapping[str, str]
) -> JSON:
    """Return a page of a search.

    Args:
        base: the address of the API.
        links: by relation: self, next.
    """
    page: JSON = {
        "resourceType": "Bundle",
        "type": "searchset",
        "link": [{"relation": name, "url": url} for name, url in links.items()],
    }
    if found:
        page["entry"] = [
            {
                "fullUrl": f"{base}/{one['resourceType']}/{one['id']}",
                "resource": one,
                "search": {"mode": "match"},
            }
            for one in found
        ]
    return page


def searches_by(kind: str, parameter: str) -> bool:
    """Say whether a kind of resource can be searched by a parameter."""
    return (kind, parameter) != ("Device", ACCESSION)  # one algorithm, many orders


def capability_statement(base: str) -> JSON:
    """Return what this server can do."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _RELEASED,
        "kind": "instance",
        "software": {"name": "dicom-node", "version": __version__},
        "implementation": {"description": "Results of AI models", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [
            {
                "mode": "server",
                "security": {
                    "description": "Bearer token of a viewer; who it is only for one "
                    "that may see names"
                },
                "resource": [
                    {
                        "type": kind,
                        "interaction": [{"code": "read"}, {"code": "search-type"}],
                        "versioning": "versioned",
                        "searchParam": [
                            {"name": name, "type": of, "documentation": words}
                            for name, of, words in PARAMETERS
                            if searches_by(kind, name)
                        ],
                    }
                    for kind in KINDS
                ],
            }
        ],
    }
