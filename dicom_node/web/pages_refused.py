"""What was refused, and why: images and associations that are in no study."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

import db.associations
from db.refusals import RefusalLine, RefusalQuery, callers, list_refusals
from dicom_node.core.refusal import remedy_of
from dicom_node.core.types import AssociationRecord
from dicom_node.web.desk import Desk
from dicom_node.web.pages_study import read_number
from dicom_node.web.surroundings import words_for
from dicom_node.web.templates import render
from dicom_node.web.words import Catalogue

_PAGE: Final = 50
_PAGES_MAX: Final = 400
_ASSOCIATIONS: Final = 50
_CONTEXTS_SHOWN: Final = 8
_AE_MAX: Final = 64
_KEY_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedImage:
    """A refused image as the table shows it."""

    line: RefusalLine
    what: str
    reason: str
    remedy: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedCall:
    """An association of which something was refused, with every reason."""

    at: datetime
    caller: str
    called: str
    address: str
    reasons: tuple[str, ...]
    remedy: str


def refused(request: Request) -> Response:
    """Show refused images and associations, all or those of one caller."""
    caller = request.query_params.get("caller", "")[:_AE_MAX]
    page = read_number(request.query_params.get("page", ""), most=_PAGES_MAX) or 1
    query = RefusalQuery(
        calling_ae_title=caller, limit=_PAGE, offset=(page - 1) * _PAGE
    )
    return _show(request, query, page=page)


def refused_of(request: Request) -> Response:
    """Show the refused images of a UID or Accession Number.

    By POST: what is searched for stays out of addresses and histories.
    """
    key = request.state.form.get("q", "").strip()[:_KEY_MAX]
    return _show(request, RefusalQuery(key=key, limit=4 * _PAGE), page=1)


def _show(request: Request, query: RefusalQuery, *, page: int) -> Response:
    desk: Desk = request.app.state.desk
    t, caller = words_for(request), query.calling_ae_title
    lines, more = list_refusals(desk.database, query)
    calls: Sequence[AssociationRecord] = ()
    if not query.key and page == 1:
        calls = db.associations.recent(
            desk.database,
            limit=_ASSOCIATIONS,
            refused=True,
            calling_ae_title=caller or None,
        )
    context = {
        "images": [_image(t, line) for line in lines],
        "calls": [_call(t, item, desk.settings.node.ae_title) for item in calls],
        "callers": [name for name in callers(desk.database) if name],
        "caller": caller,
        "query": query.key,
        "newer": _address(caller, page - 1) if page > 1 else "",
        "older": _address(caller, page + 1) if more and not query.key else "",
    }
    return render(request, "refused.html", context)


def _address(caller: str, page: int) -> str:
    fields = {"caller": caller} if caller else {}
    if page > 1:
        fields["page"] = str(page)
    return f"/refused?{urlencode(fields)}" if fields else "/refused"


def _image(t: Catalogue, line: RefusalLine) -> RefusedImage:
    one = line.instance
    names = [name_of(uid) for uid in (one.sop_class_uid, one.transfer_syntax_uid)]
    return RefusedImage(
        line=line,
        what=" · ".join(filter(None, names)),
        reason=t.say(one.reason),
        remedy="" if line.here else t.say(remedy_of(one.status, one.reason)),
        status=f"0x{one.status:04X}",
    )


def _call(t: Catalogue, item: AssociationRecord, node: str) -> RefusedCall:
    return RefusedCall(
        at=item.at,
        caller=item.calling_ae_title,
        called=item.called_ae_title,
        address=item.peer_address,
        reasons=tuple(dict.fromkeys(_reasons(t, item))),
        remedy=_help(t, item, node),
    )


def _help(t: Catalogue, item: AssociationRecord, node: str) -> str:
    """Say what helps an association that was rejected for a name; "" for others."""
    if not item.accepted and item.reason.startswith("called AE title not recognized"):
        return t("refused.called_help", node=node)
    if not item.accepted and item.reason.startswith("calling AE title not recognized"):
        return t("refused.calling_help")
    return ""


def _reasons(t: Catalogue, item: AssociationRecord) -> Iterator[str]:
    if not item.accepted:
        yield t("refused.rejected", reason=t.say(item.reason))
        return
    if item.refused_instances:
        yield t("refused.instances", n=item.refused_instances, of=item.instances)
    for context in item.refused_contexts[:_CONTEXTS_SHOWN]:
        syntaxes = ", ".join(name_of(uid) for uid in context.transfer_syntax_uids)
        yield t(
            "refused.context",
            what=name_of(context.sop_class_uid),
            syntaxes=syntaxes or "–",
            reason=t.say(context.reason),
        )
    left = len(item.refused_contexts) - _CONTEXTS_SHOWN
    if left > 0:
        yield t("refused.more_contexts", n=left)


def name_of(uid: str) -> str:
    """Return the name of a UID in the dictionary (PS3.6 annex A), else the UID."""
    from pydicom.uid import UID  # slow to import, and only needed here

    return UID(uid).name if uid else ""
