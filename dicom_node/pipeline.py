"""The way of the data. Whoever has read this page knows what the node does.

    a C-STORE      on_instances    becomes a file and a row
    a quiet study  on_quiet_study  becomes jobs, or is ignored with the reason
    a job          on_job          becomes a prediction, a report and deliveries
    a delivery     on_delivery     becomes an object in the PACS

Each arrow is one transaction; a job has a second one for the pictures, which nobody's
report waits for. Whatever dies in between, the step runs again: unique keys and derived
UIDs make the second run the same as the first.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import db.instances
import db.outbox
import db.results
import db.sending
import db.studies
import db.work
from db.engine import Database
from dicom_node import delivering
from dicom_node.core.clock import Clock
from dicom_node.core.errors import (
    BundleError,
    DeliveryError,
    InferenceError,
    ReceiveError,
    ReportError,
    StoreError,
)
from dicom_node.core.ids import StudyId
from dicom_node.core.protocols import (
    Compare,
    Executor,
    InstanceStore,
    RetryPolicy,
    Router,
    WorkCounters,
)
from dicom_node.core.states import Outcome, WorkState
from dicom_node.core.types import (
    Delivery,
    InputFile,
    Job,
    ReceivedInstance,
    Recorded,
    RoutingDecision,
    Setback,
    Settlement,
    Study,
)
from dicom_node.core.work import LEFT_OUT, WITHDRAWAL
from dicom_node.core.writing import Result
from dicom_node.delivering import Outbox as Outbox
from dicom_node.store.inputs import intact_inputs, open_inputs
from dicom_node.writing import Withdrawal, Writing

_ALL_BUT_PICTURES = "the report is written, but not its pictures and key objects"


def on_instances(
    database: Database,
    received: Sequence[ReceivedInstance],
    *,
    compare: Compare,
    durable: bool = True,
) -> tuple[Recorded | ReceiveError, ...]:
    """Record instances whose files are already on stable storage.

    Only after this may a sender hear 0x0000. A first instance opens its study; a
    late one opens the next revision; a repeat changes nothing.

    Args:
        durable: False if the files are not synced either: what was answered 0x0000
            then survives the end of the process, not a power cut.

    Raises:
        DatabaseError: none of them was recorded.
    """
    return db.instances.record_all(database, received, compare=compare, durable=durable)


def on_quiet_study(
    database: Database, study_id: StudyId, router: Router, clock: Clock
) -> RoutingDecision:
    """Route a study that is complete, and keep the verdict of every rule.

    Raises:
        LostRace: an instance arrived meanwhile; the study is not quiet any more.
    """
    study = db.studies.load(database, study_id)
    decision = router.route(study)
    db.studies.settle(database, study, decision, now=clock.now())
    return decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What turns a job into a report."""

    database: Database
    instances: InstanceStore
    executor: Executor
    writing: Writing
    clock: Clock
    attempts: int
    retry: RetryPolicy
    counters: WorkCounters | None = None


def on_job(
    work: Work, job: Job, *, on_report: Callable[[], object] = lambda: None
) -> Outcome:
    """Infer on a study, write its report, queue the deliveries.

    A result is kept with its report, messages and their deliveries in one
    transaction, which may leave at once; its pictures follow with the end of the job.
    Whoever goes on after a crash writes what is missing, and nothing twice.

    Args:
        on_report: called when something may leave before the job has ended.

    Raises:
        LostRace: the lease lapsed and somebody else has the job.
    """
    kept = db.results.kept(work.database, job)
    if job.attempt > work.attempts:
        # The attempt is counted before it starts, so a crash counts too.
        return _give_up(work, job, "the worker died in every attempt", kept)
    if job.route == WITHDRAWAL:
        return _on_left_out(work, job)
    try:
        study = db.studies.load(work.database, job.study_id, revision=job.revision)
        files = open_inputs(work.instances, study.evidence, pruned_at=study.pruned_at)
        if kept is None:
            return _infer(work, job, study, files, on_report=on_report)
    except InferenceError as error:
        if error.retryable and job.attempt < work.attempts:
            return _try_again(work, job, str(error))
        return _give_up(work, job, str(error), kept)
    except (BundleError, ReportError, StoreError) as error:
        return _give_up(work, job, str(error), kept)
    return _finish(work, _result_of(kept, study, files))


