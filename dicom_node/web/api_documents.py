"""What the API answers: lines of the desk as JSON documents."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from db.desk import StudyLine, StudyPage
from db.desk_deliveries import DeliveryLine, DestinationLine
from db.desk_suggestions import SuggestionLine
from db.queries import Backlog
from db.refusals import RefusalLine
from dicom_node.core.quiet import QuietTimes
from dicom_node.core.refusal import remedy_of
from dicom_node.core.states import StudyState, WorkState

if TYPE_CHECKING:
    from inference.bundle import ListedBundle

Document = dict[str, Any]
# A spreadsheet takes a cell that begins so for a formula (OWASP, CSV injection).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS: Final = (
    "study_instance_uid", "accession_number", "state", "modality", "urgency",
    "reason", "last_instance_at",
)  # fmt: skip


def plain(value: Any) -> Any:
    """Return a value as JSON has it: times as ISO 8601 text."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def study(line: StudyLine, quiet: QuietTimes) -> Document:
    """Return a study of the list."""
    header = line.header
    document: Document = {
        "study_instance_uid": line.study_instance_uid,
        "accession_number": line.accession_number,
        "state": line.state,
        "revision": line.revision,
        "ignored_because": line.ignored_because,
        "why_no_result": line.why,
        "why_not_delivered": line.undelivered,
        "what_to_do": line.what_to_do,
        "modality": header.modality if header else "",
        "body_part_examined": header.body_part_examined if header else "",
        "instances": line.instances,
        "first_instance_at": line.first_instance_at,
        "last_instance_at": line.last_instance_at,
        "complete_at": complete_at(line, quiet),
        "pruned_at": line.pruned_at,
        "suggestions": [asdict(item) for item in line.suggestions],
        "jobs": list(line.jobs),
        "deliveries": {state: line.deliveries.get(state, 0) for state in WorkState},
    }
    return _plain(document)


def complete_at(line: StudyLine, quiet: QuietTimes) -> datetime | None:
    """Return when a study that is being received is complete if nothing more comes."""
    waits = line.state is StudyState.RECEIVING
    return quiet.complete_at(line.arrivals) if waits else None


def story(page: StudyPage, quiet: QuietTimes) -> Document:
    """Return a study with its timeline, every rule's verdict and its deliveries."""
    told = page.story
    document: Document = {
        **study(page.line, quiet),
        "series": [asdict(item) for item in told.series],
        "decisions": [asdict(item) for item in told.decisions],
        "timeline": [asdict(event) for event in told.events],
        "results": [
            {
                **job.summary,
                "route": job.route,
                "attempts": job.attempts,
                "reports": [
                    {
                        "kind": report.kind,
                        "destination": report.destination,
                        "sop_class_uid": report.sop_class_uid,
                        "sop_instance_uid": report.sop_instance_uid,
                    }
                    for report in job.reports
                ],
            }
            for job in told.jobs
        ],
        "suggested": [asdict(item) for item in page.suggested],
        "sent": [delivery(item) for item in page.deliveries],
    }
    return _plain(document)


def delivery(line: DeliveryLine) -> Document:
    """Return a delivery."""
    document = asdict(line)
    del document["study_id"]
    return _plain(document)


def worklist_entry(line: StudyLine) -> Document:
    """Return a study with what is suggested for it."""
    first: SuggestionLine = line.suggestions[0]
    document = {
        "study_instance_uid": line.study_instance_uid,
        "accession_number": line.accession_number,
        "modality": line.header.modality if line.header else "",
        "waiting_since": line.last_instance_at,
        **asdict(first),
    }
    return _plain(document)


def refusal(line: RefusalLine) -> Document:
    """Return a refused instance."""
    one = line.instance
    more = {
        "status": f"0x{one.status:04X}",
        "what_to_do": remedy_of(one.status, one.reason),
        "here": line.here,
    }
    return _plain(asdict(one) | more)


def queues(found: Backlog) -> Document:
    """Return the work there is."""
    return _plain(asdict(found))


def destination(line: DestinationLine, kind: str | None) -> Document:
    """Return a destination.

    Args:
        kind: of the configuration, None if it is not there any more.
    """
    counts = {state: line.deliveries.get(state, 0) for state in WorkState}
    return _plain({**asdict(line), "deliveries": counts, "kind": kind})


def model(found: "ListedBundle") -> Document:
    """Return a model as its card describes it."""
    card = found.card
    document: Document = {
        "name": found.name,
        "version": card.version if card else None,
        "shipped": found.shipped,
        "fault": found.fault or None,
        "description": card.description if card else "",
        "intended_use": card.intended_use if card else "",
        "research_only": card.research_only if card else None,
        "findings": [],
        "performance": {},
    }
    if card:
        document["findings"] = [
            {"meaning": item.concept.meaning, "threshold": item.threshold}
            for item in card.classes
        ]
        document["performance"] = {
            name: asdict(estimate) for name, estimate in card.performance
        }
    return _plain(document)


def studies_csv(lines: Sequence[StudyLine], quiet: QuietTimes) -> str:
    """Return the list as a table; no cell is a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")  # RFC 4180
    writer.writerow(_COLUMNS)
    for line in lines:
        document = study(line, quiet)
        if line.suggestions:
            first = document["suggestions"][0]
            document |= {"urgency": first["urgency"], "reason": first["reason"]}
        writer.writerow([_cell(str(document.get(name) or "")) for name in _COLUMNS])
    return out.getvalue()


def _cell(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA) else text


def _plain(document: Document) -> Document:
    found = plain(document)
    return dict(found)
