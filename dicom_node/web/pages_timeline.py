"""One timeline: from the association to the acknowledgement of the PACS."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Final

from db.desk import StudyPage
from db.desk_deliveries import DeliveryLine
from db.desk_suggestions import Standing
from db.left_behind import STAYS_EVENT
from db.refusals import REFUSED
from db.story import AttemptStory, DecisionStory, DeliveryStory, ReceiptStory
from db.timeline_asides import ASKED_EVENT
from dicom_node.core.states import Receipt, StudyState, WorkState
from dicom_node.core.types import AssociationRecord
from dicom_node.core.work import WITHDRAWAL
from dicom_node.web.pages_words import WORK_KIND, work_state
from dicom_node.web.words import Catalogue

_RECEIPTS: Final = {
    Receipt.CONFLICT: ("event_text.received_conflict", "bad"),
    Receipt.OWN_RESULT: ("event_text.received_own", "idle"),
}
_STAYS_TOLD: Final = ("because", "what_to_do")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the timeline.

    Args:
        kind: "good", "bad", "busy" or "idle".
    """

    at: datetime
    what: str
    text: str
    detail: str = ""
    kind: str = "idle"


def timeline(
    t: Catalogue, page: StudyPage, associations: Sequence[AssociationRecord]
) -> list[Line]:
    """Return everything that happened to a study, the first first."""
    lines = [
        *(_association(t, item) for item in associations),
        *_receipts(t, page),
        *_refusals(t, page),
        *_decisions(t, page),
        *_jobs(t, page),
        *_suggestions(t, page),
        *_deliveries(t, page),
        *_asked(t, page),
        *_stays(t, page),
        *_pruned(t, page),
    ]
    return sorted(lines, key=lambda line: line.at)


def _association(t: Catalogue, item: AssociationRecord) -> Line:
    key = "association_tls" if item.tls_version else "association"
    return Line(
        at=item.at,
        what=t("event.association"),
        text=t(
            f"event_text.{key}",
            calling=item.calling_ae_title,
            address=item.peer_address,
            instances=item.instances,
            refused=item.refused_instances,
            tls=item.tls_version,
        ),
        kind="bad" if item.refused_instances else "idle",
    )


def _receipts(t: Catalogue, page: StudyPage) -> Iterator[Line]:
    """Yield a line for what one caller sent within a second."""
    found = sorted(page.story.receipts, key=_together)
    for (_, calling, receipt, revision), members in groupby(found, key=_together):
        group = list(members)
        words, kind = _RECEIPTS.get(receipt, ("event_text.received", "idle"))
        yield Line(
            at=min(item.received_at for item in group),
            what=t("event.received"),
            text=t(words, n=len(group), calling=calling, revision=revision),
            kind=kind,
        )
    for item in found:
        if item.repeated_at is not None:
            yield Line(
                at=item.repeated_at,
                what=t("event.received_again"),
                text=t("event_text.received_again", n=item.repeats),
            )


def _refusals(t: Catalogue, page: StudyPage) -> Iterator[Line]:
    for event in page.story.events:
        if event.what == REFUSED:
            told = event.detail
            yield Line(
                at=event.at,
                what=t("event.refused_images"),
                text=t(
                    "event_text.refused_images",
                    n=told["instances"],
                    calling=told["calling_ae_title"],
                    reason=t.say(str(told["reason"])),
                ),
                detail=f"{told['status']} · {t.say(str(told['what_to_do']))}",
                kind="bad",
            )


def _together(item: ReceiptStory) -> tuple[datetime, str, Receipt, int]:
    second = item.received_at.replace(microsecond=0)
    return second, item.calling_ae_title, item.receipt, item.revision


def _decisions(t: Catalogue, page: StudyPage) -> Iterator[Line]:
    for item in page.story.decisions:
        if item.state is StudyState.IGNORED:
            text = t(
                "event_text.ignored",
                revision=item.revision,
                reason=t.say(item.ignored_because or ""),
            )
            yield Line(
                at=item.decided_at,
                what=t("event.ignored"),
                text=text,
                detail=_verdicts(t, item),
            )
            continue
        models = ", ".join(
            job.summary["model"]
            for job in page.story.jobs
            if job.summary["revision"] == item.revision and job.route != WITHDRAWAL
        )
        text = t("event_text.routed", revision=item.revision, models=models)
        yield Line(
            at=item.decided_at,
            what=t("event.routed"),
            text=text,
            detail=_verdicts(t, item),
            kind="good",
        )


