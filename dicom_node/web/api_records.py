"""What the API tells of the past: images that were refused, and the audit."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

import db.audit
from db.refusals import RefusalQuery, list_refusals
from dicom_node.web import api_documents as documents
from dicom_node.web.api_params import BEFORE, LIMIT, REFUSALS, read_query
from dicom_node.web.desk import Desk


def refusals(request: Request) -> Response:
    """Return images that were refused, and why."""
    desk: Desk = request.app.state.desk
    values = read_query(request, REFUSALS)
    query = RefusalQuery(
        calling_ae_title=values["calling_ae_title"] or "",
        key=values["key"] or "",
        limit=values["limit"],
        offset=values["offset"],
    )
    lines, more = list_refusals(desk.database, query)
    return JSONResponse(
        {
            "refusals": [documents.refusal(line) for line in lines],
            "next_offset": query.offset + query.limit if more else None,
        }
    )


def audit(request: Request) -> Response:
    """Return who looked at what and who changed what."""
    desk: Desk = request.app.state.desk
    values = read_query(request, (LIMIT, BEFORE))
    lines = db.audit.latest(
        desk.database, limit=values["limit"], before=values["before"]
    )
    listed = [
        {
            "number": number,
            "at": documents.plain(entry.at),
            "who": entry.who,
            "action": entry.action,
            "study_id": entry.study_id,
            "detail": entry.detail,
        }
        for number, entry in lines
    ]
    return JSONResponse({"entries": listed})
