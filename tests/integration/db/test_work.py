"""Jobs and deliveries: one holder at a time, settled in one piece, put back."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from db import queries, work
from db.engine import Database
from dicom_node.core.errors import DatabaseError, LostRace
from dicom_node.core.ids import JobId, SOPInstanceUID
from dicom_node.core.states import Priority, WorkState
from dicom_node.core.types import Job, Setback, Settlement
from tests.integration.db import samples
from tests.integration.db.samples import (
    REFUSED,
    SENT,
    after,
    claim,
    claim_delivery,
    queue_delivery,
    queue_job,
    settlement,
)


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
            "kind": "sr",
            "state": "DONE",
            "stage": "",
            "proof": "sent",
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


def _queue(database: Database, number: int, priority: Priority, *, at: float) -> JobId:
    route = replace(samples.CHEST, priority=priority)
    return queue_job(database, f"1.2.{number}", route=route, at=at)


def _claim_again(database: Database, *, at: float, starved: float) -> Job:
    job = work.claim_job(
        database,
        owner="worker",
        now=after(at),
        lease_seconds=60,
        starved_before=after(at - starved),
    )
    assert job is not None
    return job


def test_urgent_jobs_go_before_older_ones_and_equals_by_age(
    database: Database,
) -> None:
    low = _queue(database, 1, Priority.LOW, at=0)
    later = _queue(database, 2, Priority.NORMAL, at=2)
    normal = _queue(database, 3, Priority.NORMAL, at=1)
    urgent = _queue(database, 4, Priority.URGENT, at=3)
    claimed = [claim(database, at=5) for _ in range(4)]
    assert [job.job_id for job in claimed] == [urgent, normal, later, low]
    assert [job.priority.name for job in claimed[::3]] == ["URGENT", "LOW"]


def test_a_job_that_waited_for_long_gets_its_turn_among_urgent_ones(
    database: Database,
) -> None:
    low = _queue(database, 1, Priority.LOW, at=0)
    urgent = [_queue(database, n, Priority.URGENT, at=10) for n in range(2, 40)]
    assert claim(database, at=11).job_id == urgent[0]
    assert _claim_again(database, at=11, starved=20).job_id == urgent[1]
    assert _claim_again(database, at=20, starved=20).job_id == low
    # Nothing else has waited for so long: the turn goes to the most urgent.
    assert _claim_again(database, at=20, starved=20).job_id == urgent[2]


def test_two_routes_to_one_model_are_as_urgent_as_the_more_urgent(
    database: Database,
) -> None:
    entered = samples.enter(database, samples.received("1.9"))
    low = replace(samples.CHEST, priority=Priority.LOW)
    urgent = replace(samples.CHEST, name="stroke", priority=Priority.URGENT)
    samples.route_study(database, entered.study_id, low, urgent)
    assert claim(database).priority is Priority.URGENT
    (summary,) = queries.studies(database)
    assert summary["jobs"][0]["priority"] == "urgent"
