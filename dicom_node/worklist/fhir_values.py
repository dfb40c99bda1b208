"""FHIR R4 datatypes, made from what DICOM and the model cards say.

Source: HL7 FHIR R4 (4.0.1), datatypes; DICOM SR to FHIR implementation guide 1.0.0.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from html import escape
from typing import Final
from uuid import UUID

from dicom_node.core.types import CodedConcept
from dicom_node.worklist.order import Issuer, Order

JSON = dict[str, object]

UID_SYSTEM: Final = "urn:dicom:uid"
UNITS: Final = "http://unitsofmeasure.org"
_TYPES: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"
_ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_REPRESENTATION: Final = (
    "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
)
# The coding schemes of PS3.16 8 that have a URI in FHIR; others name none.
_SYSTEMS: Final = {
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
    "I10": "http://hl7.org/fhir/sid/icd-10",
    "ICD10": "http://hl7.org/fhir/sid/icd-10",
    "LN": "http://loinc.org",
    "RADLEX": "urn:oid:2.16.840.1.113883.6.256",
    "SCT": "http://snomed.info/sct",
    "UCUM": UNITS,
    "UMLS": "http://www.nlm.nih.gov/research/umls",
}
_OID: Final = re.compile(r"[0-2](\.(0|[1-9]\d*))+")
_MAX_TEXT: Final = 4096
# A PN's component groups: alphabetic, ideographic, phonetic (PS3.5 6.2.1.1).
_GROUPS: Final = ("ABC", "IDE", "SYL")
_GENDERS: Final = {"M": "male", "F": "female", "O": "other"}


def text(value: str) -> str:
    """Return a string without what FHIR does not allow in one: control characters."""
    kept = (
        " " if ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 else letter
        for letter in value.encode("utf-8", "replace").decode("utf-8")
    )
    return " ".join("".join(kept).split())[:_MAX_TEXT].rstrip()


def concept(coded: CodedConcept, *, words: str = "") -> JSON:
    """Return a CodeableConcept.

    Args:
        words: how people call it, where that is not the code's meaning.
    """
    meaning = text(coded.meaning)
    coding: JSON = {}
    if system := _SYSTEMS.get(coded.scheme.strip().upper()):
        coding["system"] = system
    if code := text(coded.value):
        coding["code"] = code
    if meaning:
        coding["display"] = meaning
    made: JSON = {"coding": [coding]} if coding else {}
    if said := text(words) or meaning or code:
        made["text"] = said
    return made


def quantity(value: float, unit: CodedConcept | None = None) -> JSON:
    """Return a Quantity; without a unit a number of dimension one."""
    if unit is None:
        return {"value": value, "system": UNITS, "code": "1"}
    made: JSON = {"value": value, "unit": text(unit.meaning) or text(unit.value)}
    system = _SYSTEMS.get(unit.scheme.strip().upper())
    if system is not None and (code := text(unit.value)):
        made |= {"system": system, "code": code}
    return made


def uid_identifier(uid: str) -> JSON:
    """Return the Identifier of a DICOM UID (FHIR R4 ImagingStudy.identifier)."""
    return {"system": UID_SYSTEM, "value": f"urn:oid:{text(uid)}"}


def typed_identifier(
    code: str, value: str, issuer: Issuer, systems: Mapping[str, str]
) -> JSON:
    """Return an Identifier with its type (HL7 table 0203) and who gave it.

    Args:
        systems: the URI of each issuer's identifiers, by its local name; "" for those
            whose issuer the images do not name.
    """
    made: JSON = {"type": {"coding": [{"system": _TYPES, "code": code}]}}
    if system := issuer_system(issuer, systems):
        made["system"] = system
    made["value"] = text(value)
    if namespace := text(issuer.namespace):
        made["assigner"] = {"display": namespace}
    return made


def issuer_system(issuer: Issuer, systems: Mapping[str, str]) -> str:
    """Return the URI of an issuer's identifiers, "" if nobody has named one."""
    universal = _universal(issuer)
    if issuer.namespace in systems and (issuer.namespace or not universal):
        return systems[issuer.namespace]
    return universal


def _universal(issuer: Issuer) -> str:
    given, kind = issuer.universal_id, issuer.universal_id_type.upper()
    if kind == "ISO" and _OID.fullmatch(given):
        return f"urn:oid:{given}"
    if kind == "UUID":
        try:
            return f"urn:uuid:{UUID(given)}"
        except ValueError:
            return ""
    is_uri = kind in ("URI", "URL") and ":" in given and not re.search(r"\s", given)
    return given if is_uri else ""


def withheld(reason: str) -> JSON:
    """Return an element without a value (data-absent-reason)."""
    return {"extension": [{"url": _ABSENT, "valueCode": reason}]}


def narrative(words: str) -> JSON:
    """Return the text of a resource for people."""
    return {
        "status": "generated",
        "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{escape(words)}</div>',
    }


def instant(moment: datetime) -> str:
    """Return an instant."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


def started(order: Order) -> str:
    """Return when the study began: a dateTime, a date without zone, "" for nothing.

    FHIR takes no time of day without its offset, and no hour without its minute.
    """
    day = _date(order.study_date)
    time, offset = order.study_time, order.utc_offset
    if not day or len(time) < 4 or not offset or not _is_zone(offset):
        return day
    hour, minute, rest = time[:2], time[2:4], time[4:] or "00"
    return f"{day}T{hour}:{minute}:{rest}{offset[:3]}:{offset[3:]}"


def birth_date(order: Order) -> str:
    """Return the patient's date of birth, "" if there is none."""
    return _date(order.birth_date)


def gender(order: Order) -> str:
    """Return the patient's administrative gender, "" if the images do not say."""
    return _GENDERS.get(order.sex, "")


def human_names(name: str) -> list[JSON]:
    """Return a HumanName for each component group of a PN (PS3.5 6.2.1.1)."""
    groups = name.split("=")[: len(_GROUPS)]
    several = sum(bool(text(group.replace("^", ""))) for group in groups) > 1
    made = []
    for kind, group in zip(_GROUPS, groups, strict=False):
        parts = [text(part) for part in group.split("^")] + [""] * 5
        family, given, middle, prefix, suffix = parts[:5]
        if not any(parts):
            continue
        one: JSON = {}
        if several:
            one["extension"] = [{"url": _REPRESENTATION, "valueCode": kind}]
        one["text"] = " ".join(filter(None, (prefix, given, middle, family, suffix)))
        one |= {"family": family} if family else {}
        for key, values in (
            ("given", [given, middle]),
            ("prefix", [prefix]),
            ("suffix", [suffix]),
        ):
            if present := [value for value in values if value]:
                one[key] = present
        made.append(one)
    return made


def _is_zone(offset: str) -> bool:
    """Say whether FHIR takes this offset: up to 14:00."""
    return offset[1:3] != "14" or offset[3:] == "00"


def _date(digits: str) -> str:
    try:
        found = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return ""
    return found.isoformat()
