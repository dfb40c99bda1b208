"""Queues, destinations, dead letters, and what an operator does about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from db.again import GONE, NOT_DONE, is_gone, resend_delivery
from db.desk_deliveries import (
    DeliveryLine,
    DeliveryQuery,
    DestinationLine,
    find_delivery,
    list_deliveries,
    list_destinations,
    retry_delivery,
)
from db.queries import backlog
from db.revive import Choice, put_back
from dicom_node.core.ids import DeliveryId
from dicom_node.core.people import Role
from dicom_node.core.states import WorkState
from dicom_node.web.auth import Gate
from dicom_node.web.desk import Desk
from dicom_node.web.pages_study import read_number, view_delivery
from dicom_node.web.problems import Problem
from dicom_node.web.surroundings import own_path, span, words_for
from dicom_node.web.templates import render

_DELIVER: Final = "deliver"
_DEAD_SHOWN: Final = 100
_NAMED_IN_AUDIT: Final = 500
_NUMBER_MAX: Final = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """One queue.

    Args:
        oldest: how long the oldest has waited; "" when nothing waits.
    """

    name: str
    counts: Mapping[WorkState, int]
    oldest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationView:
    """One destination.

    Args:
        breaker: "closed", "open_until" or "half_open".
        kind: of the configuration; "" when it is not there any more.
    """

    line: DestinationLine
    kind: str
    breaker: str
    state: str
    failed: int


def queues(request: Request) -> Response:
    """Show what waits, where it goes, and what was given up."""
    gate: Gate = request.app.state.gate
    desk, t = gate.desk, words_for(request)
    now, found = desk.clock.now(), backlog(desk.database)

    def waited(at: datetime | None) -> str:
        return "" if at is None else span(t, now - at)

    kinds = {table.name: str(table.kind) for table in desk.settings.destinations}
    lines = {line.name: line for line in list_destinations(desk.database)}
    dead, more = list_deliveries(
        desk.database, DeliveryQuery(state=WorkState.FAILED, limit=_DEAD_SHOWN)
    )
    context = {
        "receiving": found.receiving,
        "queues": [
            QueueView(
                name=t("queues.jobs"),
                counts=found.jobs,
                oldest=waited(found.oldest_job_at),
            ),
            QueueView(
                name=t("queues.deliveries"),
                counts=found.deliveries,
                oldest=waited(found.oldest_delivery_at),
            ),
        ],
        "destinations": [
            _destination(
                lines.get(name, DestinationLine(name=name)), kinds.get(name, ""), now
            )
            for name in dict.fromkeys([*kinds, *lines])
        ],
        "waited": waited,
        "deliveries": [
            view_delivery(t, line, request, reason=line.reason) for line in dead
        ],
        "more": more,
        "with_study": True,
        "with_result": False,
        "may_retry": request.state.user.role.covers(Role.OPERATOR),
    }
    return render(request, "queues.html", context)


def _destination(line: DestinationLine, kind: str, now: datetime) -> DestinationView:
    breaker, state = "closed", "good"
    if line.open_until is not None and line.open_until > now:
        breaker, state = "open_until", "bad"
    elif line.open_until is not None:
        breaker, state = "half_open", "busy"
    return DestinationView(
        line=line,
        kind=kind,
        breaker=breaker,
        state=state,
        failed=line.deliveries.get(WorkState.FAILED, 0),
    )


def retry_one(request: Request) -> Response:
    """Send one dead letter again, and go back."""
    retry(request, _find(request))
    return _back(request)


def retry(request: Request, line: DeliveryLine) -> None:
    """Queue a dead letter once more; audited.

    Raises:
        Problem: its files are gone.
        LostRace: it has not failed.
    """
    desk: Desk = request.app.state.desk
    if is_gone(desk.database, line.delivery_id):
        raise Problem(409, GONE)
    retry_delivery(desk.database, line.delivery_id, now=desk.clock.now())
    _acted(request, "retry", line)


def ask_to_resend(request: Request) -> Response:
    """Ask whether what was delivered is really to be sent again."""
    line = _find(request)
    if line.state is not WorkState.DONE:
        raise Problem(409, NOT_DONE)
    return render(request, "confirm.html", {"line": line})


def resend_one(request: Request) -> Response:
    """Send what was delivered again, and show its study."""
    line = resend(request, _find(request))
    return RedirectResponse(f"/studies/{line.study_instance_uid}", status_code=303)


def resend(request: Request, line: DeliveryLine) -> DeliveryLine:
    """Queue a delivery that is done once more; audited.

    Raises:
        Problem: it is not done, was replaced, or its files are gone.
    """
    desk: Desk = request.app.state.desk
    done = resend_delivery(desk.database, line.delivery_id, now=desk.clock.now())
    if not done.deliveries:
        raise Problem(409, "; ".join(done.refused))
    _acted(request, "sent again", line)
    return line


def _find(request: Request) -> DeliveryLine:
    """Return the delivery of the path.

    Raises:
        Problem: there is none.
    """
    desk: Desk = request.app.state.desk
    number = read_number(request.path_params["delivery"], most=_NUMBER_MAX)
    line = find_delivery(desk.database, DeliveryId(number)) if number else None
    if line is None:
        raise Problem(404, "there is no delivery with this number")
    return line


def _acted(request: Request, action: str, line: DeliveryLine) -> None:
    gate: Gate = request.app.state.gate
    gate.record(
        request.state.user.name,
        action,
        study_ids=[line.study_id],
        detail=f"delivery {line.delivery_id} to {line.destination}",
    )
    gate.desk.wake(_DELIVER)


def retry_all(request: Request) -> Response:
    """Send all dead letters of one destination again, or of all, and go back."""
    gate: Gate = request.app.state.gate
    desk, wanted = gate.desk, request.state.form.get("destination", "")[:128]
    query = DeliveryQuery(
        state=WorkState.FAILED, destination=wanted, limit=_NAMED_IN_AUDIT
    )
    lines, _ = list_deliveries(desk.database, query)
    names = (
        [wanted] if wanted else [one.name for one in list_destinations(desk.database)]
    )
    put_back_now = [
        put_back(desk.database, Choice(destination=name), now=desk.clock.now())
        for name in names
    ]
    count = sum(done.deliveries for done in put_back_now)
    gate.record(
        request.state.user.name,
        "retry",
        study_ids=list(dict.fromkeys(line.study_id for line in lines)) or [None],
        detail=f"{count} deliveries",
    )
    desk.wake(_DELIVER)
    return _back(request)


def _back(request: Request) -> Response:
    there = own_path(request.state.form.get("to", "/queues"))
    return RedirectResponse(there, status_code=303)
