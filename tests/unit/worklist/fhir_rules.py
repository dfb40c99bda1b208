"""Rules of FHIR R4 that fhir.resources does not check, written from the standard.

Source: HL7 FHIR R4 (4.0.1): json.html, datatypes.html, bundle.html, observation.html,
diagnosticreport.html, task.html, imagingstudy.html, device.html; the codes are those of
the value sets whose binding is "required".
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.etree import ElementTree

INSTANT = (
    r"([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)-(0[1-9]|1[0-2])-(0[1-9]|"
    r"[1-2][0-9]|3[0-1])T([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?"
    r"(Z|(\+|-)((0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
)
DATE = (
    r"([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)"
    r"(-(0[1-9]|1[0-2])(-(0[1-9]|[1-2][0-9]|3[0-1]))?)?"
)
CODE = r"[^\s]+(\s[^\s]+)*"
URI = r"\S+"
_FORMS = {
    "issued": INSTANT,
    "lastUpdated": INSTANT,
    "effectiveDateTime": f"{DATE}|{INSTANT}",
    "started": f"{DATE}|{INSTANT}",
    "authoredOn": f"{DATE}|{INSTANT}",
    "lastModified": f"{DATE}|{INSTANT}",
    "end": f"{DATE}|{INSTANT}",
    "birthDate": DATE,
    "system": URI,
    "fullUrl": URI,
    "id": r"[A-Za-z0-9\-\.]{1,64}",
}
_REQUIRED = {
    ("DiagnosticReport", "status"): {
        "registered", "partial", "preliminary", "final", "amended", "corrected",
        "appended", "cancelled", "entered-in-error", "unknown",
    },
    ("Observation", "status"): {
        "registered", "preliminary", "final", "amended", "corrected", "cancelled",
        "entered-in-error", "unknown",
    },
    ("ImagingStudy", "status"): {
        "registered", "available", "cancelled", "entered-in-error", "unknown",
    },
    ("Device", "status"): {"active", "inactive", "entered-in-error", "unknown"},
    ("Task", "status"): {
        "draft", "requested", "received", "accepted", "rejected", "ready",
        "cancelled", "in-progress", "on-hold", "failed", "completed",
        "entered-in-error",
    },
    ("Task", "intent"): {
        "unknown", "proposal", "plan", "order", "original-order", "reflex-order",
        "filler-order", "instance-order", "option",
    },
    ("Task", "priority"): {"routine", "urgent", "asap", "stat"},
    ("Patient", "gender"): {"male", "female", "other", "unknown"},
}  # fmt: skip
_MANDATORY = {
    "DiagnosticReport": {"status", "code"},
    "Observation": {"status", "code"},
    "ImagingStudy": {"status", "subject"},
    "Task": {"status", "intent"},
    "Device": set(),
    "Patient": set(),
}
# Which resources an element may refer to.
_TARGETS = {
    ("DiagnosticReport", "subject"): {"Patient", "Group", "Device", "Location"},
    ("DiagnosticReport", "result"): {"Observation"},
    ("DiagnosticReport", "imagingStudy"): {"ImagingStudy"},
    ("DiagnosticReport", "basedOn"): {
        "CarePlan", "ImmunizationRecommendation", "MedicationRequest",
        "NutritionOrder", "ServiceRequest",
    },
    ("Observation", "subject"): {"Patient", "Group", "Device", "Location"},
    ("Observation", "device"): {"Device", "DeviceMetric"},
    ("Observation", "basedOn"): {
        "CarePlan", "DeviceRequest", "ImmunizationRecommendation",
        "MedicationRequest", "NutritionOrder", "ServiceRequest",
    },
    ("Observation", "derivedFrom"): {
        "DocumentReference", "ImagingStudy", "Media", "QuestionnaireResponse",
        "Observation", "MolecularSequence",
    },
    ("ImagingStudy", "subject"): {"Patient", "Device", "Group"},
    ("ImagingStudy", "basedOn"): {
        "CarePlan", "ServiceRequest", "Appointment", "AppointmentResponse", "Task",
    },
    ("Task", "requester"): {
        "Device", "Organization", "Patient", "Practitioner", "PractitionerRole",
        "RelatedPerson",
    },
}  # fmt: skip

_REFERENCES = {element for _, element in _TARGETS} | {"for", "focus"}


def faults_of(bundle: Mapping[str, Any]) -> list[str]:
    """Return which rules a transaction breaks."""
    found = list(_faults_of_json(bundle, "Bundle"))
    kinds: dict[str, str] = {}
    for entry in bundle["entry"]:
        url = entry["fullUrl"]
        if url in kinds:
            found.append(f"bdl-7: {url} is there twice")
        kinds[url] = entry["resource"]["resourceType"]
        found += _faults_of_request(entry)
    for entry in bundle["entry"]:
        found += faults_of_resource(entry["resource"], kinds)
    return found


def faults_of_resource(
    resource: Mapping[str, Any], kinds: Mapping[str, str] | None = None
) -> list[str]:
    """Return which rules a resource breaks.

    Args:
        kinds: what is at each reference; None: the reference itself says it.
    """
    kind = resource["resourceType"]
    found = [f"{kind} lacks {key}" for key in _MANDATORY[kind] - resource.keys()]
    for (of, element), allowed in _REQUIRED.items():
        if of == kind and element in resource and resource[element] not in allowed:
            found.append(f"{kind}.{element} is no code of its value set")
    found += _faults_of_references(resource, kinds)
    found += _faults_of_json(resource, kind)
    if kind == "Observation":
        found += _faults_of_observation(resource)
    if kind == "Task" and resource["lastModified"] < resource["authoredOn"]:
        found.append("inv-1: Task.lastModified is before authoredOn")
    if "text" in resource:
        div = ElementTree.fromstring(resource["text"]["div"])  # noqa: S314 - our own
        text = "".join(div.itertext())
        if not text.strip():
            found.append("txt-2: a narrative without text")
    return found


def _faults_of_references(
    resource: Mapping[str, Any], kinds: Mapping[str, str] | None
) -> Iterator[str]:
    own = resource["resourceType"]
    for element, value in resource.items():
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(one, dict):
                continue
            if "reference" not in one and element not in _REFERENCES:
                continue
            if "reference" not in one and "extension" in one:
                continue  # there is nothing to refer to, with the reason
            if "reference" not in one:
                kind = one.get("type", "")
                if "identifier" not in one:
                    yield f"{own}.{element} refers to nothing"
            elif kinds is None:
                kind = one["reference"].partition("/")[0]
            elif one["reference"] in kinds:
                kind = kinds[one["reference"]]
            else:
                yield f"{own}.{element} refers to what is not there"
                continue
            allowed = _TARGETS.get((own, element))
            if allowed is not None and kind not in allowed:
                yield f"{own}.{element} must not refer to a {kind}"


def _faults_of_request(entry: Mapping[str, Any]) -> Iterator[str]:
    request, kind = entry.get("request"), entry["resource"]["resourceType"]
    if request is None:
        yield "bdl-3: a transaction's entry without a request"
        return
    if request["method"] == "PUT":
        path, _, query = request["url"].partition("?")
    else:
        path, query = request["url"], request.get("ifNoneExist", "")
        if request["method"] != "POST":
            yield "a request that is neither PUT nor POST"
    if path != kind:
        yield "a request of another kind than its resource"
    (token,) = parse_qs(query, strict_parsing=True)["identifier"]
    system, _, value = token.partition("|")
    if not system:
        yield "a condition that any system's identifier may fulfil"
    own = {(one.get("system"), one["value"]) for one in entry["resource"]["identifier"]}
    if (unquote(system), value.replace("\\", "")) not in own:
        yield "a condition that the resource itself does not fulfil"


def _faults_of_observation(resource: Mapping[str, Any]) -> Iterator[str]:
    values = [key for key in resource if re.fullmatch(r"value[A-Z]\w+", key)]
    if len(values) > 1:
        yield "more than one value[x]"
    if values and "dataAbsentReason" in resource:
        yield "obs-6: a value and the reason why there is none"
    codes = resource["code"].get("coding", [])
    for component in resource.get("component", []):
        if values and component["code"].get("coding") == codes:
            yield "obs-7: a component with the Observation's own code"
    ranges = list(resource.get("referenceRange", []))
    for component in resource.get("component", []):
        ranges += component.get("referenceRange", [])
    for one in ranges:
        if not {"low", "high", "text"} & one.keys():
            yield "obs-3: a range without low, high and text"


def _faults_of_json(value: Any, where: str) -> Iterator[str]:
    """Check what JSON and the primitive types ask for everywhere."""
    if value is None or value in ("", [], {}):
        yield f"{where} is empty"
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _faults_of_json(item, f"{where}.{key}")
            form = _FORMS.get(key)
            if form and isinstance(item, str) and not re.fullmatch(form, item):
                yield f"{where}.{key} has not the form of its type"
        code = value.get("code")
        if isinstance(code, str) and not re.fullmatch(CODE, code):
            yield f"{where}.code is no code"
    elif isinstance(value, list):
        for item in value:
            yield from _faults_of_json(item, where)
    elif isinstance(value, str) and any(
        ord(letter) < 0x20 or 0xD800 <= ord(letter) < 0xE000 for letter in value
    ):
        yield f"{where} holds a control character"
