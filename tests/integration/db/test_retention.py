"""Which studies' files may go, on both databases."""

from dataclasses import replace

import pytest

import db.retention
from db import old_records, queries, work
from db.associations import record as record_association
from db.desk import study_page
from db.engine import Database
from db.patients import find_by_patient, remember
from db.retention import Prunable, Scope
from db.sending import settle_delivery
from dicom_node.core.ids import StudyId
from dicom_node.core.patient import PatientDigest
from dicom_node.core.states import WorkState
from tests.integration.db.samples import (
    CHEST,
    REFUSED,
    SENT,
    after,
    association,
    claim,
    claim_delivery,
    enter,
    queue_delivery,
    queue_job,
    received,
    route_study,
    settlement,
)

ALL = frozenset(Prunable)
NOW = after(5000)


def _scope(at: float = 1000, states: frozenset[Prunable] = ALL) -> Scope:
    return Scope(states=states, before=after(at))


def _states(database: Database, scope: Scope | None = None) -> list[Prunable]:
    found = db.retention.candidates(database, scope or _scope(), limit=10)
    return [one.state for one in found]


def _deliver(database: Database) -> StudyId:
    queue_delivery(database)
    settle_delivery(database, claim_delivery(database), SENT, now=after(20))
    (one,) = db.retention.candidates(database, _scope(), limit=10)
    return one.study_id


def test_a_study_goes_once_all_that_it_came_to_is_delivered(database: Database) -> None:
    queue_job(database)
    assert _states(database) == []  # queued
    job = claim(database)
    assert _states(database) == []  # running
    work.settle_job(database, job, settlement(), now=after(3))
    assert _states(database) == []  # to be delivered
    delivery = claim_delivery(database)
    assert _states(database) == []  # on its way
    settle_delivery(database, delivery, SENT, now=after(20))
    assert _states(database) == [Prunable.DONE]


def test_files_are_gone_until_all_of_them_have_come_again(database: Database) -> None:
    study_id = enter(database, received()).study_id
    enter(database, received(number=2))
    route_study(database, study_id)
    assert db.retention.mark(database, study_id, _scope(), reason="", now=NOW)
    seen = []
    for number in (1, 2):
        page = study_page(database, "1.2.3", now=after(7000))
        seen.append(page is not None and page.line.files_gone)
        enter(database, received(number=number, at=after(6000)))
    page = study_page(database, "1.2.3", now=after(7000))
    assert page is not None
    assert (*seen, page.line.files_gone) == (True, True, False)
    assert page.line.pruned_at == NOW  # the timeline tells it still


def test_a_study_that_is_still_received_stays(database: Database) -> None:
    enter(database, received())
    assert _states(database) == []


def test_what_was_given_up_goes_only_when_that_is_wanted(database: Database) -> None:
    queue_delivery(database)
    work.fail(database, claim_delivery(database), REFUSED, now=after(20))
    assert _states(database) == [Prunable.FAILED]
    assert _states(database, _scope(states=frozenset({Prunable.DONE}))) == []


@pytest.mark.parametrize("written", [True, False])
def test_a_result_that_is_here_alone_is_not_called_delivered(
    database: Database, written: bool
) -> None:
    queue_job(database)
    kept = settlement(destinations=())
    if not written:  # as for a route without destinations
        kept = replace(kept, reports=())
    work.settle_job(database, claim(database), kept, now=after(3))
    assert _states(database) == [Prunable.KEPT]


def test_a_study_that_no_route_took_may_go(database: Database) -> None:
    entered = enter(database, received())
    route_study(database, entered.study_id)
    assert _states(database) == [Prunable.IGNORED]


@pytest.mark.parametrize(("before", "goes"), [(19, False), (20, True)])
def test_the_age_counts_from_the_last_event(
    database: Database, before: float, goes: bool
) -> None:
    _deliver(database)
    assert bool(_states(database, _scope(before))) is goes


