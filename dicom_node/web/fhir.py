"""Results as FHIR R4, to be read and searched under /fhir.

Source: HL7 FHIR R4 RESTful API 3.1.0.1 (read), 3.1.0.7 (search), 3.1.1.3 (paging).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import db.desk_results
from db.desk_results import CurrentResult, ResultQuery
from dicom_node.core.ids import StudyId
from dicom_node.core.people import Role, Visitor
from dicom_node.web.auth import Gate, Page, require
from dicom_node.web.fhir_answers import (
    ACCESSION,
    KINDS,
    capability_statement,
    fhir_answer,
    search_page,
    searches_by,
)
from dicom_node.web.fhir_search import (
    Resource,
    Search,
    check_format,
    read_search,
    study_of,
)
from dicom_node.web.problems import FHIR, Problem

# The resources of a study's results; the flag: whether they may say whose it is.
Tell = Callable[[Sequence[CurrentResult], bool], Sequence[Resource]]

_STUDIES_AT_ONCE: Final = 20
# A search that finds little looks through so many studies, then says where to go on.
_STUDIES_MOST: Final = 400
_END_OF_STUDY: Final = 999_999


def fhir_routes(tell: Tell) -> list[Route]:
    """Make the routes.

    Args:
        tell: makes resources of results.
    """

    def read(request: Request) -> Response:
        return _read(_Reading.of(request, tell), request)

    def search(request: Request) -> Response:
        return _search(_Reading.of(request, tell), request)

    def route(path: str, page: Page, role: Role | None = Role.VIEWER) -> Route:
        return Route(f"{FHIR}{path}", require(role)(page), methods=["GET"])

    return [
        route("metadata", _metadata, None),
        route("{kind}/{id}", read),
        route("{kind}", search),
    ]


@dataclass(frozen=True, slots=True)
class _Reading:
    """Who reads, and how results are told."""

    gate: Gate
    user: Visitor
    tell: Tell

    @classmethod
    def of(cls, request: Request, tell: Tell) -> "_Reading":
        """Take the visitor of a request."""
        return cls(request.app.state.gate, request.state.user, tell)

    def told(
        self, ids: Sequence[StudyId]
    ) -> Iterator[tuple[StudyId, Sequence[Resource]]]:
        """Return all resources of each study."""
        desk = self.gate.desk
        found = db.desk_results.results_of(desk.database, ids, now=desk.clock.now())
        for study_id in ids:
            yield study_id, self.tell(found.get(study_id, ()), self.user.sees_names)

    def note(self, told: Sequence[Resource]) -> None:
        """Write into the audit whose names are seen, before they are."""
        named = {study_of(str(one["id"])) for one in told if _names_somebody(one)}
        if self.user.sees_names and named:
            study_ids = sorted(one for one in named if one is not None)
            self.gate.record(self.user.name, "name seen", study_ids=study_ids)


def _metadata(request: Request) -> Response:
    check_format(request.query_params)
    return fhir_answer(capability_statement(_base(request)))


def _read(reading: _Reading, request: Request) -> Response:
    check_format(request.query_params)
    kind, resource_id = _kind(request), str(request.path_params["id"])
    study_id = study_of(resource_id)
    told = [] if study_id is None else list(reading.told([study_id]))
    for _, resources in told:
        for one in resources:
            if (one["resourceType"], one["id"]) == (kind, resource_id):
                reading.note([one])
                return fhir_answer(one, headers=_version(one))
    raise Problem(404, f"there is no {kind} with this id")


def _search(reading: _Reading, request: Request) -> Response:
    kind, search = _kind(request), read_search(request.query_params)
    if search.accessions and not searches_by(kind, ACCESSION):
        raise Problem(400, f"a {kind} has no accession: search for an Observation's")
    found, after = _look(reading, kind, search)
    reading.note(found)
    base = _base(request)
    params = [p for p in request.query_params.multi_items() if p[0] != "_after"]
    links = {"self": _address(base, kind, request.query_params.multi_items())}
    if after:
        links["next"] = _address(base, kind, [*params, ("_after", after)])
    return fhir_answer(search_page(found, base=base, links=links))


def _look(reading: _Reading, kind: str, search: Search) -> tuple[list[Resource], str]:
    """Return a page of what is found, and where the next one begins, "" at the end."""
    found: list[Resource] = []
    query = ResultQuery(
        keys=_keys(kind, search),
        since=search.since,
        until=search.until,
        before=None if search.after is None else StudyId(search.after[0] + 1),
        limit=_STUDIES_AT_ONCE,
    )
    for _ in range(_STUDIES_MOST // _STUDIES_AT_ONCE):
        ids = _candidates(reading, search, query)
        for study_id, told in reading.told(ids):
            begin = _begin(search, study_id)
            for place, one in enumerate(told[begin:], begin):
                if one["resourceType"] == kind and search.matches(one):
                    if len(found) == search.count:
                        return found, f"{study_id}.{place}"
                    found.append(one)
        if search.ids or len(ids) < query.limit:
            return found, ""
        query = replace(query, before=ids[-1])
    return found, f"{query.before}.{_END_OF_STUDY}"


def _candidates(
    reading: _Reading, search: Search, query: ResultQuery
) -> Sequence[StudyId]:
    if not search.ids:
        database = reading.gate.desk.database
        return db.desk_results.studies_with_results(database, query)
    named = {study_of(one) for one in search.ids} - {None}
    ids = sorted((one for one in named if one is not None), reverse=True)
    return [one for one in ids if query.before is None or one < query.before]


def _begin(search: Search, study_id: StudyId) -> int:
    """Return how many resources of a study were told on the page before."""
    if search.after is None or search.after[0] != study_id:
        return 0
    return search.after[1]


def _keys(kind: str, search: Search) -> set[str] | None:
    """Return the UIDs and Accession Numbers that can be meant; None for any.

    Identifiers of ours begin with the Study Instance UID.
    """
    if search.accessions:
        return set(search.accessions)
    values = [token.value for token in search.identifiers]
    if kind == "Device" or not values or not all(values):
        return None
    return {
        key
        for value in values
        for key in (value, value.removeprefix("urn:oid:"), value.partition("/")[0])
    }


def _kind(request: Request) -> str:
    kind = str(request.path_params["kind"])
    if kind not in KINDS:
        raise Problem(404, f"there are {', '.join(KINDS)} here")
    return kind


def _names_somebody(resource: Resource) -> bool:
    return "subject" in resource or "for" in resource


def _version(resource: Resource) -> dict[str, str]:
    meta = resource["meta"]
    if not isinstance(meta, dict):
        return {}
    updated = datetime.fromisoformat(str(meta["lastUpdated"]))
    return {
        "ETag": f'W/"{meta["versionId"]}"',
        "Last-Modified": format_datetime(updated, usegmt=True),
    }


def _base(request: Request) -> str:
    """Return the address of the API, as whoever asks knows the site."""
    url = request.base_url
    if request.app.state.gate.desk.settings.web.secure:
        url = url.replace(scheme="https")
    return f"{url}".rstrip("/") + FHIR.rstrip("/")


def _address(base: str, kind: str, params: Sequence[tuple[str, str]]) -> str:
    query = f"?{urlencode(params)}" if params else ""
    return f"{base}/{kind}{query}"
