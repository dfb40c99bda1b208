"""Every operation on work in every state, against the table of moves."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from sqlalchemy import select, update

from db import studies, work
from db.engine import Database
from db.tables import deliveries, jobs
from db.transitions import Kind, permitted
from dicom_node.core.errors import LostRace
from dicom_node.core.states import WORK_MOVES, WorkState
from dicom_node.core.types import Delivery, Job
from tests.integration.db.samples import (
    REFUSED,
    SENT,
    after,
    claim_delivery,
    queue_delivery,
    settlement,
)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("source", WorkState)
def test_work_moves_only_as_the_table_says(
    database: Database, kind: Kind, source: WorkState
) -> None:
    """Every operation on work in every state: it moves as permitted or not at all."""
    for target in WorkState:
        assert permitted(kind, source, target) == (
            (source, target) in WORK_MOVES
            and not (kind is Kind.JOB and source is WorkState.DONE)
        )
    queue_delivery(database)
    held = claim_delivery(database)
    table = deliveries if kind is Kind.DELIVERY else jobs
    (study_id,) = studies.identify(database, "1.2.3")
    job = Job(
        job_id=held.job_id,
        study_id=study_id,
        revision=1,
        model="cxr",
        route="chest",
        destinations=("pacs",),
        state=WorkState.RUNNING,
        attempt=1,
        lease=held.lease,
    )
    item = job if kind is Kind.JOB else held
    assert held.lease is not None
    row = {
        "state": source,
        "lease_owner": held.lease.owner,
        "lease_until": after(1000),
        "not_before": after(0),
        "claims": table.c.claims + 1,
    }
    operations: list[tuple[WorkState, Callable[[], object]]] = [
        (WorkState.QUEUED, lambda: _requeue(database, item)),
        (WorkState.FAILED, lambda: work.fail(database, item, REFUSED, now=after(11))),
        (WorkState.DONE, lambda: _settle(database, item)),
        (WorkState.RUNNING, lambda: _claim_any(database, kind)),
        (WorkState.QUEUED, lambda: work.retry(database, now=after(12))),
        (WorkState.QUEUED, lambda: work.resend(database, study_id, now=after(12))),
    ]
    moved: set[WorkState] = set()
    for target, operate in operations:
        with database.write() as connection:
            connection.execute(update(table).values(**row))
        with suppress(LostRace):
            operate()
        with database.read() as connection:
            now_in = connection.execute(select(table.c.state)).scalar_one()
        assert now_in in (source, target)
        if now_in != source:
            moved.add(target)
    # A new revision alone cancels; see the tests of studies.
    assert moved == {
        target
        for target in WorkState
        if permitted(kind, source, target) and target is not WorkState.CANCELLED
    }


def _requeue(database: Database, item: Job | Delivery) -> None:
    work.requeue(database, item, REFUSED, not_before=after(12), now=after(11))


def _settle(database: Database, item: Job | Delivery) -> None:
    if isinstance(item, Job):
        work.settle_job(database, item, settlement(), now=after(11))
    else:
        work.settle_delivery(database, item, SENT, now=after(11))


def _claim_any(database: Database, kind: Kind) -> None:
    call = work.claim_job if kind is Kind.JOB else work.claim_delivery
    call(database, owner="w", now=after(20), lease_seconds=60)
