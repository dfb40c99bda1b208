"""A structured report of ours as a tree that people can read."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.core.errors import PixelError, ReportError
from inference.pixels.border import third_party

_DEPTH_MAX: Final = 16
_NODES_MAX: Final = 5000
_BYTES_MAX: Final = 16 << 20
_TOO_LARGE: Final = "the report is too large to be shown: download it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One content item (PS3.3 C.17.3).

    Args:
        name: meaning of the concept name; "" without one.
        code: of the concept name, "value scheme"; "" without one.
        text: its value for people; "" of a container.
        value_code: "value scheme" of a coded value or of a unit.
        image: SOP Instance UID of what an IMAGE refers to, else "".
        kind: Value Type, e.g. "NUM".
        relation: Relationship Type, "" of the root.
    """

    name: str
    code: str
    text: str
    value_code: str
    image: str
    kind: str
    relation: str
    children: tuple["Node", ...]


def read_tree(path: Path) -> Node:
    """Read the content tree of a report in the node's own store.

    Raises:
        ReportError: it cannot be read, or is larger than a page may show.
    """
    try:
        if path.stat().st_size > _BYTES_MAX:
            raise ReportError(_TOO_LARGE)
    except OSError:
        raise ReportError("the report's file is gone") from None
    try:
        with third_party("the report cannot be read: its file is damaged"):
            dataset = pydicom.dcmread(path)
            tree = _node(dataset, depth=0, budget=iter(range(_NODES_MAX)))
    except PixelError as error:
        raise ReportError(str(error)) from None
    if tree is None:
        raise ReportError(_TOO_LARGE)
    if tree.kind != "CONTAINER":  # the root of every tree, PS3.3 C.17.3
        raise ReportError("the report cannot be read: its file is damaged")
    return tree


def _node(item: Dataset, *, depth: int, budget: Iterator[int]) -> Node | None:
    """Return the tree of an item, None if it is larger than a page may show."""
    if depth > _DEPTH_MAX or next(budget, None) is None:
        return None
    children = [
        _node(child, depth=depth + 1, budget=budget)
        for child in item.get("ContentSequence", ())
    ]
    if None in children:
        return None
    name, code = _concept(item, "ConceptNameCodeSequence")
    text, value_code, image = _value(item)
    return Node(
        name=name,
        code=code,
        text=text,
        value_code=value_code,
        image=image,
        kind=str(item.get("ValueType", "")),
        relation=str(item.get("RelationshipType", "")),
        children=tuple(child for child in children if child is not None),
    )


def _concept(item: Dataset, keyword: str) -> tuple[str, str]:
    found = item.get(keyword) or ()
    if not found:
        return "", ""
    code = found[0]
    value = (
        code.get("CodeValue") or code.get("LongCodeValue") or code.get("URNCodeValue")
    )
    scheme = code.get("CodingSchemeDesignator") or ""
    return str(code.get("CodeMeaning", "")), f"{value or ''} {scheme}".strip()


def _value(item: Dataset) -> tuple[str, str, str]:
    """Return text, code and image of a content item (PS3.3 C.17.3.2)."""
    kind = str(item.get("ValueType", ""))
    if kind == "CODE":
        return *_concept(item, "ConceptCodeSequence"), ""
    if kind == "NUM":
        return *_number(item), ""
    if kind in ("IMAGE", "COMPOSITE", "WAVEFORM"):
        return _reference(item)
    keyword = {
        "TEXT": "TextValue",
        "UIDREF": "UID",
        "PNAME": "PersonName",
        "DATE": "Date",
        "TIME": "Time",
        "DATETIME": "DateTime",
    }.get(kind)
    return (str(item.get(keyword, "")) if keyword else ""), "", ""


def _number(item: Dataset) -> tuple[str, str]:
    measured: Any = item.get("MeasuredValueSequence") or ()
    if not measured:
        return "", ""
    unit, code = _concept(measured[0], "MeasurementUnitsCodeSequence")
    shown = "" if code.split(" ")[0] == "1" else f" {unit}"  # UCUM: no units
    return f"{measured[0].get('NumericValue', '')}{shown}", code


def _reference(item: Dataset) -> tuple[str, str, str]:
    found = item.get("ReferencedSOPSequence") or ()
    if not found:
        return "", "", ""
    uid = str(found[0].get("ReferencedSOPInstanceUID", ""))
    frames = found[0].get("ReferencedFrameNumber")
    name = UID(str(found[0].get("ReferencedSOPClassUID", ""))).name
    listed = [frames] if isinstance(frames, int | str) else list(frames or ())
    shown = ", ".join(str(int(number)) for number in listed)
    return f"{name}{f', {shown}' if shown else ''}", "", uid
