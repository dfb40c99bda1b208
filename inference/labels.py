"""Lists of labels, as people keep them, to the classes of a card."""

import csv
import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from dicom_node.core.errors import BundleError
from dicom_node.core.types import CodedConcept
from inference.api import ClassSpec
from inference.card_tables import ClassTable
from inference.text_file import read_text

LIMIT_BYTES: Final = 8 << 20
PRIVATE_SCHEME: Final = "99DCMNODE"
_VALUE_LIMIT: Final = 16  # SH, PS3.5 6.2
_MEANING_LIMIT: Final = 64  # LO
_NUMBERS: Final = ("threshold", "undetermined_below", "lower", "upper")
_CODES: Final = ("code", "scheme", "meaning")
COLUMNS: Final = (
    "name",
    *_CODES,
    *_NUMBERS,
    "report",
    "unit",
    "unit_meaning",
    *(f"site_{part}" for part in _CODES),
)
_TRUTHS: Final = {"true": True, "yes": True, "1": True}
_TRUTHS.update({"false": False, "no": False, "0": False})

Row = Mapping[str, Any]


def read_labels(path: Path) -> tuple[ClassSpec, ...]:
    """Read labels in the order of the network's outputs.

    One name on each line; or .csv and .tsv with a header of `COLUMNS`; or .toml with
    [[classes]] of the same keys. A label without a code gets a private one.

    Raises:
        BundleError: every fault of the list, with its line or place.
    """
    text = read_text(path, "the labels", limit_bytes=LIMIT_BYTES)
    kind = path.suffix.lower()
    if kind == ".toml":
        rows = _toml_rows(text, path.name)
    elif kind in {".csv", ".tsv"}:
        rows = _csv_rows(text, path.name, "\t" if kind == ".tsv" else "")
    else:
        rows = [
            (f"line {number}", {"name": line.strip()})
            for number, line in enumerate(text.splitlines(), start=1)
            if line.strip()
        ]
    if not rows:
        raise BundleError(f"{path.name} holds no label")
    faults: list[str] = []
    classes = []
    for place, row in rows:
        try:
            classes.append(_class(row))
        except ValidationError as error:
            faults += [
                f"{place}: {'.'.join(map(str, item['loc']))}: {item['msg']}"
                for item in error.errors(include_url=False, include_input=False)
            ]
        except ValueError as error:
            faults.append(f"{place}: {error}")
    if not faults:
        faults += _repeats([place for place, _ in rows], classes)
    if faults:
        raise BundleError(f"{path.name}: " + "; ".join(faults))
    return tuple(classes)


def _repeats(places: Sequence[str], classes: Sequence[ClassSpec]) -> Iterator[str]:
    """Say which labels cannot be told from an earlier one, and from which."""
    names: dict[str, str] = {}
    codes: dict[tuple[str, str], str] = {}
    for place, item in zip(places, classes, strict=True):
        first = names.setdefault(item.name, place)
        if first != place:
            yield f"{place}: the same name as {first}"
        if not item.report:
            continue
        earlier = codes.setdefault((item.concept.scheme, item.concept.value), place)
        if earlier not in (place, first):
            yield (
                f"{place}: the same code as {earlier}; a label without a code gets one "
                "by its name in capitals: give code and scheme, in a .csv or .toml file"
            )


def private_concept(label: str) -> CodedConcept:
    """Make a private code of a label: the same one for the same label everywhere."""
    meaning = " ".join(label.replace("\\", "/").split())[:_MEANING_LIMIT].strip()
    slug = re.sub(r"[^A-Z0-9]+", "_", meaning.upper()).strip("_")
    if slug != meaning.upper().replace(" ", "_") or len(slug) > _VALUE_LIMIT:
        # Letters were lost: the digest keeps two labels apart.
        digest = hashlib.sha256(label.encode()).hexdigest()[:6].upper()
        slug = f"{slug[: _VALUE_LIMIT - 7]}-{digest}".lstrip("-")
    return CodedConcept(value=slug, scheme=PRIVATE_SCHEME, meaning=meaning or slug)