def on_delivery(outbox: Outbox, delivery: Delivery) -> WorkState:
    """Send a report; done once the destination has it, and has proven it if it must.

    Raises:
        LostRace: the lease lapsed and somebody else has the delivery.
    """
    prover = outbox.provers.get(delivery.destination)
    if not delivering.needs_proof(delivery):
        prover = None
    begun = outbox.clock.now()
    try:
        if delivery.stage != db.sending.STAGE_SENT or prover is None:
            sent = delivering.send(outbox, delivery)
            now = outbox.clock.now()
            if prover is None:
                db.sending.settle_delivery(outbox.database, delivery, sent, now=now)
                return WorkState.DONE
            delivery = db.sending.mark_sent(outbox.database, delivery, sent, now=now)
        return delivering.prove(outbox, delivery, prover)
    except DeliveryError as error:
        return delivering.settle_undelivered(outbox, delivery, error, begun=begun)


# The steps in detail


def _infer(
    work: Work,
    job: Job,
    study: Study,
    files: Sequence[InputFile],
    *,
    on_report: Callable[[], object],
) -> Outcome:
    """Write and keep the result; the job ends with it, or once the rest is written."""
    prediction = work.executor.predict(job.model, files)
    written = work.writing.write(job, study, files, prediction)
    now = work.clock.now()
    if written.rest is None:
        db.outbox.settle_job(work.database, job, written.settlement, now=now)
        return prediction.outcome
    db.outbox.keep_result(work.database, job, written.settlement, now=now)
    on_report()
    return _finish(work, written.rest)


def _try_again(work: Work, job: Job, reason: str) -> Outcome:
    now = work.clock.now()
    not_before = work.retry.next_attempt(attempt=job.attempt, queued_at=now, now=now)
    db.work.requeue(
        work.database,
        job,
        Setback(reason=reason),
        not_before=not_before or now,
        now=now,
    )
    return Outcome.FAILED


def _result_of(
    kept: db.results.StoredResult, study: Study, files: Sequence[InputFile]
) -> Result:
    return Result(
        job=kept.job,
        study=study,
        files=tuple(files),
        prediction=kept.prediction,
        report=kept.report,
        suggestion=kept.suggestion,
    )


def _finish(work: Work, result: Result) -> Outcome:
    """Write what is left of a result that is kept, and end its job."""
    job = result.job
    try:
        rest = work.writing.write_rest(result)
    except InferenceError as error:  # nothing can try its image apart now
        if error.retryable and job.attempt < work.attempts:
            return _try_again(work, job, str(error))
        return _fail(work, job, f"{_ALL_BUT_PICTURES}: {error}")
    except (ReportError, StoreError) as error:
        return _fail(work, job, f"{_ALL_BUT_PICTURES}: {error}")
    db.outbox.finish_job(work.database, job, rest, now=work.clock.now())
    return result.prediction.outcome


def _give_up(
    work: Work, job: Job, reason: str, kept: db.results.StoredResult | None
) -> Outcome:
    """End the job without a result; messages of an earlier revision are withdrawn.

    Args:
        kept: a result that is kept, and told of, stays.
    """
    if kept is not None:
        return _fail(work, job, f"{_ALL_BUT_PICTURES}: {reason}")
    try:
        withdrawal = _withdrawal(work, job, reason)
    except (ReportError, StoreError):
        withdrawal = None
        reason += "; what was told of an earlier revision could not be withdrawn"
    if withdrawal is None:
        return _fail(work, job, reason)
    db.outbox.settle_job(work.database, job, withdrawal, now=work.clock.now())
    return Outcome.FAILED


def _fail(work: Work, job: Job, reason: str) -> Outcome:
    db.work.fail(work.database, job, Setback(reason=reason), now=work.clock.now())
    return Outcome.FAILED


def _withdrawal(work: Work, job: Job, reason: str) -> Settlement | None:
    if not any(work.writing.told(job)):
        return None
    made = _take_back(work, job, Withdrawal(reason=reason, outcome=Outcome.FAILED))
    return made if made.reports else None


def _take_back(work: Work, job: Job, withdrawal: Withdrawal) -> Settlement:
    study = db.studies.load(work.database, job.study_id, revision=job.revision)
    files = intact_inputs(work.instances, study.evidence)
    return work.writing.withdraw(job, study, files, withdrawal)


def _on_left_out(work: Work, job: Job) -> Outcome:
    """Take back what was told by a model that no route wants any more."""
    outcome, now = Outcome.NOT_EVALUATED, work.clock.now()
    withdrawal = Withdrawal(reason=LEFT_OUT, outcome=outcome)
    try:
        settlement = _take_back(work, job, withdrawal)
    except (ReportError, StoreError) as error:
        setback = Setback(reason=f"what was told could not be withdrawn: {error}")
        db.work.fail(work.database, job, setback, now=now)
        return Outcome.FAILED
    db.outbox.settle_job(work.database, job, settlement, now=now)
    return outcome