def test_bytes_that_came_again_make_a_study_young(database: Database) -> None:
    _deliver(database)
    enter(database, received(at=after(2000)))
    assert _states(database) == []
    assert _states(database, _scope(2000)) == [Prunable.DONE]


def test_a_study_is_marked_once_and_its_rows_stay(database: Database) -> None:
    study_id = _deliver(database)
    removal = db.retention.mark(database, study_id, _scope(), reason="old", now=NOW)
    assert removal is not None
    assert len(removal.instance_keys) == 1
    assert removal.report_keys == ("2.25.100.dcm",)
    again = db.retention.mark(database, study_id, _scope(), reason="old", now=NOW)
    assert again is None
    assert set(db.retention.pruned_keys(database)) == set(removal.instance_keys)
    assert len(queries.studies(database)) == 1


def test_what_a_crash_left_is_found_until_it_is_finished(database: Database) -> None:
    study_id = _deliver(database)
    removal = db.retention.mark(database, study_id, _scope(), reason="old", now=NOW)
    assert removal is not None
    assert db.retention.unfinished(database) == (removal,)
    (story,) = queries.timeline(database, "1.2.3")
    assert story.events[-1].what == "being pruned"
    db.retention.finish(database, removal, what="1 file", now=after(5001))
    assert db.retention.unfinished(database) == ()
    (story,) = queries.timeline(database, "1.2.3")
    assert (story.events[-1].what, story.events[-1].detail) == (
        "pruned",
        {"because": "old: 1 file"},
    )


def test_an_instance_that_comes_between_look_and_mark_saves_the_study(
    database: Database,
) -> None:
    study_id = _deliver(database)
    enter(database, received(number=2, at=after(900)))
    assert (
        db.retention.mark(database, study_id, _scope(), reason="old", now=NOW) is None
    )


def test_what_is_sent_again_after_pruning_is_missed_when_it_is_lost_and_goes_again(
    database: Database,
) -> None:
    study_id = _deliver(database)
    db.retention.mark(database, study_id, _scope(), reason="old", now=NOW)
    enter(database, received(at=after(6000)))
    assert list(db.retention.pruned_keys(database)) == []
    assert _states(database, _scope(7000)) == [Prunable.DONE]


def test_pages_follow_one_another_without_gap(database: Database) -> None:
    for number in range(5):
        entered = enter(database, received(f"1.2.{number}", at=after(number % 2)))
        route_study(database, entered.study_id, at=2)
    seen: list[StudyId] = []
    last = None
    while page := db.retention.candidates(database, _scope(), after=last, limit=2):
        seen += [one.study_id for one in page]
        last = page[-1]
    assert len(seen) == len(set(seen)) == 5


def test_old_records_go_and_those_of_open_work_and_of_pruning_stay(
    database: Database,
) -> None:
    record_association(database, association())
    study_id = _deliver(database)
    db.retention.mark(database, study_id, _scope(), reason="old", now=after(1000))
    entered = enter(database, received("1.2.9", at=after(30)))
    route_study(database, entered.study_id, CHEST, at=31)
    before = after(9000)
    expected = old_records.count_records(database, before=before)
    assert old_records.remove_records(database, before=before) == expected > 1
    assert old_records.remove_records(database, before=before) == 0
    assert db.retention.unfinished(database)
    (story,) = queries.timeline(database, "1.2.9")
    assert [move.target for move in story.jobs[0].moves] == [WorkState.QUEUED]


def test_a_study_is_found_by_its_latest_digests_alone(database: Database) -> None:
    study_id = enter(database, received()).study_id
    first, second = PatientDigest("id", "a" * 64), PatientDigest("name", "b" * 64)
    remember(database, study_id, [first, second])
    assert find_by_patient(database, [second.digest]) == (study_id,)
    remember(database, study_id, [first])
    assert find_by_patient(database, [second.digest]) == ()
    assert find_by_patient(database, []) == ()
