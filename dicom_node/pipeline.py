"""The way of the data. Whoever has read this page knows what the node does.

    a C-STORE      on_instances    becomes a file and a row
    a quiet study  on_quiet_study  becomes jobs, or is ignored with the reason
    a job          on_job          becomes a prediction, a report and deliveries
    a delivery     on_delivery     becomes an object in the PACS

Each arrow is one transaction. Whatever dies in between, the step runs again: unique
keys and derived UIDs make the second run the same as the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import db.instances
import db.outbox
import db.studies
import db.work
from db.engine import Database
from dicom_node.core.clock import Clock
from dicom_node.core.errors import (
    BundleError,
    DeliveryError,
    InferenceError,
    ReceiveError,
    ReportError,
    StoreError,
)
from dicom_node.core.ids import SOPClassUID, StudyId
from dicom_node.core.protocols import (
    Compare,
    Destination,
    Executor,
    InstanceStore,
    ReportBuilder,
    RetryPolicy,
    Router,
)
from dicom_node.core.states import Outcome, WorkState
from dicom_node.core.types import (
    Delivery,
    InputFile,
    Job,
    Prediction,
    ReceivedInstance,
    Recorded,
    Report,
    ReportFile,
    RoutingDecision,
    Setback,
    Settlement,
    Study,
)
from dicom_node.store.inputs import open_inputs

_WITHOUT_RESULT = (Outcome.NOT_EVALUATED, Outcome.FAILED)


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
    reports: InstanceStore
    executor: Executor
    report_builder: ReportBuilder
    destinations: Mapping[str, Destination]
    clock: Clock
    attempts: int
    retry: RetryPolicy


def on_job(work: Work, job: Job) -> Outcome:
    """Infer on a study, write its report, queue the deliveries: settled as one.

    Raises:
        LostRace: the lease lapsed and somebody else has the job.
    """
    if job.attempt > work.attempts:
        # The attempt is counted before it starts, so a crash counts too.
        return _give_up(work, job, "the worker died in every attempt")
    try:
        study = db.studies.load(work.database, job.study_id, revision=job.revision)
        files = open_inputs(work.instances, study.evidence)
        prediction = work.executor.predict(job.model, files)
        receivers = name_receivers(
            job.destinations, work.destinations, prediction.outcome
        )
        reports = _write_reports(work, study, files, prediction, receivers)
    except InferenceError as error:
        if error.retryable and job.attempt < work.attempts:
            return _try_again(work, job, str(error))
        return _give_up(work, job, str(error))
    except (BundleError, ReportError, StoreError) as error:
        return _give_up(work, job, str(error))
    settlement = Settlement(
        prediction=prediction,
        reports=reports,
        destinations=receivers if reports else (),
        state=_settled_state(prediction),
    )
    db.outbox.settle_job(work.database, job, settlement, now=work.clock.now())
    return prediction.outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbox:
    """What turns a delivery into an object in the PACS."""

    database: Database
    reports: InstanceStore
    destinations: Mapping[str, Destination]
    retry: RetryPolicy
    clock: Clock


def on_delivery(outbox: Outbox, delivery: Delivery) -> WorkState:
    """Send a report; done only once the destination said that it has it.

    Raises:
        LostRace: the lease lapsed and somebody else has the delivery.
    """
    try:
        destination = outbox.destinations.get(delivery.destination)
        if destination is None:
            raise DeliveryError(
                "the destination is not in the configuration any more: "
                "put it back, then run `dicom-node retry`",
                retryable=False,
            )
        sent = destination.send(
            _report_files(outbox.reports, delivery, destination),
            chosen=delivery.chosen,
            on_chosen=lambda uid: db.outbox.choose(outbox.database, delivery, uid),
        )
    except DeliveryError as error:
        return _settle_undelivered(outbox, delivery, error)
    db.outbox.settle_delivery(outbox.database, delivery, sent, now=outbox.clock.now())
    return WorkState.DONE


# The steps in detail


def name_receivers(
    names: Sequence[str], destinations: Mapping[str, Destination], outcome: Outcome
) -> tuple[str, ...]:
    """Name those destinations of a route that want this outcome."""
    return tuple(
        name
        for name in names
        if outcome not in _WITHOUT_RESULT
        or (name in destinations and destinations[name].send_not_evaluated)
    )


def _write_reports(
    work: Work,
    study: Study,
    files: Sequence[InputFile],
    prediction: Prediction,
    receivers: Sequence[str],
) -> tuple[Report, ...]:
    """Write one report per SOP class that a receiver may accept."""
    sop_class_uids = tuple(
        dict.fromkeys(
            sop_class_uid
            for name in receivers
            if name in work.destinations
            for sop_class_uid in work.destinations[name].sop_class_uids
        )
    )
    if not sop_class_uids:
        return ()
    found = (
        db.outbox.predecessors(
            work.database,
            study.study_id,
            revision=study.revision,
            model=prediction.model,
            sop_class_uid=SOPClassUID(sop_class_uid),
        )
        for sop_class_uid in sop_class_uids
    )
    earlier = {report.sop_instance_uid: report for report in found if report}
    built = work.report_builder.build(
        files,
        prediction,
        sop_class_uids=sop_class_uids,
        predecessors=tuple(earlier.values()),
    )
    # A replay of the same images by the same model is the same object, not a new one.
    return tuple(
        earlier[report.sop_instance_uid]
        if report.sop_instance_uid in earlier
        else replace(report, file_key=work.reports.put(content))
        for report, content in built
    )


def _settled_state(prediction: Prediction) -> WorkState:
    return WorkState.FAILED if prediction.outcome is Outcome.FAILED else WorkState.DONE


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


def _give_up(work: Work, job: Job, reason: str) -> Outcome:
    db.work.fail(work.database, job, Setback(reason=reason), now=work.clock.now())
    return Outcome.FAILED


def _report_files(
    store: InstanceStore, delivery: Delivery, destination: Destination
) -> tuple[ReportFile, ...]:
    """Order the reports as the destination prefers them."""
    by_class = {str(report.sop_class_uid): report for report in delivery.reports}
    return tuple(
        ReportFile(report=by_class[uid], path=store.path(by_class[uid].file_key))
        for uid in destination.sop_class_uids
        if uid in by_class
    )


def _settle_undelivered(
    outbox: Outbox, delivery: Delivery, error: DeliveryError
) -> WorkState:
    now = outbox.clock.now()
    again = outbox.retry.next_attempt(
        attempt=delivery.attempt, queued_at=delivery.queued_at, now=now
    )
    setback = Setback(reason=str(error), status=error.status)
    if not error.retryable or again is None:
        db.work.fail(outbox.database, delivery, setback, now=now)
        return WorkState.FAILED
    db.work.requeue(outbox.database, delivery, setback, not_before=again, now=now)
    return WorkState.QUEUED
