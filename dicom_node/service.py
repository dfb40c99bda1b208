"""The loops of each role: claim, keep the lease, do the step, look again."""

import itertools
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TypeVar

import db.studies
import db.work
from config.settings import Settings
from db.engine import Database
from dicom_node import pipeline
from dicom_node.bell import DELIVER, WORK, Bell, ring
from dicom_node.core.clock import Clock
from dicom_node.core.errors import DatabaseError, LostRace
from dicom_node.core.protocols import Router
from dicom_node.core.states import Outcome, WorkState
from dicom_node.core.types import Delivery, Job
from dicom_node.lanes import Lanes
from dicom_node.stop import Stop

log = logging.getLogger("dicom_node.service")

AnyWork = TypeVar("AnyWork", Job, Delivery)

PAUSE_AFTER_ERROR_SECONDS = 2.0
_SHORTEST_REST_SECONDS = 0.005
_STARVED_TURN = 4  # every so many claims, one is for who has waited for long


def lease_owner(role: str) -> str:
    """Name this process as a lease holder; no two processes share a name."""
    return f"{role}:{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


@contextmanager
def kept_lease(
    database: Database, work: AnyWork, *, clock: Clock, lease_seconds: float
) -> Iterator[None]:
    """Extend the lease every third of its length while the block runs.

    A lost lease is noticed when the work is settled, which then raises LostRace.
    """
    done = threading.Event()

    def extend() -> None:
        while not done.wait(lease_seconds / 3):
            try:
                db.work.extend(
                    database, work, now=clock.now(), lease_seconds=lease_seconds
                )
            except LostRace:
                return
            except DatabaseError:
                log.warning("lease not extended")

    keeper = threading.Thread(target=extend, name="lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        done.set()
        keeper.join()


def repeat(stop: Stop, step: Callable[[], bool], *, rest: Callable[[], object]) -> None:
    """Run a step again and again; rest when it found nothing to do."""
    while not stop.asked:
        try:
            found = step()
        except LostRace:
            found = True
        except DatabaseError as error:
            log.error("database unavailable", extra={"error": type(error).__name__})
            stop.wait(PAUSE_AFTER_ERROR_SECONDS)
            continue
        except Exception as error:  # noqa: BLE001 - one poisoned piece of work must not end the loop; its attempt is counted
            log.error("step failed", extra={"error": type(error).__name__})
            stop.wait(PAUSE_AFTER_ERROR_SECONDS)
            continue
        if not found:
            rest()


def complete_loop(
    settings: Settings, database: Database, router: Router, *, clock: Clock, stop: Stop
) -> None:
    """Route studies that have been quiet for long enough."""
    called = {
        table.ae_title: table.quiet_seconds
        for table in settings.called
        if table.quiet_seconds is not None
    }

    def step() -> bool:
        ready = db.studies.quiet(
            database,
            now=clock.now(),
            quiet_seconds=settings.study.quiet_seconds,
            limit_seconds=settings.study.limit_seconds,
            called=called,
        )
        for study_id in ready:
            try:
                decision = pipeline.on_quiet_study(database, study_id, router, clock)
            except LostRace:
                continue
            if decision.routes:
                ring(settings.bells_dir, WORK)
            log.info(
                "study routed" if decision.routes else "study ignored",
                extra={"study": study_id, "jobs": len(decision.routes)},
            )
        return bool(ready)

    def rest() -> None:
        """Sleep no longer than until the next study has been quiet for long enough."""
        seconds = settings.work.poll_seconds
        following = None
        with suppress(DatabaseError):  # the next step meets it again, and says so
            following = db.studies.next_quiet_at(
                database,
                quiet_seconds=settings.study.quiet_seconds,
                limit_seconds=settings.study.limit_seconds,
                called=called,
            )
        if following is not None:
            left = (following - clock.now()).total_seconds()
            seconds = min(seconds, max(left, _SHORTEST_REST_SECONDS))
        stop.wait(seconds)

    repeat(stop, step, rest=rest)


def job_loop(
    settings: Settings, work: pipeline.Work, *, clock: Clock, stop: Stop
) -> None:
    """Infer on studies, one job at a time; several such loops share the model."""
    owner = lease_owner("work")
    lease_seconds = settings.work.lease_seconds
    turns = itertools.count(1)
    patience = timedelta(seconds=settings.work.starve_seconds)

    def step() -> bool:
        now = clock.now()
        job = db.work.claim_job(
            work.database,
            owner=owner,
            now=now,
            lease_seconds=lease_seconds,
            starved_before=None if next(turns) % _STARVED_TURN else now - patience,
        )
        if job is None:
            return False
        begun = time.monotonic()
        with kept_lease(work.database, job, clock=clock, lease_seconds=lease_seconds):
            outcome = pipeline.on_job(
                work, job, on_report=lambda: ring(settings.bells_dir, DELIVER)
            )
        ring(settings.bells_dir, DELIVER)
        if work.counters is not None and job.queued_at is not None:
            waited = (clock.now() - job.queued_at).total_seconds()
            work.counters.job_finished(outcome, waited_seconds=waited)
        log.log(
            logging.WARNING if outcome is Outcome.FAILED else logging.INFO,
            "job settled",
            extra={
                "job": job.job_id,
                "study": job.study_id,
                "revision": job.revision,
                "model": job.model,
                "attempt": job.attempt,
                "outcome": outcome.value,
                "seconds": round(time.monotonic() - begun, 3),
            },
        )
        return True

    with Bell(settings.bells_dir, WORK) as bell:
        repeat(stop, step, rest=lambda: bell.wait(stop, settings.work.poll_seconds))


def delivery_loop(
    settings: Settings,
    outbox: pipeline.Outbox,
    *,
    clock: Clock,
    stop: Stop,
    lanes: Lanes | None = None,
) -> None:
    """Send reports, one at a time.

    Args:
        lanes: of all the loops that deliver side by side.
    """
    owner = lease_owner("deliver")
    lease_seconds = settings.work.lease_seconds
    own_lanes = lanes or Lanes()

    def claim(but_to: frozenset[str]) -> Delivery | None:
        return db.work.claim_delivery(
            outbox.database,
            owner=owner,
            now=clock.now(),
            lease_seconds=lease_seconds,
            but_to=but_to,
        )

    def step() -> bool:
        with own_lanes.turn(claim) as delivery:
            if delivery is None:
                return False
            with kept_lease(
                outbox.database, delivery, clock=clock, lease_seconds=lease_seconds
            ):
                state = pipeline.on_delivery(outbox, delivery)
        _tell_tried(outbox, delivery, state, now=clock.now())
        return True

    with Bell(settings.bells_dir, DELIVER) as bell:
        repeat(stop, step, rest=lambda: bell.wait(stop, settings.work.poll_seconds))


def _tell_tried(
    outbox: pipeline.Outbox, delivery: Delivery, state: WorkState, *, now: datetime
) -> None:
    if outbox.counters is not None:
        waited = (now - delivery.queued_at).total_seconds()
        outbox.counters.delivery_tried(
            delivery.destination, state, waited_seconds=waited
        )
    log.log(
        logging.WARNING if state is WorkState.FAILED else logging.INFO,
        "delivery tried",
        extra={
            "delivery": delivery.delivery_id,
            "job": delivery.job_id,
            "destination": delivery.destination,
            "attempt": delivery.attempt,
            "status": state.value,
        },
    )
