"""The reading list: the most urgent first, then who has waited longest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from db.desk import StudyLine, StudyQuery, list_studies
from db.holding import is_concluded
from db.refusals import count_refusals
from dicom_node.core.ids import StudyId
from dicom_node.core.states import StudyState, Urgency
from dicom_node.web.api_documents import complete_at
from dicom_node.web.auth import Gate
from dicom_node.web.desk import Desk
from dicom_node.web.pages_patient import Names
from dicom_node.web.pages_study import read_number
from dicom_node.web.pages_words import (
    describe_finding,
    describe_instances,
    study_state,
)
from dicom_node.web.surroundings import span, words_for
from dicom_node.web.templates import render
from dicom_node.web.words import Catalogue

_PAGE: Final = 50
_PAGES_MAX: Final = 2000
_SEARCH_MAX: Final = 200
_FINDINGS_MAX: Final = 3
# There is no word of what was read: what came longer ago is not waited for.
_READING: Final = timedelta(days=7)
FILTERS: Final = ("reading", "first", "open", "ignored", "all")
_FIRST: Final = (Urgency.STAT, Urgency.URGENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A study as the list shows it.

    Args:
        first: the AI suggests to read it before others.
        says: sentences, and whether each is to be seen first.
        why_not: why there is no result; "" if there is one.
        undelivered: what of it does not leave any more; "" if nothing.
        patient: "" unless the reader may see it.
    """

    uid: str
    accession: str
    urgency: Urgency | None
    first: bool
    says: tuple[tuple[str, bool], ...]
    why_not: str
    undelivered: str
    patient: str
    about: str
    since: datetime
    waiting: str
    state: str
    state_kind: str
    complete_at: datetime | None = None


class ListPages:
    """The reading list and the search in it."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def reading_list(self, request: Request) -> Response:
        """Show the list, or only its rows to the script that keeps it up to date."""
        desk: Desk = request.app.state.desk
        shown = request.query_params.get("show", FILTERS[0])
        shown = shown if shown in FILTERS else FILTERS[0]
        page = read_number(request.query_params.get("page", ""), most=_PAGES_MAX) or 1
        now = desk.clock.now()
        query = replace(_query(shown, now), limit=_PAGE, offset=(page - 1) * _PAGE)
        lines, more = list_studies(desk.database, query, now=now)
        context = {
            "rows": self._rows(request, lines, now),
            "shown": shown,
            "filters": FILTERS,
            "query": "",
            "older": _address(shown, page + 1) if more else "",
            "newer": _address(shown, page - 1) if page > 1 else "",
        }
        part = request.headers.get("x-part") == "list"
        return render(request, "list_rows.html" if part else "list.html", context)

    def search(self, request: Request) -> Response:
        """Find studies by part of an Accession Number, whole Patient ID, name or UID.

        By POST: what is searched for stays out of addresses and histories.
        """
        gate: Gate = request.app.state.gate
        desk = gate.desk
        text = request.state.form.get("q", "").strip()[:_SEARCH_MAX]
        now = desk.clock.now()
        found: dict[StudyId, StudyLine] = {}
        if text:
            patients = {
                *desk.find_by_patient("id", text),
                *desk.find_by_patient("name", text),
            }
            queries = [
                StudyQuery(uid=text, limit=_PAGE),
                StudyQuery(accession=text, part=True, limit=_PAGE),
            ]
            if patients:
                gate.record(request.state.user.name, "searched", detail="patient")
                queries.append(StudyQuery(study_ids=patients, limit=_PAGE))
            for query in queries:
                lines, _ = list_studies(desk.database, query, now=now)
                found |= {line.study_id: line for line in lines}
        context = {
            "rows": self._rows(request, tuple(found.values()), now),
            "shown": "",
            "filters": FILTERS,
            "query": text,
            "refused": count_refusals(gate.desk.database, text),
            "older": "",
            "newer": "",
        }
        return render(request, "list.html", context)

    def _rows(
        self, request: Request, lines: Sequence[StudyLine], now: datetime
    ) -> list[Row]:
        t = words_for(request)
        names = self._names.names(request, [line.study_id for line in lines])
        quiet = request.app.state.desk.settings.quiet_times
        return [
            replace(
                _row(t, line, now, names.get(line.study_id, "")),
                complete_at=complete_at(line, quiet),
            )
            for line in lines
        ]


def _query(shown: str, now: datetime) -> StudyQuery:
    return {
        "reading": StudyQuery(by_priority=True, received_after=now - _READING),
        "first": StudyQuery(by_priority=True, suggested=True),
        "open": StudyQuery(state=StudyState.RECEIVING),
        "ignored": StudyQuery(without_result=True),
        "all": StudyQuery(),
    }[shown]


def _address(shown: str, page: int) -> str:
    fields = {} if shown == FILTERS[0] else {"show": shown}
    if page > 1:
        fields["page"] = str(page)
    return f"/?{urlencode(fields)}" if fields else "/"


def _row(t: Catalogue, line: StudyLine, now: datetime, patient: str) -> Row:
    urgency = line.suggestions[0].urgency if line.suggestions else None
    state, kind = study_state(line)
    return Row(
        uid=line.study_instance_uid,
        accession=line.accession_number,
        urgency=urgency,
        first=urgency in _FIRST,
        says=_says(t, line),
        why_not=t.say(line.why),
        undelivered=t.say(line.undelivered),
        patient=patient,
        about=describe_instances(t, line),
        since=line.last_instance_at,
        waiting=span(t, now - line.last_instance_at),
        state=state,
        state_kind=kind,
    )


def _says(t: Catalogue, line: StudyLine) -> tuple[tuple[str, bool], ...]:
    """Say what was found."""
    if line.suggestions:
        return ((t.say(line.suggestions[0].reason), True),)
    said: list[tuple[str, bool]] = []
    for job in line.jobs:
        if not is_concluded(job):
            continue
        findings = sorted(job["findings"], key=lambda item: not item["present"])
        for finding in findings[:_FINDINGS_MAX]:
            said.append((describe_finding(t, finding), bool(finding["present"])))
    return tuple(said)
