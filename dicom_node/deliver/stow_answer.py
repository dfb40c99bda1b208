"""What an archive says of an instance that it got by STOW-RS.

Source: PS3.18 10.5.3 and I.2 (Store Instances Response Module), F.2 (DICOM JSON),
PS3.19 A.1 (Native DICOM Model).
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

from dicom_node.deliver.http import HttpAnswer

REFERENCED_SOPS: Final = "00081199"
FAILED_SOPS: Final = "00081198"
_INSTANCE: Final = "00081155"
_FAILURE_REASON: Final = "00081197"
_WARNING_REASON: Final = "00081196"
_NAMESPACE: Final = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"

_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")

# Tag to values: text and numbers, or the items of a sequence.
Attributes = Mapping[str, list[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAnswer:
    """What is said of one instance.

    Args:
        named: it stands among those that were stored.
        failed: it stands among those that were not.
        lists: whether there is a list of what was stored, empty or not.
        reason: Failure Reason or Warning Reason, None if there is none.
        foreign: the body is something else, as the page of a log-in is.
    """

    named: bool = False
    failed: bool = False
    lists: bool = False
    reason: int | None = None
    foreign: bool = False


def read_store_answer(answer: HttpAnswer, sop_instance_uid: str) -> StoreAnswer:
    """Read the body; one that says nothing in DICOM JSON or XML says nothing."""
    for attributes in read_attributes(answer):
        for item in _items(attributes, FAILED_SOPS):
            if _is(item, sop_instance_uid):
                reason = _number(item, _FAILURE_REASON)
                return StoreAnswer(failed=True, lists=True, reason=reason)
        for item in _items(attributes, REFERENCED_SOPS):
            if _is(item, sop_instance_uid):
                reason = _number(item, _WARNING_REASON)
                return StoreAnswer(named=True, lists=True, reason=reason)
        return StoreAnswer(lists=REFERENCED_SOPS in attributes)
    return StoreAnswer(foreign=answer.body.strip() not in (b"", b"[]"))


def read_attributes(answer: HttpAnswer) -> list[Attributes]:
    """Return the data sets of an answer; none if it cannot be read."""
    body = answer.body.strip()
    try:
        if body.startswith((b"{", b"[")):
            items = _listed(json.loads(body))
            return [_of_json(item) for item in items] if _is_dicom(items) else []
        # Neither entities nor another encoding than UTF-8: nothing grows in reading.
        if body.startswith(b"<") and b"<!" not in body and b"\0" not in body:
            root = ElementTree.fromstring(body)  # noqa: S314 - without a DTD
            is_dicom = root.tag.removeprefix(_NAMESPACE) == "NativeDicomModel"
            return [_of_xml(root)] if is_dicom else []
    except (ValueError, ElementTree.ParseError, RecursionError, LookupError):
        pass
    return []


def _listed(content: object) -> list[object]:
    return content if isinstance(content, list) else [content]


def _is_dicom(items: list[object]) -> bool:
    """Say whether these are data sets: objects with tags as names, or empty."""
    return all(
        isinstance(item, dict) and (not item or any(map(_TAG.fullmatch, item)))
        for item in items
    )


def _of_json(content: object) -> Attributes:
    """Read a data set of DICOM JSON."""
    found: dict[str, list[object]] = {}
    if not isinstance(content, dict):
        return found
    for tag, attribute in content.items():
        if not isinstance(tag, str) or not isinstance(attribute, dict):
            continue
        values = attribute.get("Value")
        values = values if isinstance(values, list) else []
        found[tag.upper()] = [
            _of_json(value) if isinstance(value, dict) else value for value in values
        ]
    return found


def _of_xml(element: ElementTree.Element) -> Attributes:
    """Read a data set or an item of the Native DICOM Model."""
    found: dict[str, list[object]] = {}
    for attribute in element:
        if attribute.tag.removeprefix(_NAMESPACE) != "DicomAttribute":
            continue
        values: list[object] = []
        for child in attribute:
            kind = child.tag.removeprefix(_NAMESPACE)
            if kind == "Item":
                values.append(_of_xml(child))
            elif kind == "Value":
                values.append((child.text or "").strip())
        found[attribute.get("tag", "").upper()] = values
    return found


def _items(attributes: Attributes, tag: str) -> Iterator[Attributes]:
    for value in attributes.get(tag, []):
        if isinstance(value, dict):
            yield value


def _is(item: Attributes, sop_instance_uid: str) -> bool:
    return any(
        isinstance(value, str) and value.strip("\0 ") == sop_instance_uid
        for value in item.get(_INSTANCE, [])
    )


def _number(item: Attributes, tag: str) -> int | None:
    """Return a number of 16 bits; some services write it as text."""
    for value in item.get(tag, []):
        try:
            number = int(value) if isinstance(value, (int, str)) else -1
        except ValueError:
            return None
        return number if 0 <= number <= 0xFFFF else None
    return None