def _verdicts(t: Catalogue, item: DecisionStory) -> str:
    """Say of every condition of every route whether it holds."""
    return " · ".join(
        f"{verdict.route}: {verdict.rule} "
        f"{t('study.holds' if verdict.matched else 'study.misses')}"
        for verdict in item.verdicts
    )


def _jobs(t: Catalogue, page: StudyPage) -> Iterator[Line]:
    for job in page.story.jobs:
        for move in job.moves:
            text = t(
                "event_text.job",
                model=job.summary["model"],
                state=work_state(t, move.target),
            )
            yield _move(t, t("event.job"), text, move)


def _suggestions(t: Catalogue, page: StudyPage) -> Iterator[Line]:
    for item in page.suggested:
        over = item.standing is not Standing.HOLDS
        yield Line(
            at=item.created_at,
            what=t("event.suggestion"),
            text=t(
                "event_text.suggestion",
                urgency=t(f"urgency.{item.urgency}"),
                reason=t.say(item.reason),
            ),
            detail=t(f"study.suggestion_{item.standing}") if over else "",
        )


def _deliveries(t: Catalogue, page: StudyPage) -> Iterator[Line]:
    for line, story in told_deliveries(page):
        # What came of an attempt says enough.
        moves = [
            move
            for move in story.moves
            if move.target is not WorkState.RUNNING or move is story.moves[-1]
        ]
        for move, alike in _folded(moves):
            text = t(
                "event_text.delivery",
                kind=t(f"kind.{line.kind}"),
                destination=line.destination,
                state=work_state(t, move.target),
            )
            if move.target is WorkState.DONE and line.proof is not None:
                text = f"{text} ({t(f'proof.{line.proof}')})"
            told = _move(t, t("event.delivery"), text, move)
            if alike:
                more = t("event_text.alike", n=alike)
                told = replace(told, detail=f"{told.detail} · {more}")
            yield told


def _folded(moves: Sequence[AttemptStory]) -> Iterator[tuple[AttemptStory, int]]:
    """Yield the first and the last of attempts that ended alike, one after another.

    With the last goes how many are left out before it: hundreds, of a night.
    """
    for _, members in groupby(moves, key=_ending):
        group = list(members)
        yield group[0], 0
        if len(group) > 1:
            yield group[-1], len(group) - 2


def _ending(move: AttemptStory) -> tuple[WorkState, str | None, str | None]:
    return move.target, move.reason, move.status


def told_deliveries(page: StudyPage) -> Iterator[tuple[DeliveryLine, DeliveryStory]]:
    """Yield each delivery with its story; both are in the order of their numbers."""
    for job in page.story.jobs:
        of_job = [
            line
            for line in page.deliveries
            if line.model == job.summary["model"]
            and line.revision == job.summary["revision"]
        ]
        yield from zip(of_job, job.deliveries, strict=False)


def _move(t: Catalogue, what: str, text: str, move: AttemptStory) -> Line:
    told = [t.say(move.reason or ""), move.status or ""]
    if move.attempt > 1:
        told.append(t("event_text.attempt", n=move.attempt))
    return Line(
        at=move.at,
        what=what,
        text=text,
        detail=" · ".join(filter(None, told)),
        kind=WORK_KIND[move.target],
    )


def _asked(t: Catalogue, page: StudyPage) -> Iterator[Line]:
    """Yield who had the study sent or run again."""
    for event in page.story.events:
        if event.what == ASKED_EVENT:
            told = event.detail
            yield Line(
                at=event.at,
                what=t("event.asked"),
                text=t(
                    f"event_asked.{told['action']}", who=t.name("who", str(told["who"]))
                ),
                detail=t.say(str(told["detail"] or "")),
            )


def _stays(t: Catalogue, page: StudyPage) -> Iterator[Line]:
    """Yield which objects of results that hold no more are in an archive still."""
    for event in page.story.events:
        if event.what == STAYS_EVENT:
            told = event.detail
            yield Line(
                at=event.at,
                what=t("event.stays"),
                text=t(
                    "event_text.stays",
                    model=told["model"],
                    revision=told["revision"],
                    destinations=told["destinations"],
                ),
                detail=" · ".join(
                    filter(None, (t.say(str(told[key])) for key in _STAYS_TOLD))
                ),
            )


def _pruned(t: Catalogue, page: StudyPage) -> Iterator[Line]:
    if page.line.pruned_at is not None:
        yield Line(
            at=page.line.pruned_at,
            what=t("event.pruned"),
            text=t("event_text.pruned"),
        )
