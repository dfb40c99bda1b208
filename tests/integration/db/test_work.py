"""Jobs and deliveries: one holder at a time, settled in one piece, put back."""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from db import queries, studies, work
from db.engine import Database
from db.tables import deliveries, jobs
from db.transitions import Kind, permitted
from dicom_node.core.errors import DatabaseError, LostRace
from dicom_node.core.ids import SOPClassUID, SOPInstanceUID
from dicom_node.core.states import WORK_MOVES, WorkState
from dicom_node.core.types import Delivery, Job, Route, Sent, Setback, Settlement
from tests.integration.db import samples
from tests.integration.db.samples import CHEST, after, claim, queue_job, settlement

SENT = Sent(status=0x0000, sop_instance_uid=SOPInstanceUID("2.25.100"))
REFUSED = Setback(reason="the PACS refused", status=0xA700)


def claim_delivery(database: Database, *, at: float = 10) -> Delivery:
    """Claim a delivery that must be there."""
    found = work.claim_delivery(
        database, owner="worker", now=after(at), lease_seconds=60
    )
    assert found is not None
    return found


def queue_delivery(database: Database) -> None:
    """Bring a study to the point where its report waits for the PACS."""
    queue_job(database)
    work.settle_job(database, claim(database), settlement(), now=after(3))


def _nothing(database: Database, *, at: float) -> bool:
    return (
        work.claim_job(database, owner="other", now=after(at), lease_seconds=60) is None
    )


def test_the_oldest_job_is_claimed_first_and_by_one_worker(database: Database) -> None:
    second = queue_job(database, "1.2", at=2)
    first = queue_job(database, "1.1", at=1)
    job = claim(database, at=5)
    assert (job.job_id, job.attempt, job.state) == (first, 1, WorkState.RUNNING)
    assert job.lease is not None
    assert job.lease.until == after(65)
    assert claim(database, at=5).job_id == second
    assert _nothing(database, at=5)


def test_work_waits_for_its_time(database: Database) -> None:
    queue_job(database)
    work.requeue(
        database,
        claim(database, at=1),
        Setback(reason="out of memory"),
        not_before=after(30),
        now=after(2),
    )
    assert _nothing(database, at=29.9)
    assert claim(database, at=30).attempt == 2


def test_a_lapsed_lease_is_claimed_again_and_its_first_holder_is_refused(
    database: Database,
) -> None:
    """I13: even a holder of the same name, as after a SIGSTOP or a restart."""
    queue_job(database)
    stale = claim(database, owner="worker", at=0, lease=60)
    assert _nothing(database, at=59.9)
    fresh = claim(database, owner="worker", at=60)
    assert (fresh.job_id, fresh.attempt) == (stale.job_id, 2)
    for late in _ways_to_write(database, stale):
        with pytest.raises(LostRace):
            late()
    work.settle_job(database, fresh, settlement(), now=after(70))
    (story,) = queries.timeline(database, "1.2.3")
    assert [move.reason for move in story.jobs[0].moves] == [
        None,
        None,
        "the lease lapsed",
        None,
        None,
    ]
    assert len(story.jobs[0].reports) == 1


def _ways_to_write(database: Database, job: Job) -> list[Callable[[], object]]:
    why = Setback(reason="late")
    return [
        lambda: work.extend(database, job, now=after(61), lease_seconds=60),
        lambda: work.requeue(database, job, why, not_before=after(61), now=after(61)),
        lambda: work.fail(database, job, why, now=after(61)),
        lambda: work.settle_job(database, job, settlement(), now=after(61)),
        lambda: work.settle_job(
            database, replace(job, lease=None), settlement(), now=after(61)
        ),
    ]


def test_an_extended_lease_keeps_others_away(database: Database) -> None:
    queue_job(database)
    job = claim(database, at=0, lease=60)
    longer = work.extend(database, job, now=after(50), lease_seconds=60)
    assert longer.lease is not None
    assert longer.lease.until == after(110)
    assert _nothing(database, at=109)
    work.settle_job(database, job, settlement(), now=after(109))


