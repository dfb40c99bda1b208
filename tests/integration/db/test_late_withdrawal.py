"""A job that tells its messages after a later routing left its model out."""

from dataclasses import replace

from db import outbox, queries, studies, work
from db.engine import Database
from dicom_node.core.ids import StudyId
from dicom_node.core.states import ReportKind
from dicom_node.core.types import Addressee, Job, Report, Route, Setback, Settlement
from dicom_node.core.work import WITHDRAWAL
from tests.integration.db.samples import (
    CHEST,
    after,
    claim,
    enter,
    prediction,
    received,
    report,
    route_study,
)


def _told(uid: str = "m1", kind: ReportKind = ReportKind.HL7) -> Settlement:
    written: Report = replace(report(uid), kind=kind, destination="ris")
    return Settlement(
        prediction=prediction(),
        reports=(written,),
        addressees=(Addressee(destination="ris", kind=kind),),
    )


def _running(database: Database) -> tuple[StudyId, Job]:
    """Begin to infer on a study."""
    study_id = enter(database, received()).study_id
    route_study(database, study_id, CHEST)
    return study_id, claim(database, lease=1000)


def _route_again(
    database: Database, study_id: StudyId, *routes: Route, at: float = 10
) -> None:
    studies.reopen(database, study_id, now=after(at))
    route_study(database, study_id, *routes, at=at)


def _jobs(database: Database) -> list[tuple[int, str, str]]:
    (summary,) = queries.studies(database)
    return [(job["revision"], job["route"], job["state"]) for job in summary["jobs"]]


def _next(database: Database, *, at: float) -> Job | None:
    return work.claim_job(database, owner="w", now=after(at), lease_seconds=60)


def test_what_is_told_after_a_routing_left_the_model_out_is_withdrawn(
    database: Database,
) -> None:
    study_id, job = _running(database)
    _route_again(database, study_id)
    assert _jobs(database) == [(1, "chest", "RUNNING")]
    work.settle_job(database, job, _told(), now=after(20))
    withdrawal = _next(database, at=20)
    assert withdrawal is not None
    assert (withdrawal.route, withdrawal.revision) == (WITHDRAWAL, 2)


def test_a_report_that_is_told_before_its_pictures_is_withdrawn_once_they_are_there(
    database: Database,
) -> None:
    study_id, job = _running(database)
    _route_again(database, study_id)
    outbox.keep_result(database, job, _told(), now=after(20))
    assert _jobs(database)[1:] == [(2, WITHDRAWAL, "QUEUED")]
    assert _next(database, at=21) is None
    rest = Settlement(prediction=prediction(), reports=(), addressees=())
    outbox.finish_job(database, job, rest, now=after(22))
    withdrawal = _next(database, at=22)
    assert withdrawal is not None
    assert withdrawal.route == WITHDRAWAL


def test_a_withdrawal_waits_for_a_revision_between_that_is_still_at_work(
    database: Database,
) -> None:
    study_id, first = _running(database)
    work.settle_job(database, first, _told(), now=after(5))
    _route_again(database, study_id, CHEST)
    second = claim(database, at=10, lease=1000)
    _route_again(database, study_id, at=20)
    assert _jobs(database)[1:] == [(2, "chest", "RUNNING"), (3, WITHDRAWAL, "QUEUED")]
    assert _next(database, at=21) is None
    work.requeue(
        database, second, Setback(reason="busy"), not_before=after(40), now=after(25)
    )
    assert _next(database, at=30) is None
    second = claim(database, at=40)
    assert second.revision == 2
    work.settle_job(database, second, _told("m2"), now=after(41))
    withdrawal = _next(database, at=41)
    assert withdrawal is not None
    assert (withdrawal.route, withdrawal.revision) == (WITHDRAWAL, 3)
    assert len(_jobs(database)) == 3


def test_what_is_wanted_again_or_was_no_message_is_not_withdrawn(
    database: Database,
) -> None:
    study_id, job = _running(database)
    _route_again(database, study_id)
    _route_again(database, study_id, CHEST, at=15)
    work.settle_job(database, job, _told(), now=after(20))
    assert [route for _, route, _ in _jobs(database)] == ["chest", "chest"]
    work.settle_job(database, claim(database, at=21), _told("m2"), now=after(22))
    _route_again(database, study_id, at=30)
    assert _jobs(database)[2:] == [(4, WITHDRAWAL, "QUEUED")]


def test_an_object_that_is_written_late_is_not_withdrawn(database: Database) -> None:
    study_id, job = _running(database)
    _route_again(database, study_id)
    work.settle_job(database, job, _told(kind=ReportKind.SR), now=after(20))
    assert _jobs(database) == [(1, "chest", "DONE")]


def test_a_later_message_waits_for_an_earlier_job_that_is_tried_again(
    database: Database,
) -> None:
    study_id, job = _running(database)
    _route_again(database, study_id, CHEST)
    work.requeue(
        database, job, Setback(reason="busy"), not_before=after(40), now=after(11)
    )
    work.settle_job(database, claim(database, at=12), _told("m2"), now=after(13))

    def due(at: float) -> list[str]:
        found = work.claim_delivery(
            database, owner="w", now=after(at), lease_seconds=60
        )
        return [one.sop_instance_uid for one in found.reports] if found else []

    assert due(14) == []
    work.settle_job(database, claim(database, at=40), _told("m1"), now=after(41))
    assert due(41) == ["m1"]
