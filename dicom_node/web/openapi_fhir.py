"""The read API of FHIR R4, as the description of the API tells it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from dicom_node.web.api_params import Param
from dicom_node.web.fhir_answers import (
    ACCESSION,
    KINDS,
    MEDIA_TYPE,
    PARAMETERS,
    searches_by,
)
from dicom_node.web.fhir_search import (
    PAGE_MAX,
    PAGE_SIZE,
    VALUE_LENGTH_MAX,
    VALUES_MAX,
)
from dicom_node.web.openapi_operation import Operation
from dicom_node.web.openapi_schemas import TEXT, TIME, Schema, listed, record, refer
from dicom_node.web.problems import FHIR

# FHIR R4 search 3.1.1.4.0.1: a comma separates alternatives, a bar the system from the
# value; a backslash takes the meaning off the sign after it.
_VALUE: Final = r"(?:\\[\s\S]|[^,\\])+"
_PART: Final = r"(?:\\[\s\S]|[^,|\\])"
_TOKEN: Final = rf"(?:{_PART}+(?:\|{_PART}*)?|\|{_PART}+)"


def _alternatives(one: str) -> Schema:
    pattern = rf"^,*{one}(?:,+{one}){{0,{VALUES_MAX - 1}}},*$"
    return {"type": "string", "pattern": pattern}


# A day that there is, leap years included: HL7 FHIR R4 datatypes (dateTime).
_LONG: Final = "(?:0[13578]|1[02])(?:-(?:0[1-9]|[12][0-9]|3[01]))?"
_SHORT: Final = "(?:0[469]|11)(?:-(?:0[1-9]|[12][0-9]|30))?"
_FEBRUARY: Final = "02(?:-(?:0[1-9]|1[0-9]|2[0-8]))?"
_LEAP: Final = "(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|(?:1[26]|2[048])00)-02-29"
_DATE: Final = f"(?:[12][0-9]{{3}}(?:-(?:{_LONG}|{_SHORT}|{_FEBRUARY}))?|{_LEAP})"
_DAY: Final = (
    "(?:[12][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    f"|{_LEAP})"
)
_HOUR: Final = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME: Final = rf"T{_HOUR}(?::[0-5][0-9](?:\.[0-9]{{1,6}})?)?(?:Z|[+-]{_HOUR})?"
_SCHEMAS: Final[dict[str, Schema]] = {
    "_id": _alternatives(_VALUE),
    "identifier": _alternatives(_TOKEN),
    ACCESSION: _alternatives(_VALUE),
    "_lastUpdated": {
        "type": "string",
        "pattern": f"^(?:eq|gt|ge|lt|le|sa|eb)?(?:{_DATE}|{_DAY}{_TIME})$",
    },
}
_FORMAT: Final = Param(
    name="_format",
    text="JSON is all there is",
    schema={"type": "string", "enum": ["json", "application/json", MEDIA_TYPE]},
)
_PAGING: Final = (
    Param(
        name="_count",
        text=f"how many a page holds at most; more than {PAGE_MAX} are {PAGE_MAX}",
        schema={"type": "integer", "minimum": 1},
        default=PAGE_SIZE,
    ),
    Param(
        name="_after",
        text="where the next page begins, as the link to it says",
        schema={"type": "string", "pattern": r"^[0-9]{1,9}\.[0-9]{1,6}$"},
    ),
    _FORMAT,
)
_ID: Final = Param(
    name="id",
    text="the resource's id",
    schema={"type": "string", "pattern": r"^[A-Za-z0-9.\-]{1,64}$"},
)
_OUTCOME: Final = "OperationOutcome"

FHIR_SCHEMAS: Final[dict[str, Schema]] = {
    _OUTCOME: record(
        resourceType={"const": _OUTCOME},
        issue=listed(
            record(severity={"const": "error"}, code=TEXT, diagnostics=TEXT),
        ),
    ),
    "CapabilityStatement": record(
        resourceType={"const": "CapabilityStatement"},
        fhirVersion={"const": "4.0.1"},
        rest=listed({"type": "object"}),
    ),
    **{
        kind: record(
            resourceType={"const": kind},
            id=TEXT,
            meta=record(versionId=TEXT, lastUpdated=TIME),
        )
        for kind in KINDS
    },
}


def fhir_operations() -> Iterator[Operation]:
    """Yield what can be read under /fhir: every kind by id and by search."""
    yield _told_in_fhir(
        Operation(
            path=f"{FHIR}metadata",
            name="showCapabilities",
            text="What this FHIR server can do.",
            query=(_FORMAT,),
            answer=refer("CapabilityStatement"),
            role=None,
        )
    )
    for kind in KINDS:
        search = Operation(
            path=f"{FHIR}{kind}",
            name=f"search{kind}",
            text=f"Search for {kind} resources of FHIR R4.",
            query=(*_search_params(kind), *_PAGING),
            answer=_page(kind),
            leads_to=((f"read{kind}", _ID, "#/entry/0/resource/id"),),
        )
        read = Operation(
            path=f"{FHIR}{kind}/{{id}}",
            name=f"read{kind}",
            text=f"Read one {kind}. Whose it is takes the right to see names; audited.",
            path_params=(_ID,),
            query=(_FORMAT,),
            answer=refer(kind),
            refusals=((404, f"there is no {kind} with this id"),),
        )
        yield from (_told_in_fhir(search), _told_in_fhir(read))


def _told_in_fhir(one: Operation) -> Operation:
    return replace(
        one,
        media_type=MEDIA_TYPE,
        error=(MEDIA_TYPE, refer(_OUTCOME)),
        refusals=(*one.refusals, (406, "another form than JSON is asked for")),
    )


def _search_params(kind: str) -> Iterator[Param]:
    for name, _, text in PARAMETERS:
        if searches_by(kind, name):
            bound = f"; {VALUE_LENGTH_MAX} signs at most"
            yield Param(name=name, text=text + bound, schema=_SCHEMAS[name])


def _page(kind: str) -> Schema:
    """Return the schema of a Bundle with what was found."""
    page = record(
        resourceType={"const": "Bundle"},
        type={"const": "searchset"},
        link=listed(record(relation={"enum": ["self", "next"]}, url=TEXT)),
    )
    entry = record(
        fullUrl=TEXT, resource=refer(kind), search=record(mode={"const": "match"})
    )
    page["properties"]["entry"] = {**listed(entry), "minItems": 1}
    return page
