"""A result as one FHIR transaction, which changes nothing when it is sent again.

What others may own too (patient, study, algorithm) is created where it is missing; what
is ours is created or brought up to date.

Source: HL7 FHIR R4 Bundle, RESTful API 3.1.0.5 (conditional create), 3.1.0.4.3
(conditional update), 3.1.0.11 (transaction).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from urllib.parse import quote
from uuid import UUID, uuid5

from dicom_node.worklist.fhir_case import Case, Standing, Target, identifier_of
from dicom_node.worklist.fhir_observation import withdraw
from dicom_node.worklist.fhir_resources import resources
from dicom_node.worklist.fhir_values import JSON

_CREATED: Final = frozenset({"Patient", "ImagingStudy", "Device"})
_URI: Final = "urn:ietf:rfc:3986"


def urn(target: Target) -> str:
    """Return how entries of one Bundle refer to one another."""
    return f"urn:uuid:{target.uuid}"


def write_bundle(
    case: Case,
    *,
    patient: tuple[Target, JSON] | None,
    withdrawn: Sequence[JSON],
    seed: str,
) -> tuple[str, bytes]:
    """Return Bundle.identifier's value and the Bundle.

    Args:
        withdrawn: Observations of earlier Bundles; those that are told again stay.
        seed: what tells apart Bundles of the same content.

    Raises:
        ReportError: a number of a finding is not finite.
    """
    entries = [] if patient is None else [_entry(*patient)]
    entries += [_entry(target, made) for target, made in resources(case)]
    told = {urn(target) for target, _ in case.observations}
    for observation in withdrawn:
        target = Target(kind="Observation", key=_own_value(observation))
        if urn(target) not in told:
            entries.append(_entry(target, withdraw(case, observation)))
    content = _encode({"entry": entries})
    name = uuid5(UUID(case.report.uuid), f"{seed}|{content.decode()}")
    bundle: JSON = {
        "resourceType": "Bundle",
        "identifier": {"system": _URI, "value": f"urn:uuid:{name}"},
        "type": "transaction",
        "entry": entries,
    }
    return f"urn:uuid:{name}", _encode(bundle)


def read_bundle(content: bytes) -> tuple[JSON, ...] | None:
    """Return the resources of a Bundle of ours, None if it cannot be read."""
    try:
        entries = json.loads(content)["entry"]
        found = tuple(entry["resource"] for entry in entries)
    except (ValueError, TypeError, LookupError, RecursionError):
        return None
    return found if all(isinstance(one, dict) for one in found) else None


def observations_of(earlier: Sequence[JSON]) -> tuple[JSON, ...]:
    """Return the Observations, those that were withdrawn too.

    The Bundle that withdrew them may never have been sent.
    """
    return tuple(one for one in earlier if one.get("resourceType") == "Observation")


def told_result(earlier: Sequence[JSON]) -> bool:
    """Say whether a result was told, or taken back, by these resources."""
    return any(
        one.get("resourceType") == "DiagnosticReport"
        and one.get("status") != Standing.NOT_EVALUATED
        for one in earlier
    )


def told_task(earlier: Sequence[JSON]) -> bool:
    """Say whether something was suggested by these resources."""
    return any(one.get("resourceType") == "Task" for one in earlier)


def _entry(target: Target, resource: JSON) -> JSON:
    # A Patient's identifier is its own; of the others we know the first.
    identifier = identifier_of(target)
    if target.kind == "Patient":
        identifier = next(_identifiers(resource))
    query = f"identifier={_token(identifier)}"
    if target.kind in _CREATED:
        request: JSON = {"method": "POST", "url": target.kind, "ifNoneExist": query}
    else:
        request = {"method": "PUT", "url": f"{target.kind}?{query}"}
    return {"fullUrl": urn(target), "resource": resource, "request": request}


def _token(identifier: Mapping[str, object]) -> str:
    """Write a token to search by; what separates tokens is escaped (R4 3.1.1.4.0.1)."""
    parts = (str(identifier.get(name, "")) for name in ("system", "value"))
    return "%7C".join(quote(_escape(part), safe="") for part in parts)


def _escape(part: str) -> str:
    for mark in ("\\", "$", ",", "|"):
        part = part.replace(mark, f"\\{mark}")
    return part


def _own_value(observation: JSON) -> str:
    return str(next(_identifiers(observation), {}).get("value", ""))


def _identifiers(resource: JSON) -> Iterator[JSON]:
    found = resource.get("identifier")
    yield from found if isinstance(found, list) else ()


def _encode(document: JSON) -> bytes:
    return json.dumps(
        document, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    ).encode()
