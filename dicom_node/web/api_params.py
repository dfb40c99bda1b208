"""Parameters of the API: one declaration is checked here and shown by OpenAPI."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from starlette.requests import Request

from dicom_node.core.states import StudyState, Urgency, WorkState
from dicom_node.web.problems import Problem

_INTEGER: Final = re.compile(r"[0-9]{1,9}")
_BOOLEANS: Final = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """One parameter.

    Args:
        schema: JSON Schema of the value: integer with minimum and maximum, boolean,
            or string with enum, or with pattern and lengths.
        default: when it is not given; None: nothing.
    """

    name: str
    text: str
    schema: Mapping[str, Any] = field(default_factory=dict)
    default: Any = None

    def read(self, text: str) -> Any:
        """Return the value.

        Raises:
            Problem: it does not fit the schema; the text does not repeat it.
        """
        kind = self.schema["type"]
        if kind == "integer":
            low, high = self.schema["minimum"], self.schema["maximum"]
            if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
                raise Problem(400, f"{self.name} is a number from {low} to {high}")
            return int(text)
        if kind == "boolean":
            if text not in _BOOLEANS:
                raise Problem(400, f"{self.name} is true or false")
            return _BOOLEANS[text]
        if "enum" in self.schema:
            if text not in self.schema["enum"]:
                known = ", ".join(self.schema["enum"])
                raise Problem(400, f"{self.name} is one of {known}")
            return text
        longest, pattern = self.schema["maxLength"], self.schema["pattern"]
        if not 0 < len(text) <= longest or not re.search(pattern, text):
            raise Problem(400, f"{self.name} is printable text of 1 to {longest} signs")
        return text


def number(name: str, text: str, *, most: int, least: int = 0, default: Any) -> Param:
    """Declare a whole number."""
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return Param(name=name, text=text, schema=schema, default=default)


def choice(name: str, text: str, values: type[StrEnum]) -> Param:
    """Declare one of several words."""
    schema = {"type": "string", "enum": [value.value for value in values]}
    return Param(name=name, text=text, schema=schema)


def words(name: str, text: str, *, longest: int = 64) -> Param:
    """Declare text without control characters."""
    schema = {
        "type": "string",
        "minLength": 1,
        "maxLength": longest,
        "pattern": r"^[^\u0000-\u001f\u007f]+$",
    }
    return Param(name=name, text=text, schema=schema)


UID: Final = Param(
    name="uid",
    text="Study Instance UID",
    schema={
        "type": "string",
        "minLength": 1,
        "maxLength": 64,
        "pattern": r"^[0-9]+(\.[0-9]+)*$",
    },
)
DELIVERY: Final = number(
    "delivery", "number of a delivery", least=1, most=999_999_999, default=None
)
LIMIT: Final = number("limit", "how many at most", least=1, most=200, default=50)
OFFSET: Final = number("offset", "how many to leave out", most=100_000, default=0)
PAGING: Final = (LIMIT, OFFSET)
STUDIES: Final = (
    words("accession", "whole Accession Number"),
    words("accession_part", "part of the Accession Number"),
    Param(
        name="uid",
        text="whole Study Instance UID, or SOP Instance UID of an image or a report",
        schema=UID.schema,
    ),
    words("patient_id", "whole Patient ID"),
    words("patient_name", "whole patient name, as in the study", longest=192),
    choice("state", "where the study stands", StudyState),
    choice("urgency", "the most urgent suggestion that holds", Urgency),
    number(
        "hours", "only those received in the last hours", least=1, most=8760,
        default=None,
    ),
    *PAGING,
)  # fmt: skip
DELIVERIES: Final = (
    choice("state", "where the delivery stands", WorkState),
    words("destination", "name of the destination"),
    *PAGING,
)
REFUSALS: Final = (
    words("calling_ae_title", "who sent it"),
    words("key", "whole Study or SOP Instance UID, or Accession Number"),
    *PAGING,
)
BEFORE: Final = number(
    "before", "only lines with a lower number", least=1, most=999_999_999, default=None
)


def read_query(request: Request, params: Sequence[Param]) -> dict[str, Any]:
    """Return the value of every parameter of the query.

    Raises:
        Problem: one does not fit, is there twice, or is not known.
    """
    known = {param.name: param for param in params}
    values = {name: param.default for name, param in known.items()}
    seen = set()
    for name, text in request.query_params.multi_items():
        if name not in known:
            listed = ", ".join(known) or "none"
            raise Problem(400, f"a parameter is not known here: there are {listed}")
        if name in seen:
            raise Problem(400, f"{name} is there twice")
        seen.add(name)
        values[name] = known[name].read(text)
    return values


def read_path(request: Request, param: Param) -> Any:
    """Return the value of a parameter of the path.

    Raises:
        Problem: it does not fit.
    """
    return param.read(request.path_params[param.name])
