"""A delivery in detail: what is checked before it leaves, and how it ends."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

import db.breaker
import db.commitments
import db.sending
import db.work
from db.breaker import BreakerPolicy, Failure
from db.engine import Database
from dicom_node.core.clock import Clock
from dicom_node.core.errors import DeliveryError, Quarantined
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.proof import Commitment, Prover
from dicom_node.core.protocols import (
    DeliveryCounters,
    Destination,
    InstanceStore,
    RetryPolicy,
)
from dicom_node.core.states import Proof, ReportKind, WorkState
from dicom_node.core.types import Delivery, ReportFile, Sent, Setback
from dicom_node.deliver.status import cannot_store
from dicom_node.proving import NotKept, Proving, Wait, sent_as

Faults = Callable[[ReportKind, ReportFile], Sequence[str]]
_OBJECTS = (ReportKind.SR, ReportKind.SC, ReportKind.KOS)
_MOST_FAULTS_NAMED = 3
_BREAKER = BreakerPolicy(
    failures=5, first=timedelta(seconds=15), longest=timedelta(seconds=300)
)


def no_faults(_kind: ReportKind, _file: ReportFile) -> Sequence[str]:
    """Find nothing wrong with anything."""
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """What turns a delivery into an object in the PACS.

    Args:
        provers: of the destinations that have to prove what they took.
        faults: says what is wrong with an object, which then never leaves.
        breaker: when a destination is left alone.
        chance: 0..1, for the jitter of the breaker.
    """

    database: Database
    reports: InstanceStore
    destinations: Mapping[str, Destination]
    retry: RetryPolicy
    clock: Clock
    provers: Mapping[str, Prover] = field(default_factory=dict)
    faults: Faults = no_faults
    breaker: BreakerPolicy = _BREAKER
    chance: Callable[[], float] = field(
        default_factory=lambda: Random().random  # noqa: S311 - spreads load
    )
    counters: DeliveryCounters | None = None


def send(outbox: Outbox, delivery: Delivery) -> Sent:
    """Send the report, or the one chosen before, once it was found to be sound.

    Raises:
        DeliveryError: not taken; `retryable` says whether to try again.
        LostRace: the lease lapsed and somebody else has the delivery.
    """
    destination = outbox.destinations.get(delivery.destination)
    if destination is None:
        raise DeliveryError(
            "the destination is not in the configuration any more: "
            "put it back, then run `dicom-node retry`",
            retryable=False,
        )
    files = {
        file.report.sop_instance_uid: file
        for file in _report_files(outbox.reports, delivery, destination)
    }

    def on_chosen(uid: SOPInstanceUID) -> None:
        _refuse_faulty(outbox, delivery.kind, files[uid])
        db.sending.choose(outbox.database, delivery, uid)

    chosen = delivery.chosen
    if chosen not in files and _was_refused(outbox, delivery):
        chosen = None
    return destination.send(tuple(files.values()), chosen=chosen, on_chosen=on_chosen)


def prove(outbox: Outbox, delivery: Delivery, prover: Prover) -> WorkState:
    """Ask for the proof of a delivery that was sent, and settle it if it is there.

    Raises:
        DeliveryError: the destination did not answer.
        LostRace: the lease lapsed and somebody else has the delivery.
    """
    proving = _proving(outbox, delivery, prover)
    outcome = proving.prove()
    now = outbox.clock.now()
    if isinstance(outcome, Sent):
        db.sending.settle_delivery(outbox.database, delivery, outcome, now=now)
        return WorkState.DONE
    if isinstance(outcome, Wait):
        _set_aside(outbox, delivery, outcome, now=now)
        return WorkState.QUEUED
    return _settle_not_kept(outbox, delivery, outcome)


def settle_undelivered(
    outbox: Outbox, delivery: Delivery, error: DeliveryError, *, begun: datetime
) -> WorkState:
    """Queue the delivery for a later attempt, or give it up.

    Args:
        begun: when the attempt began.
    """
    now = outbox.clock.now()
    setback = Setback(reason=str(error), status=error.status)
    again = _next_attempt(outbox, delivery, now=now)
    _note_at_breaker(outbox, delivery, error, begun=begun)
    if isinstance(error, Quarantined):
        db.sending.quarantine(outbox.database, delivery, setback, now=now)
        return WorkState.FAILED
    if error.retryable and again is not None:
        again = max(again, now + timedelta(seconds=error.wait_seconds))
        db.work.requeue(outbox.database, delivery, setback, not_before=again, now=now)
        return WorkState.QUEUED
    prover = outbox.provers.get(delivery.destination)
    lenient = prover and prover.terms.commitment is not Commitment.REQUIRED
    if lenient and delivery.stage == db.sending.STAGE_SENT and delivery.chosen:
        # It is there, as far as anybody knows: only the proof could not be had.
        sent = sent_as(delivery, delivery.chosen, Proof.SENT, setback.reason)
        db.sending.settle_delivery(outbox.database, delivery, sent, now=now)
        return WorkState.DONE
    db.work.fail(outbox.database, delivery, setback, now=now)
    return WorkState.FAILED


def _next_attempt(
    outbox: Outbox, delivery: Delivery, *, now: datetime
) -> datetime | None:
    """Say when an attempt that has just failed is followed by another."""
    before = db.sending.setbacks(outbox.database, delivery)
    return outbox.retry.next_attempt(
        attempt=before + 1, queued_at=delivery.queued_at, now=now
    )


def needs_proof(delivery: Delivery) -> bool:
    """Say whether this kind of report can be committed and found."""
    return delivery.kind in _OBJECTS


def _refuse_faulty(outbox: Outbox, kind: ReportKind, file: ReportFile) -> None:
    faults = list(outbox.faults(kind, file))
    if faults:
        named = "; ".join(faults[:_MOST_FAULTS_NAMED])
        more = len(faults) - _MOST_FAULTS_NAMED
        rest = f" and {more} more" if more > 0 else ""
        raise Quarantined(
            f"quarantined, never sent: {named}{rest}: run `dicom-node replay` on the "
            "study once the cause is gone",
            retryable=False,
        )


def _proving(outbox: Outbox, delivery: Delivery, prover: Prover) -> Proving:
    chosen = next(
        (one for one in delivery.reports if one.sop_instance_uid == delivery.chosen),
        None,
    )
    if chosen is None:
        raise DeliveryError(
            "the report that was sent is not there any more: run `dicom-node replay` "
            "on the study",
            retryable=False,
        )
    return Proving(
        database=outbox.database,
        clock=outbox.clock,
        delivery=delivery,
        file=ReportFile(report=chosen, path=outbox.reports.path(chosen.file_key)),
        prover=prover,
    )


def _set_aside(
    outbox: Outbox, delivery: Delivery, wait: Wait, *, now: datetime
) -> None:
    if wait.for_answer:
        db.commitments.await_answer(
            outbox.database, delivery, until=wait.until, now=now
        )
    else:
        setback = Setback(reason="sent; a query does not find it there yet")
        db.work.requeue(
            outbox.database, delivery, setback, not_before=wait.until, now=now
        )


def _settle_not_kept(outbox: Outbox, delivery: Delivery, outcome: NotKept) -> WorkState:
    now = outbox.clock.now()
    again = _next_attempt(outbox, delivery, now=now)
    if outcome.again and again is not None:
        db.sending.send_again(
            outbox.database, delivery, outcome.setback, not_before=again, now=now
        )
        return WorkState.QUEUED
    db.work.fail(outbox.database, delivery, outcome.setback, now=now)
    return WorkState.FAILED


def _note_at_breaker(
    outbox: Outbox, delivery: Delivery, error: DeliveryError, *, begun: datetime
) -> None:
    """Count what tells that the destination is not there, or cannot take anything."""
    now = outbox.clock.now()
    if error.retryable:
        db.breaker.failed(
            outbox.database,
            Failure(
                destination=delivery.destination,
                reason=str(error),
                begun=begun,
                at=now,
            ),
            outbox.breaker,
            chance=outbox.chance(),
        )
    else:
        db.breaker.let_next_try(outbox.database, delivery, now=now)


def _was_refused(outbox: Outbox, delivery: Delivery) -> bool:
    """Say whether the destination answered that it cannot store what was chosen."""
    status = db.sending.last_answer(outbox.database, delivery)
    return status is not None and cannot_store(status)


def _report_files(
    store: InstanceStore, delivery: Delivery, destination: Destination
) -> tuple[ReportFile, ...]:
    """Order the reports as the destination prefers them."""
    found = [
        ReportFile(report=report, path=store.path(report.file_key))
        for report in delivery.reports
    ]
    if delivery.kind is not ReportKind.SR:
        return tuple(found)
    by_class = {str(file.report.sop_class_uid): file for file in found}
    return tuple(by_class[uid] for uid in destination.sop_class_uids if uid in by_class)