def _toml_rows(text: str, name: str) -> list[tuple[str, Row]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BundleError(f"{name} is not valid TOML: {error}") from error
    tables = document.get("classes")
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        raise BundleError(f"{name} needs one [[classes]] table for each label")
    return [(f"class {index}", row) for index, row in enumerate(tables, start=1)]


def _csv_rows(text: str, name: str, delimiter: str) -> list[tuple[str, Row]]:
    header = text.splitlines()[0] if text.strip() else ""
    delimiter = delimiter or (";" if header.count(";") > header.count(",") else ",")
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter, strict=True)
    try:
        columns = [(column or "").strip().lower() for column in reader.fieldnames or ()]
        unknown = [column for column in columns if column not in COLUMNS]
        if unknown or not {"name", "meaning"} & set(columns):
            raise BundleError(
                f"{name}: the first line names the columns, among them name or "
                f"meaning; known are {', '.join(COLUMNS)}"
            )
        reader.fieldnames = columns
        return [
            (f"line {reader.line_num}", _cells(row))
            for row in reader
            if any(isinstance(cell, str) and cell.strip() for cell in row.values())
        ]
    except csv.Error as error:
        raise BundleError(f"{name}: line {reader.line_num}: {error}") from error


def _cells(row: Mapping[str | None, Any]) -> Row:
    """Give the cells that say something; a number is made of it where one must be."""
    cells: dict[str, Any] = {}
    for column, cell in row.items():
        if column is None:  # more cells than columns
            cells["(no column)"] = cell
        elif cell is not None and (text := cell.strip()):
            cells[column] = _value(column, text)
    return cells


def _value(column: str, text: str) -> Any:
    if column in _NUMBERS:
        try:
            return float(text)
        except ValueError:
            return text  # refused with its line
    return _TRUTHS.get(text.lower(), text) if column == "report" else text


def _class(row: Row) -> ClassSpec:
    table = dict(row)
    label = " ".join(str(table.get("name") or table.get("meaning") or "").split())
    table["name"] = label
    if "concept" not in table:
        table["concept"] = _concept(table, label)
    for part in _CODES:
        table.pop(part, None)
    site = {part: table.pop(f"site_{part}", None) for part in _CODES}
    if any(site.values()):
        table["site"] = _concept(site, "")
    if isinstance(table.get("unit"), str):
        unit, meaning = table["unit"], table.pop("unit_meaning", None)
        table["unit"] = {"value": unit, "scheme": "UCUM", "meaning": meaning or unit}
    checked = ClassTable.model_validate(table)
    return ClassSpec(
        name=checked.name,
        concept=CodedConcept(**checked.concept.model_dump()),
        threshold=checked.threshold,
        undetermined_below=checked.undetermined_below,
        site=CodedConcept(**checked.site.model_dump()) if checked.site else None,
        report=checked.report,
        unit=CodedConcept(**checked.unit.model_dump()) if checked.unit else None,
        lower=checked.lower,
        upper=checked.upper,
    )


def _concept(table: Row, label: str) -> dict[str, str]:
    """Make a concept of code, scheme and meaning; a private one without a code."""
    code, scheme = table.get("code"), table.get("scheme")
    meaning = str(table.get("meaning") or label)
    if code is None and scheme is None and label:
        made = private_concept(meaning)
        return {"value": made.value, "scheme": made.scheme, "meaning": made.meaning}
    if code is None or scheme is None:
        raise ValueError("code and scheme go together")
    return {"value": str(code), "scheme": str(scheme), "meaning": meaning}


def unit_concept(code: str) -> CodedConcept:
    """Make the coded concept of a unit of UCUM."""
    return CodedConcept(value=code, scheme="UCUM", meaning=code)
