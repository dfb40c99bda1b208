"""What a FHIR search asks for, and whether a resource is it.

Source: HL7 FHIR R4 search 3.1.1.4.0.1 (escaping), 3.1.1.4.5 (prefixes), 3.1.1.4.10
(token).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from starlette.datastructures import QueryParams

from dicom_node.core.ids import StudyId
from dicom_node.web.problems import Problem

Resource = Mapping[str, object]

PAGE_MAX: Final = 200
PAGE_SIZE: Final = 50
VALUES_MAX: Final = 50
VALUE_LENGTH_MAX: Final = 1000
_KNOWN: Final = frozenset(
    {"_id", "identifier", "accession", "_lastUpdated", "_count", "_format", "_after"}
)
_FORMATS: Final = frozenset({"json", "application/json", "application/fhir+json"})
_PREFIXES: Final = ("eq", "gt", "ge", "lt", "le", "sa", "eb")
_ID: Final = re.compile(r"(\d{1,9})-[0-9a-f-]{36}")
_MOMENT: Final = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(T\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?"
    r"(?:Z|[+-]\d\d:\d\d)?)?)?)?"
)
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_LATEST: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token to search by; system None: of any, "": of none."""

    system: str | None
    value: str

    def matches(self, identifier: object) -> bool:
        """Say whether an Identifier is this one."""
        if not isinstance(identifier, dict):
            return False
        if self.value and identifier.get("value") != self.value:
            return False
        return self.system is None or identifier.get("system", "") == self.system


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """When a resource was updated: from `since` on, up to before `until`."""

    since: datetime = _EARLIEST
    until: datetime = _LATEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is asked for.

    Args:
        ids, identifiers, accessions: one of them each; () for any.
        after: a place to go on from: a study, and how many of its resources are told.
    """

    ids: tuple[str, ...] = ()
    identifiers: tuple[Token, ...] = ()
    accessions: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    count: int = PAGE_SIZE
    after: tuple[StudyId, int] | None = None

    @property
    def since(self) -> datetime | None:
        """The earliest update that is wanted."""
        return max((span.since for span in self.spans), default=None)

    @property
    def until(self) -> datetime | None:
        """The latest update that is wanted."""
        return min((span.until for span in self.spans), default=None)

    def matches(self, resource: Resource) -> bool:
        """Say whether a resource is asked for."""
        if self.ids and resource["id"] not in self.ids:
            return False
        own = resource.get("identifier")
        identifiers = own if isinstance(own, list) else []
        if self.identifiers and not any(
            token.matches(one) for token in self.identifiers for one in identifiers
        ):
            return False
        if self.accessions and not self.accessions_of(resource) & set(self.accessions):
            return False
        meta = resource["meta"]
        updated = datetime.fromisoformat(
            str(meta["lastUpdated"]) if isinstance(meta, dict) else ""
        )
        return all(span.since <= updated < span.until for span in self.spans)

    @staticmethod
    def accessions_of(resource: Resource) -> set[object]:
        """Return the Accession Numbers of a resource and of its order."""
        own, orders = resource.get("identifier"), resource.get("basedOn")
        found = list(own) if isinstance(own, list) else []
        for order in orders if isinstance(orders, list) else []:
            found.append(order.get("identifier"))
        return {
            one.get("value")
            for one in found
            if isinstance(one, dict) and "ACSN" in str(one.get("type"))
        }


def read_search(params: QueryParams) -> Search:
    """Read the parameters of a search.

    Raises:
        Problem: one is unknown or cannot be read; an ignored one would find too much.
    """
    unknown = sorted(set(params.keys()) - _KNOWN)
    if unknown:
        raise Problem(400, f"search parameters are {', '.join(sorted(_KNOWN))}")
    check_format(params)
    tokens = [_read_token(one) for one in _values(params, "identifier")]
    return Search(
        ids=_values(params, "_id"),
        identifiers=tuple(tokens),
        accessions=_values(params, "accession"),
        spans=tuple(_read_span(text) for text in params.getlist("_lastUpdated")),
        count=_read_count(params),
        after=_read_place(params.get("_after")),
    )


def check_format(params: QueryParams) -> None:
    """Refuse a form that is not JSON.

    Raises:
        Problem: it is another.
    """
    if params.get("_format", "json").partition(";")[0].strip() not in _FORMATS:
        raise Problem(406, "resources are told as application/fhir+json only")


def study_of(resource_id: str) -> StudyId | None:
    """Return the study that an id tells, None if it is no id of ours."""
    found = _ID.fullmatch(resource_id)
    return StudyId(int(found[1])) if found else None


def _values(params: QueryParams, name: str) -> tuple[str, ...]:
    """Return the alternatives of a parameter, which commas separate."""
    given = params.getlist(name)
    if len(given) > 1:
        raise Problem(400, f"{name} is there twice: separate alternatives by a comma")
    values = tuple(
        _plain(value) if name != "identifier" else value
        for text in given
        for value in _split(text, ",")
        if value
    )
    if any(len(text) > VALUE_LENGTH_MAX for text in given):
        raise Problem(400, f"{name} takes {VALUE_LENGTH_MAX} signs at most")
    if given and not values:
        raise Problem(400, f"{name} is empty")
    if len(values) > VALUES_MAX:
        raise Problem(400, f"{name} takes {VALUES_MAX} alternatives at most")
    return values


def _read_token(text: str) -> Token:
    parts = [_plain(part) for part in _split(text, "|")]
    if len(parts) > 2 or not any(parts):
        raise Problem(400, "identifier is written system|value, or as the value alone")
    if len(parts) == 1:
        return Token(system=None, value=parts[0])
    return Token(system=parts[0], value=parts[1])


def _split(text: str, separator: str) -> list[str]:
    """Split at separators that no backslash escapes; an escaped backslash is none."""
    parts, begin = [], 0
    for sign in re.finditer(r"\\.|[,|]", text, re.DOTALL):
        if sign[0] == separator:
            parts.append(text[begin : sign.start()])
            begin = sign.end()
    return [*parts, text[begin:]]


def _plain(text: str) -> str:
    return re.sub(r"\\([\\,$|])", r"\1", text)


def _read_count(params: QueryParams) -> int:
    text = params.get("_count", str(PAGE_SIZE))
    if not (text.isascii() and text.isdigit()) or not int(text[:9]) > 0:
        raise Problem(400, "_count is a whole number from 1 on")
    return min(int(text[:9]), PAGE_MAX)


def _read_place(text: str | None) -> tuple[StudyId, int] | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,9})\.(\d{1,6})", text, re.ASCII)
    if not found:
        raise Problem(400, "_after is what the link to the next page says")
    return StudyId(int(found[1])), int(found[2])


def _read_span(text: str) -> Span:
    prefix, rest = text[:2], text[2:]
    if prefix not in _PREFIXES:
        prefix, rest = "eq", text
    first, end = _read_moment(rest)
    spans = {
        "eq": Span(since=first, until=end),
        "ge": Span(since=first),
        "gt": Span(since=end),
        "sa": Span(since=end),
        "le": Span(until=end),
        "lt": Span(until=first),
        "eb": Span(until=first),
    }
    return spans[prefix]


def _read_moment(text: str) -> tuple[datetime, datetime]:
    """Return the first moment that a date or time means, and the one after its last."""
    # A + that was not escaped came as a space.
    found = _MOMENT.fullmatch(text.replace(" ", "+"))
    wrong = Problem(400, "_lastUpdated is a prefix and a date, such as ge2026-11-22")
    if not found or not text.isascii():
        raise wrong
    year, month, day, time = found.groups()
    try:
        first = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
        if time:
            first = datetime.fromisoformat(found[0])
            first = first.astimezone(UTC) if first.tzinfo else first.replace(tzinfo=UTC)
            step = timedelta(seconds=1) if time.count(":") > 1 else timedelta(minutes=1)
            if "." in time:
                step = timedelta(milliseconds=1)
            return first, first + step
        if day:
            return first, first + timedelta(days=1)
        if month:
            return first, (first + timedelta(days=32)).replace(day=1)
        return first, first.replace(year=first.year + 1)
    except (ValueError, OverflowError):
        raise wrong from None