def test_a_settled_job_has_its_prediction_reports_and_deliveries(
    database: Database,
) -> None:
    queue_job(database)
    best = samples.report("2.25.100", samples.COMPREHENSIVE_3D)
    other = samples.report("2.25.101", samples.COMPREHENSIVE)
    done = settlement(best, other, destinations=("pacs", "archive", "pacs"))
    work.settle_job(database, claim(database), done, now=after(3))
    (story,) = queries.timeline(database, "1.2.3")
    (job,) = story.jobs
    assert job.summary["state"] == "DONE"
    assert job.prediction == samples.prediction()
    assert [replace(item, report_id=None) for item in job.reports] == [best, other]
    first, second = claim_delivery(database), claim_delivery(database)
    assert [first.destination, second.destination] == ["pacs", "archive"]
    assert first.reports == job.reports
    assert first.queued_at == after(3)


def test_nothing_of_a_job_is_kept_when_one_part_cannot_be(database: Database) -> None:
    queue_job(database)
    job = claim(database)
    finding = replace(samples.prediction().findings[0], probability=math.nan)
    broken = replace(samples.prediction(), findings=(finding,))
    bad = replace(settlement(), prediction=broken)
    with pytest.raises(DatabaseError):
        work.settle_job(database, job, bad, now=after(3))
    (summary,) = queries.studies(database)
    assert summary["jobs"][0]["state"] == "RUNNING"
    work.settle_job(database, job, settlement(), now=after(4))


@pytest.mark.parametrize(
    "bad",
    [
        replace(settlement(), state=WorkState.QUEUED),
        replace(settlement(), reports=()),
    ],
    ids=["not an end", "a delivery without report"],
)
def test_a_settlement_that_makes_no_sense_is_refused(
    database: Database, bad: Settlement
) -> None:
    queue_job(database)
    with pytest.raises(DatabaseError):
        work.settle_job(database, claim(database), bad, now=after(3))


def test_a_delivery_is_done_with_the_status_of_the_destination(
    database: Database,
) -> None:
    queue_delivery(database)
    delivery = claim_delivery(database)
    warned = replace(SENT, status=0xB000)
    work.settle_delivery(database, delivery, warned, now=after(11))
    (summary,) = queries.studies(database)
    assert summary["jobs"][0]["deliveries"] == [
        {
            "destination": "pacs",
            "state": "DONE",
            "attempts": 1,
            "status": "0xB000",
            "sop_instance_uid": "2.25.100",
        }
    ]


def test_a_retry_of_a_delivery_sends_the_report_that_was_chosen(
    database: Database,
) -> None:
    queue_job(database)
    both = settlement(
        samples.report("2.25.100"), samples.report("2.25.101", samples.COMPREHENSIVE)
    )
    work.settle_job(database, claim(database), both, now=after(3))
    first = claim_delivery(database)
    assert first.chosen is None
    work.choose(database, first, SOPInstanceUID("2.25.101"))
    work.choose(database, first, SOPInstanceUID("2.25.101"))
    with pytest.raises(LostRace):
        work.choose(database, first, SOPInstanceUID("2.25.100"))
    with pytest.raises(DatabaseError):
        work.choose(database, first, SOPInstanceUID("9.9"))
    work.requeue(database, first, REFUSED, not_before=after(20), now=after(11))
    second = claim_delivery(database, at=20)
    assert second.chosen == "2.25.101"
    with pytest.raises(LostRace):
        work.choose(database, first, SOPInstanceUID("2.25.101"))


def test_every_attempt_of_a_delivery_is_in_the_story(database: Database) -> None:
    queue_delivery(database)
    for second in (10, 20):
        delivery = claim_delivery(database, at=second)
        work.requeue(
            database,
            delivery,
            REFUSED,
            not_before=after(second + 5),
            now=after(second + 1),
        )
    work.settle_delivery(database, claim_delivery(database, at=30), SENT, now=after(31))
    (story,) = queries.timeline(database, "A1")
    moves = story.jobs[0].deliveries[0].moves
    assert [(item.at, item.attempt, item.target, item.status) for item in moves] == [
        (after(3), 0, "QUEUED", None),
        (after(10), 1, "RUNNING", None),
        (after(11), 1, "QUEUED", "0xA700"),
        (after(20), 2, "RUNNING", None),
        (after(21), 2, "QUEUED", "0xA700"),
        (after(30), 3, "RUNNING", None),
        (after(31), 3, "DONE", "0x0000"),
    ]


