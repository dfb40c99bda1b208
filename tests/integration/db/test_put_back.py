"""Work that people put back, and the reports it replaces or follows."""

from dataclasses import replace
from datetime import timedelta

import pytest

from db import breaker, queries, retention, sending, studies, work
from db.engine import Database
from db.prunable import Prunable, Scope
from db.revive import Choice, put_back, retry_delivery
from dicom_node.core.errors import LostRace
from dicom_node.core.ids import SOPClassUID, SOPInstanceUID
from dicom_node.core.states import ReportKind, WorkState
from dicom_node.core.types import Addressee, Route, Setback
from tests.integration.db import samples
from tests.integration.db.samples import (
    CHEST,
    REFUSED,
    SENT,
    after,
    claim,
    claim_delivery,
    queue_delivery,
    queue_job,
    settlement,
)


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


def test_an_attempt_that_ended_with_its_process_is_no_setback(
    database: Database,
) -> None:
    queue_delivery(database)
    for second in (100, 200, 300):  # its holders let the lease lapse
        delivery = claim_delivery(database, at=second)
        assert sending.setbacks(database, delivery) == 0
    work.requeue(database, delivery, REFUSED, not_before=after(0), now=after(301))
    delivery = claim_delivery(database, at=310)
    assert (delivery.attempt, sending.setbacks(database, delivery)) == (4, 1)
    work.fail(database, delivery, REFUSED, now=after(311))
    assert work.retry(database, now=after(320)) == (0, 1)
    assert sending.setbacks(database, claim_delivery(database, at=320)) == 0


def test_retry_leaves_a_delivery_whose_files_retention_removed(
    database: Database,
) -> None:
    queue_delivery(database)
    delivery = claim_delivery(database)
    work.fail(database, delivery, REFUSED, now=after(20))
    scope = Scope(states=frozenset({Prunable.FAILED}), before=after(1000))
    (study_id,) = studies.identify(database, "1.2.3")
    assert retention.mark(database, study_id, scope, reason="old", now=after(2000))
    done = put_back(database, Choice(), now=after(3000))
    assert (done.deliveries, done.gone) == (0, 1)
    assert not retry_delivery(database, delivery.delivery_id, now=after(3000))


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


@pytest.mark.parametrize("stand", ["settled", "waits", "is under way"])
def test_a_report_that_was_replaced_is_sent_no_more(
    database: Database, stand: str
) -> None:
    queue_job(database)
    failed = replace(settlement(), state=WorkState.FAILED)
    work.settle_job(database, claim(database), failed, now=after(3))
    first = claim_delivery(database)
    work.choose(database, first, SOPInstanceUID("2.25.100"))
    if stand == "settled":
        work.settle_delivery(database, first, SENT, now=after(11))
    elif stand == "waits":
        work.requeue(database, first, REFUSED, not_before=after(20), now=after(11))
    assert work.retry(database, now=after(20)) == (1, 0)
    again = settlement(samples.report("2.25.200"))
    work.settle_job(database, claim(database, at=21), again, now=after(22))
    if stand == "is under way":
        with pytest.raises(LostRace):
            work.settle_delivery(database, first, SENT, now=after(23))
    delivery = claim_delivery(database, at=23)
    assert [item.sop_instance_uid for item in delivery.reports] == ["2.25.200"]
    assert delivery.chosen is None


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
    work.fail(database, delivery, REFUSED, now=after(14))
    assert work.resend(database, study_id, now=after(15)) == 1


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


def test_deliveries_are_put_back_by_destination_and_kind(database: Database) -> None:
    route = Route(name="chest", model="cxr", destinations=("pacs", "archive"))
    queue_job(database, route=route)
    kinds = (ReportKind.SR, ReportKind.SC)
    both = replace(
        settlement(),
        addressees=tuple(
            Addressee(destination=name, kind=kind)
            for name in route.destinations
            for kind in kinds
        ),
    )
    work.settle_job(database, claim(database), both, now=after(3))
    for _ in both.addressees:
        work.fail(database, claim_delivery(database), REFUSED, now=after(11))
    queue_job(database, "1.9")
    work.fail(database, claim(database, at=12), REFUSED, now=after(13))

    def again(**choice: object) -> tuple[int, int, int]:
        done = put_back(database, Choice(**choice), now=after(50))  # type: ignore[arg-type]  # any option, by its name
        return done.jobs, done.deliveries, done.quarantined

    assert again(destination="pacs", kind=ReportKind.SC) == (0, 1, 0)
    assert again(destination="archive") == (0, 2, 0)
    assert again(kind=ReportKind.HL7) == (0, 0, 0)
    assert again(study_instance_uid="1.9") == (1, 0, 0)
    assert again() == (0, 1, 0)


def test_retry_leaves_quarantined_objects_alone_and_tries_destinations_at_once(
    database: Database,
) -> None:
    queue_delivery(database)
    bad = claim_delivery(database)
    sending.quarantine(database, bad, Setback(reason="quarantined"), now=after(11))
    assert put_back(database, Choice(), now=after(12)).quarantined == 1
    assert not retry_delivery(database, bad.delivery_id, now=after(12))
    assert work.claim_delivery(database, owner="w", now=after(13), lease_seconds=9) is (
        None
    )


def test_one_delivery_is_put_back_and_its_destination_tried_at_once(
    database: Database,
) -> None:
    queue_delivery(database)
    failed = claim_delivery(database)
    work.fail(database, failed, REFUSED, now=after(11))
    once = breaker.BreakerPolicy(
        failures=1, first=timedelta(hours=1), longest=timedelta(hours=1)
    )
    failure = breaker.Failure(
        destination="pacs", reason="down", begun=after(10), at=after(11)
    )
    breaker.failed(database, failure, once, chance=0.0)
    assert retry_delivery(database, failed.delivery_id, now=after(12))
    assert not retry_delivery(database, failed.delivery_id, now=after(12))
    assert claim_delivery(database, at=12).attempt == 1
