"""The JSON API: the same as the pages show, for programs."""

from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import db.queries
import db.revive
import db.studies
from db.desk import StudyLine, StudyPage, StudyQuery, list_studies, study_page
from db.desk_deliveries import (
    DeliveryLine,
    DeliveryQuery,
    DestinationLine,
    find_delivery,
    list_deliveries,
    list_destinations,
)
from dicom_node.core.ids import DeliveryId
from dicom_node.core.people import Role
from dicom_node.core.states import StudyState, Urgency, WorkState
from dicom_node.web import api_documents as documents
from dicom_node.web import api_records
from dicom_node.web.api_params import (
    DELIVERIES,
    DELIVERY,
    PAGING,
    STUDIES,
    UID,
    read_path,
    read_query,
)
from dicom_node.web.auth import Gate, Page, require
from dicom_node.web.desk import Desk
from dicom_node.web.names import look_at_patient, require_names
from dicom_node.web.openapi import describe
from dicom_node.web.pages_work import resend, retry
from dicom_node.web.problems import Problem

_DELIVER = "deliver"
_WORK = "work"


def api_routes() -> list[Route]:
    """Make the routes; every one is in the description, which a test compares."""

    def get(path: str, page: Page, role: Role | None = Role.VIEWER) -> Route:
        return Route(path, require(role)(page), methods=["GET"])

    def post(path: str, page: Page) -> Route:
        return Route(path, require(Role.OPERATOR)(page), methods=["POST"])

    return [
        get("/api/openapi.json", _describe, None),
        get("/api/studies", _studies),
        get("/api/studies.csv", _studies_csv),
        get("/api/studies/{uid}", _study),
        get("/api/studies/{uid}/patient", _patient),
        post("/api/studies/{uid}/retry", _retry_study),
        post("/api/studies/{uid}/replay", _replay),
        get("/api/deliveries", _deliveries),
        get("/api/deliveries/{delivery}", _delivery),
        post("/api/deliveries/{delivery}/retry", _retry),
        post("/api/deliveries/{delivery}/resend", _resend),
        get("/api/worklist", _worklist),
        get("/api/refusals", api_records.refusals),
        get("/api/queues", _queues),
        get("/api/destinations", _destinations),
        get("/api/models", _models),
        get("/api/audit", api_records.audit, Role.ADMIN),
    ]


def search(request: Request, values: dict[str, Any]) -> StudyQuery:
    """Return the query that the values of STUDIES make; a patient's is audited."""
    gate: Gate = request.app.state.gate
    desk = gate.desk
    whole, part = values["accession"] or "", values["accession_part"] or ""
    study_ids = None
    for kind in ("id", "name"):
        wanted = values[f"patient_{kind}"]
        if wanted:
            found = set(desk.find_by_patient("id" if kind == "id" else "name", wanted))
            study_ids = found if study_ids is None else study_ids & found
            gate.record(request.state.user.name, "searched", detail=f"patient {kind}")
    if whole and part.lower() not in whole.lower():
        study_ids = set()  # no Accession Number is both
    hours = values["hours"]
    return StudyQuery(
        accession=whole or part,
        part=not whole,
        uid=values["uid"] or "",
        study_ids=study_ids,
        state=StudyState(values["state"]) if values["state"] else None,
        urgency=Urgency(values["urgency"]) if values["urgency"] else None,
        received_after=desk.clock.now() - timedelta(hours=hours) if hours else None,
        limit=values["limit"],
        offset=values["offset"],
    )


def _describe(request: Request) -> Response:
    read_query(request, ())
    return JSONResponse(describe())


def _found(request: Request) -> tuple[tuple[StudyLine, ...], int | None]:
    desk = _desk(request)
    query = search(request, read_query(request, STUDIES))
    lines, more = list_studies(desk.database, query, now=desk.clock.now())
    return lines, query.offset + query.limit if more else None


def _studies(request: Request) -> Response:
    lines, next_offset = _found(request)
    quiet = _desk(request).settings.quiet_times
    listed = [documents.study(line, quiet) for line in lines]
    return JSONResponse({"studies": listed, "next_offset": next_offset})


def _studies_csv(request: Request) -> Response:
    lines, _ = _found(request)
    table = documents.studies_csv(lines, _desk(request).settings.quiet_times)
    return Response(table, media_type="text/csv")


def _study(request: Request) -> Response:
    read_query(request, ())
    quiet = _desk(request).settings.quiet_times
    return JSONResponse(documents.story(_load(request), quiet))