def test_retry_gives_failed_work_fresh_attempts_and_keeps_its_history(
    database: Database,
) -> None:
    queue_delivery(database)
    queue_job(database, "1.9", at=5)
    for second in (10, 20, 30):
        job = claim(database, at=second)
        work.requeue(database, job, REFUSED, not_before=after(0), now=after(second))
    work.fail(database, claim(database, at=40), REFUSED, now=after(41))
    work.fail(database, claim_delivery(database, at=40), REFUSED, now=after(41))
    assert work.retry(database, study_instance_uid="1.9", now=after(50)) == (1, 0)
    assert work.retry(database, now=after(50)) == (0, 1)
    assert work.retry(database, now=after(50)) == (0, 0)
    job, delivery = claim(database, at=50), claim_delivery(database, at=50)
    assert (job.attempt, delivery.attempt) == (1, 1)
    assert delivery.queued_at == after(50)
    (story,) = queries.timeline(database, "1.9")
    assert story.jobs[0].attempts == 5
    assert [move.target for move in story.jobs[0].moves].count(WorkState.FAILED) == 1


def test_retry_leaves_a_job_that_a_later_revision_replaced(database: Database) -> None:
    queue_job(database)
    work.fail(database, claim(database), REFUSED, now=after(1))
    (study_id,) = studies.identify(database, "1.2.3")
    studies.reopen(database, study_id, now=after(2))
    samples.route_study(database, study_id, CHEST, at=3)
    assert work.retry(database, now=after(50)) == (0, 0)


def test_a_job_that_ran_again_replaces_its_report_and_delivers_it_again(
    database: Database,
) -> None:
    queue_job(database)
    failed = replace(settlement(), state=WorkState.FAILED)
    work.settle_job(database, claim(database), failed, now=after(3))
    work.settle_delivery(database, claim_delivery(database), SENT, now=after(11))
    assert work.retry(database, now=after(20)) == (1, 0)
    again = settlement(replace(samples.report(), file_key="second.dcm"))
    work.settle_job(database, claim(database, at=21), again, now=after(22))
    delivery = claim_delivery(database, at=23)
    assert [item.file_key for item in delivery.reports] == ["second.dcm"]
    assert delivery.chosen == "2.25.100"


def test_replay_sends_the_reports_of_the_latest_revision_again(
    database: Database,
) -> None:
    queue_delivery(database)
    (study_id,) = studies.identify(database, "1.2.3")
    assert work.resend(database, study_id, now=after(5)) == 0
    work.settle_delivery(database, claim_delivery(database), SENT, now=after(11))
    assert work.resend(database, study_id, now=after(12)) == 1
    delivery = claim_delivery(database, at=13)
    assert (delivery.attempt, delivery.chosen) == (1, "2.25.100")


def _second_revision(database: Database, *, destinations: tuple[str, ...]) -> None:
    queue_job(database, route=Route(name="r", model="cxr", destinations=("pacs",)))
    done = settlement(destinations=destinations)
    work.settle_job(database, claim(database), done, now=after(3))
    (study_id,) = studies.identify(database, "1.2.3")
    studies.reopen(database, study_id, now=after(4))
    samples.route_study(database, study_id, CHEST, at=5)


def test_a_report_names_the_report_of_the_revision_before(database: Database) -> None:
    _second_revision(database, destinations=("pacs",))
    (study_id,) = studies.identify(database, "1.2.3")

    def before(revision: int, model: str, sop_class_uid: str) -> str | None:
        found = work.predecessors(
            database,
            study_id,
            revision=revision,
            model=model,
            sop_class_uid=SOPClassUID(sop_class_uid),
        )
        return None if found is None else found.sop_instance_uid

    assert before(2, "cxr", samples.COMPREHENSIVE_3D) == "2.25.100"
    assert before(1, "cxr", samples.COMPREHENSIVE_3D) is None
    assert before(2, "bone-age", samples.COMPREHENSIVE_3D) is None
    assert before(2, "cxr", samples.COMPREHENSIVE) is None


def test_a_report_that_never_left_the_node_is_no_predecessor(
    database: Database,
) -> None:
    _second_revision(database, destinations=())
    (study_id,) = studies.identify(database, "1.2.3")
    found = work.predecessors(
        database,
        study_id,
        revision=2,
        model="cxr",
        sop_class_uid=samples.COMPREHENSIVE_3D,
    )
    assert found is None


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
    for target, operate in operations:
        with database.write() as connection:
            connection.execute(update(table).values(**row))
        with suppress(LostRace):
            operate()
        with database.read() as connection:
            now_in = connection.execute(select(table.c.state)).scalar_one()
        assert now_in in (source, target)
        assert now_in == source or permitted(kind, source, target)


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
