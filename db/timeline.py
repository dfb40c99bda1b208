"""Read one study's whole story."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, select

from db.codec import decode_header, decode_prediction, decode_verdict
from db.columns import AnyRow
from db.left_behind import left_behind, left_behind_events
from db.refusals import refusal_events
from db.reports import report_of
from db.story import (
    AttemptStory,
    DecisionStory,
    DeliveryStory,
    JobStory,
    ReceiptStory,
    SeriesStory,
    StudyStory,
)
from db.summary import (
    JobSummary,
    describe_status,
    summarise,
    summarise_delivery,
    summarise_jobs,
)
from db.tables import (
    decisions,
    deliveries,
    instances,
    predictions,
    reports,
    studies,
    versions,
    work_events,
)
from db.timeline_asides import asked_events, pruning_events, suggestion_events
from db.transitions import Kind
from dicom_node.core.quiet import Arrivals
from dicom_node.core.states import Receipt, StudyState, WorkState
from dicom_node.core.types import Prediction, TimelineEvent

_ELSEWHERE: Final = "it names another Study Instance UID"
_OTHER_PIXELS: Final = "its Pixel Data, as encoded, is not what was here"


def tell(connection: Connection, study_id: int) -> StudyStory:
    """Return the story of a study that exists."""
    row = connection.execute(select(studies).where(studies.c.id == study_id)).one()
    chosen = select(studies.c.id).where(studies.c.id == study_id)
    came = _versions(connection, study_id)
    receipts = tuple(_receipt(item, row.study_instance_uid) for item in came)
    decided = _decisions(connection, study_id)
    job_stories = tuple(
        _job(connection, job, summary)
        for job, summary in summarise_jobs(connection, chosen)[study_id]
    )
    events = [
        *_receipt_events(receipts),
        *_decision_events(decided),
        *_job_events(job_stories),
        *pruning_events(connection, study_id),
        *suggestion_events(connection, study_id),
        *asked_events(connection, study_id),
        *left_behind_events(left_behind(decided, job_stories)),
        *refusal_events(connection, row.study_instance_uid),
    ]
    return StudyStory(
        summary=summarise(connection, chosen)[0],
        first_instance_at=row.first_instance_at,
        last_instance_at=row.last_instance_at,
        series=_series(came),
        receipts=receipts,
        decisions=decided,
        jobs=job_stories,
        events=tuple(sorted(events, key=lambda event: event.at)),
        arrivals=Arrivals(
            last_instance_at=row.last_instance_at,
            revision_started_at=row.revision_started_at,
            called_ae_title=row.called_ae_title,
        ),
    )


def _versions(connection: Connection, study_id: int) -> list[AnyRow]:
    query = (
        select(
            versions,
            instances.c.sop_instance_uid,
            instances.c.revision,
            instances.c.own_result,
        )
        .join(instances, versions.c.instance_id == instances.c.id)
        .where(instances.c.study_id == study_id)
        .order_by(versions.c.id)
    )
    return list(connection.execute(query))


def _receipt(row: AnyRow, study_instance_uid: str) -> ReceiptStory:
    return ReceiptStory(
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        transfer_syntax_uid=row.transfer_syntax_uid,
        receipt=Receipt(row.receipt),
        current=bool(row.current),
        revision=row.revision,
        received_at=row.received_at,
        repeats=row.repeats,
        repeated_at=row.repeated_at,
        calling_ae_title=row.calling_ae_title,
        peer_address=row.peer_address,
        file_key=row.file_key,
        size_bytes=row.size_bytes,
        elsewhere=row.study_instance_uid != study_instance_uid,
    )


def _series(rows: list[AnyRow]) -> tuple[SeriesStory, ...]:
    members: dict[str, list[AnyRow]] = defaultdict(list)
    for row in rows:
        if row.current:
            members[row.series_instance_uid].append(row)
    stories = []
    for series_instance_uid, items in members.items():
        header = decode_header(items[0].header)
        stories.append(
            SeriesStory(
                series_instance_uid=series_instance_uid,
                modality=header.modality,
                description=header.series_description,
                instances=len(items),
                own_results=sum(item.own_result for item in items),
            )
        )
    return tuple(stories)


def _decisions(connection: Connection, study_id: int) -> tuple[DecisionStory, ...]:
    query = select(decisions).where(decisions.c.study_id == study_id)
    return tuple(
        DecisionStory(
            revision=row.revision,
            decided_at=row.decided_at,
            state=StudyState(row.state),
            ignored_because=row.ignored_because,
            verdicts=tuple(decode_verdict(item) for item in row.verdicts),
        )
        for row in connection.execute(query.order_by(decisions.c.revision))
    )


def _job(connection: Connection, row: AnyRow, summary: JobSummary) -> JobStory:
    written = select(reports).where(reports.c.job_id == row.id)
    sent = select(deliveries).where(deliveries.c.job_id == row.id)
    return JobStory(
        summary=summary,
        route=row.route,
        attempts=row.claims,
        moves=_moves(connection, Kind.JOB, row.id),
        prediction=_prediction(connection, row.id),
        reports=tuple(
            report_of(item)
            for item in connection.execute(written.order_by(reports.c.rank))
        ),
        deliveries=tuple(
            DeliveryStory(
                summary=summarise_delivery(item),
                reason=item.reason,
                not_before=item.not_before,
                moves=_moves(connection, Kind.DELIVERY, item.id, report=item.kind),
            )
            for item in connection.execute(sent.order_by(deliveries.c.id))
        ),
    )


def _prediction(connection: Connection, job_id: int) -> Prediction | None:
    document = connection.execute(
        select(predictions.c.document)
        .where(predictions.c.job_id == job_id)
        .order_by(predictions.c.claim.desc())
        .limit(1)
    ).scalar_one_or_none()
    return None if document is None else decode_prediction(document)


def _moves(
    connection: Connection, kind: Kind, work_id: int, *, report: str = ""
) -> tuple[AttemptStory, ...]:
    query = (
        select(work_events)
        .where(work_events.c.kind == kind, work_events.c.work_id == work_id)
        .order_by(work_events.c.id)
    )
    return tuple(
        AttemptStory(
            at=row.at,
            attempt=row.attempt,
            source=None if row.from_state is None else WorkState(row.from_state),
            target=WorkState(row.to_state),
            reason=row.reason,
            status=describe_status(row.status, report),
        )
        for row in connection.execute(query)
    )


def _receipt_events(receipts: tuple[ReceiptStory, ...]) -> Iterator[TimelineEvent]:
    """Yield one event for the instances of a caller, a revision and a second."""
    first: dict[tuple[object, ...], ReceiptStory] = {}
    counted: Counter[tuple[object, ...]] = Counter()
    for item in receipts:
        second = item.received_at.replace(microsecond=0)
        key: tuple[object, ...]
        key = (
            item.receipt,
            item.elsewhere,
            item.revision,
            item.calling_ae_title,
            second,
        )
        first.setdefault(key, item)
        counted[key] += 1
    for key, item in first.items():
        detail: dict[str, str | int | float | None] = {
            "receipt": item.receipt,
            "revision": item.revision,
            "calling_ae_title": item.calling_ae_title,
            "instances": counted[key],
        }
        if item.receipt is Receipt.CONFLICT:
            detail["because"] = _ELSEWHERE if item.elsewhere else _OTHER_PIXELS
        yield TimelineEvent(at=item.received_at, what="received", detail=detail)
    for item in receipts:
        if item.repeated_at is not None:
            yield TimelineEvent(
                at=item.repeated_at,
                what="received again",
                detail={"receipt": item.receipt, "repeats": item.repeats},
            )


def _decision_events(decided: tuple[DecisionStory, ...]) -> Iterator[TimelineEvent]:
    for item in decided:
        yield TimelineEvent(
            at=item.decided_at,
            what="routed" if item.state is StudyState.ROUTED else "ignored",
            detail={"revision": item.revision, "because": item.ignored_because},
        )


def _job_events(job_stories: tuple[JobStory, ...]) -> Iterator[TimelineEvent]:
    for job in job_stories:
        about: dict[str, str | int | float | None] = {
            "model": job.summary["model"],
            "revision": job.summary["revision"],
        }
        yield from (_event("job", move, about) for move in job.moves)
        for delivery in job.deliveries:
            to = {
                **about,
                "destination": delivery.summary["destination"],
                "report": delivery.summary["kind"],
            }
            yield from (_event("delivery", move, to) for move in delivery.moves)


def _event(
    what: str, move: AttemptStory, about: dict[str, str | int | float | None]
) -> TimelineEvent:
    detail = {**about, "state": move.target, "attempt": move.attempt}
    if move.reason is not None:
        detail["reason"] = move.reason
    if move.status is not None:
        detail["status"] = move.status
    return TimelineEvent(at=move.at, what=what, detail=detail)
