"""Queues, destinations, dead letters, and what an operator does about them."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from db.desk_deliveries import (
    DeliveryQuery,
    DestinationLine,
    find_delivery,
    list_deliveries,
    list_destinations,
    retry_delivery,
)
from db.queries import backlog
from dicom_node.core.errors import LostRace
from dicom_node.core.ids import DeliveryId
from dicom_node.core.people import Role
from dicom_node.core.states import WorkState
from dicom_node.web.auth import Gate
from dicom_node.web.pages_study import read_number, view_delivery
from dicom_node.web.problems import Problem
from dicom_node.web.surroundings import own_path, span, words_for
from dicom_node.web.templates import render

_DELIVER: Final = "deliver"
_DEAD_SHOWN: Final = 100
_AT_ONCE: Final = 500
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
    gate: Gate = request.app.state.gate
    desk = gate.desk
    number = read_number(request.path_params["delivery"], most=_NUMBER_MAX)
    line = find_delivery(desk.database, DeliveryId(number)) if number else None
    if line is None:
        raise Problem(404, "there is no delivery with this number")
    retry_delivery(desk.database, line.delivery_id, now=desk.clock.now())
    gate.record(
        request.state.user.name,
        "retry",
        study_ids=[line.study_id],
        detail=f"delivery {number} to {line.destination}",
    )
    desk.wake(_DELIVER)
    return _back(request)


def retry_all(request: Request) -> Response:
    """Send the dead letters of one destination again, or those of all, and go back."""
    gate: Gate = request.app.state.gate
    desk, wanted = gate.desk, request.state.form.get("destination", "")
    query = DeliveryQuery(
        state=WorkState.FAILED, destination=wanted[:128], limit=_AT_ONCE
    )
    lines, _ = list_deliveries(desk.database, query)
    for line in reversed(lines):  # in the order in which they were queued
        with suppress(LostRace):  # somebody was quicker
            retry_delivery(desk.database, line.delivery_id, now=desk.clock.now())
    gate.record(
        request.state.user.name,
        "retry",
        study_ids=list(dict.fromkeys(line.study_id for line in lines)),
        detail=f"{len(lines)} deliveries",
    )
    desk.wake(_DELIVER)
    return _back(request)


def _back(request: Request) -> Response:
    there = own_path(request.state.form.get("to", "/queues"))
    return RedirectResponse(there, status_code=303)