def _patient(request: Request) -> Response:
    read_query(request, ())
    require_names(request)  # who may not, does not learn either which studies there are
    patient = look_at_patient(request, _load(request).line.study_id)
    shown = {
        "name": patient.name,
        "patient_id": patient.patient_id,
        "birth_date": patient.birth_date,
        "sex": patient.sex,
    }
    return JSONResponse(shown)


def _retry_study(request: Request) -> Response:
    read_query(request, ())
    line, desk = _load(request).line, _desk(request)
    jobs, deliveries = db.revive.retry(
        desk.database,
        study_instance_uid=line.study_instance_uid,
        now=desk.clock.now(),
    )
    _acted(request, "retry", line, f"{jobs} jobs, {deliveries} deliveries")
    desk.wake(_WORK)
    desk.wake(_DELIVER)
    return JSONResponse({"jobs": jobs, "deliveries": deliveries})


def _replay(request: Request) -> Response:
    read_query(request, ())
    line, desk = _load(request).line, _desk(request)
    if line.files_gone:
        raise Problem(409, "the study's files are gone: the PACS would have to send it")
    revision = db.studies.reopen(desk.database, line.study_id, now=desk.clock.now())
    _acted(request, "replay", line, f"revision {revision}")
    desk.wake(_WORK)
    return JSONResponse({"revision": revision})


def _deliveries(request: Request) -> Response:
    values = read_query(request, DELIVERIES)
    query = DeliveryQuery(
        state=WorkState(values["state"]) if values["state"] else None,
        destination=values["destination"] or "",
        limit=values["limit"],
        offset=values["offset"],
    )
    lines, more = list_deliveries(_desk(request).database, query)
    return JSONResponse(
        {
            "deliveries": [documents.delivery(line) for line in lines],
            "next_offset": query.offset + query.limit if more else None,
        }
    )


def _delivery(request: Request) -> Response:
    read_query(request, ())
    return JSONResponse(documents.delivery(_find_delivery(request)))


def _retry(request: Request) -> Response:
    read_query(request, ())
    line = _find_delivery(request)
    retry(request, line)
    return JSONResponse({"delivery_id": line.delivery_id, "state": WorkState.QUEUED})


def _resend(request: Request) -> Response:
    read_query(request, ())
    line = resend(request, _find_delivery(request))
    return JSONResponse({"delivery_id": line.delivery_id, "state": WorkState.QUEUED})


def _find_delivery(request: Request) -> DeliveryLine:
    number = DeliveryId(read_path(request, DELIVERY))
    line = find_delivery(_desk(request).database, number)
    if line is None:
        raise Problem(404, "there is no delivery with this number")
    return line


def _worklist(request: Request) -> Response:
    values, desk = read_query(request, PAGING), _desk(request)
    query = StudyQuery(suggested=True, by_priority=True, **values)
    lines, more = list_studies(desk.database, query, now=desk.clock.now())
    return JSONResponse(
        {
            "entries": [documents.worklist_entry(line) for line in lines],
            "next_offset": query.offset + query.limit if more else None,
        }
    )


def _queues(request: Request) -> Response:
    read_query(request, ())
    found = db.queries.backlog(_desk(request).database)
    return JSONResponse(documents.queues(found))


def _destinations(request: Request) -> Response:
    read_query(request, ())
    desk = _desk(request)
    kinds = {table.name: table.kind for table in desk.settings.destinations}
    lines = {line.name: line for line in list_destinations(desk.database)}
    listed = [
        documents.destination(
            lines.get(name, DestinationLine(name=name)), kinds.get(name)
        )
        for name in dict.fromkeys([*kinds, *lines])
    ]
    return JSONResponse({"destinations": listed})


def _models(request: Request) -> Response:
    read_query(request, ())
    found = _desk(request).list_models()
    return JSONResponse({"models": [documents.model(item) for item in found]})


def _desk(request: Request) -> Desk:
    gate: Gate = request.app.state.gate
    return gate.desk


def _load(request: Request) -> StudyPage:
    """Return the study of the path.

    Raises:
        Problem: there is none.
    """
    desk = _desk(request)
    found = study_page(desk.database, read_path(request, UID), now=desk.clock.now())
    if found is None:
        raise Problem(404, "no study with this Study Instance UID was received")
    return found


def _acted(request: Request, action: str, line: StudyLine, detail: str) -> None:
    gate: Gate = request.app.state.gate
    gate.record(
        request.state.user.name, action, study_ids=[line.study_id], detail=detail
    )
