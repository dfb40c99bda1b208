"""Studies become quiet, are settled once, and are opened again."""

from dataclasses import replace

import pytest

from db import queries, studies, work
from db.engine import Database
from dicom_node.core.errors import DatabaseError, LostRace
from dicom_node.core.ids import StudyId
from dicom_node.core.states import STUDY_MOVES, StudyState, WorkState
from dicom_node.core.types import Route
from tests.integration.db import samples
from tests.integration.db.samples import BONE, CHEST, after, decision, received


def _quiet(database: Database, seconds: float) -> tuple[StudyId, ...]:
    return studies.quiet(
        database, now=after(seconds), quiet_seconds=10, limit_seconds=100
    )


def test_a_study_is_complete_when_the_quiet_time_is_over(database: Database) -> None:
    entered = samples.enter(database, received(number=1))
    samples.enter(database, received(number=2, at=after(5)))
    assert _quiet(database, 14.999) == ()
    assert _quiet(database, 15) == (entered.study_id,)


def test_a_study_that_never_falls_quiet_is_complete_at_the_limit(
    database: Database,
) -> None:
    entered = samples.enter(database, received(number=1))
    for number in range(2, 12):
        samples.enter(database, received(number=number, at=after(number * 9)))
    assert _quiet(database, 99.5) == ()
    assert _quiet(database, 100) == (entered.study_id,)


@pytest.mark.parametrize(
    ("title", "quiet_at"), [("AINODE", 10), ("AICHEST", 3), (" AISLOW ", 60)]
)
def test_a_called_ae_title_has_its_own_quiet_time(
    database: Database, title: str, quiet_at: float
) -> None:
    entered = samples.enter(database, replace(received(), called_ae_title=title))

    def quiet(seconds: float) -> tuple[StudyId, ...]:
        return studies.quiet(
            database,
            now=after(seconds),
            quiet_seconds=10,
            limit_seconds=100,
            called={"AICHEST": 3, "AISLOW": 60},
        )

    assert quiet(quiet_at - 0.001) == ()
    assert quiet(quiet_at) == (entered.study_id,)


def test_a_study_follows_the_ae_title_that_its_last_instance_was_sent_to(
    database: Database,
) -> None:
    for number, title in enumerate(("AINODE", "AICHEST", "AINODE", "AICHEST"), 1):
        item = replace(received(number=number), called_ae_title=title)
        entered = samples.enter(database, item)
    again = replace(received(number=1), called_ae_title="AINODE")
    samples.enter(database, again)  # a repeat touches nothing
    study = studies.load(database, entered.study_id)
    assert study.called_ae_title == "AICHEST"
    assert [item.called_ae_title for item in study.instances] == [
        "AINODE",
        "AICHEST",
        "AINODE",
        "AICHEST",
    ]
    samples.route_study(database, entered.study_id)
    late = replace(received(number=9), called_ae_title="AINODE")
    samples.enter(database, late)
    assert studies.load(database, entered.study_id).called_ae_title == "AINODE"


def test_the_study_that_waits_longest_comes_first_and_settled_ones_do_not(
    database: Database,
) -> None:
    late = samples.enter(database, received("1.1", at=after(3)))
    early = samples.enter(database, received("1.2", at=after(1)))
    done = samples.enter(database, received("1.3"))
    samples.route_study(database, done.study_id)
    assert _quiet(database, 60) == (early.study_id, late.study_id)


def test_instances_are_in_the_order_of_their_numbers(database: Database) -> None:
    for number in (3, 1, 2):
        entered = samples.enter(database, received(number=number))
    found = studies.load(database, entered.study_id).instances
    assert [item.header.instance_number for item in found] == [1, 2, 3]


def test_settling_keeps_the_verdicts_and_queues_a_job_per_model(
    database: Database,
) -> None:
    entered = samples.enter(database, received())
    made = samples.route_study(database, entered.study_id, CHEST, BONE, at=20)
    study = studies.load(database, entered.study_id)
    assert study.state is StudyState.ROUTED
    assert len(made) == 2
    (story,) = queries.timeline(database, "1.2.3")
    (decided,) = story.decisions
    assert decided.verdicts == decision().verdicts
    assert decided.decided_at == after(20)
    first = samples.claim(database, at=20)
    assert (first.model, first.route, first.destinations) == ("cxr", "chest", ("pacs",))


def test_a_study_that_no_route_takes_is_ignored_with_the_reason(
    database: Database,
) -> None:
    entered = samples.enter(database, received())
    study = studies.load(database, entered.study_id)
    verdict = decision(ignored_because="no route matches")
    assert studies.settle(database, study, verdict, now=after(20)) == ()
    study = studies.load(database, entered.study_id)
    assert study.state is StudyState.IGNORED
    assert study.ignored_because == "no route matches"


def test_two_routes_with_one_model_are_one_job_for_both_destinations(
    database: Database,
) -> None:
    entered = samples.enter(database, received())
    other = Route(name="all", model="cxr", destinations=("archive", "pacs"))
    assert len(samples.route_study(database, entered.study_id, CHEST, other)) == 1
    job = samples.claim(database)
    assert job.destinations == ("pacs", "archive")
    assert job.route == "chest, all"


@pytest.mark.parametrize("seconds", [0, 7])
def test_an_instance_that_slips_in_while_routing_makes_a_lost_race(
    database: Database, seconds: float
) -> None:
    """Even one that was received at the same microsecond as the last one."""
    entered = samples.enter(database, received(number=1))
    study = studies.load(database, entered.study_id)
    samples.enter(database, received(number=2, at=after(seconds)))
    with pytest.raises(LostRace):
        studies.settle(database, study, decision(CHEST), now=after(20))
    assert studies.load(database, entered.study_id).state is StudyState.RECEIVING
    assert queries.counts(database).jobs[WorkState.QUEUED] == 0


def test_a_study_is_settled_once(database: Database) -> None:
    entered = samples.enter(database, received())
    study = studies.load(database, entered.study_id)
    studies.settle(database, study, decision(CHEST), now=after(20))
    with pytest.raises(LostRace):
        studies.settle(database, study, decision(CHEST), now=after(20))
    assert queries.counts(database).jobs[WorkState.QUEUED] == 1


def test_a_new_revision_cancels_the_jobs_that_have_not_begun(
    database: Database,
) -> None:
    entered = samples.enter(database, received(number=1))
    samples.route_study(database, entered.study_id, CHEST, BONE)
    begun = samples.claim(database)
    samples.enter(database, received(number=2, at=after(30)))
    samples.route_study(database, entered.study_id, CHEST, BONE, at=40)
    (summary,) = queries.studies(database)
    assert [
        (job["revision"], job["model"], job["state"]) for job in summary["jobs"]
    ] == [
        (1, begun.model, "RUNNING"),
        (1, "bone-age", "CANCELLED"),
        (2, "cxr", "QUEUED"),
        (2, "bone-age", "QUEUED"),
    ]
    work.settle_job(database, begun, samples.settlement(), now=after(50))


def test_replay_opens_a_settled_study_at_its_next_revision(
    database: Database,
) -> None:
    entered = samples.enter(database, received())
    samples.route_study(database, entered.study_id, CHEST)
    assert studies.reopen(database, entered.study_id, now=after(500)) == 2
    assert _quiet(database, 500) == (entered.study_id,)
    with pytest.raises(LostRace):
        studies.reopen(database, entered.study_id, now=after(501))
    assert len(samples.route_study(database, entered.study_id, CHEST, at=502)) == 1


def _in_state(database: Database, state: StudyState) -> StudyId:
    entered = samples.enter(database, received())
    if state is not StudyState.RECEIVING:
        routes = (CHEST,) if state is StudyState.ROUTED else ()
        samples.route_study(database, entered.study_id, *routes)
    return entered.study_id


@pytest.mark.parametrize("source", StudyState)
@pytest.mark.parametrize("target", StudyState)
def test_a_study_moves_as_the_table_says(
    database: Database, source: StudyState, target: StudyState
) -> None:
    """Each way into the target state is tried from the source state."""
    study_id = _in_state(database, source)
    study = studies.load(database, study_id)
    moved = True
    try:
        if target is StudyState.RECEIVING:
            studies.reopen(database, study_id, now=after(9))
        else:
            routes = (CHEST,) if target is StudyState.ROUTED else ()
            study = replace(study, state=StudyState.RECEIVING)
            studies.settle(database, study, decision(*routes), now=after(9))
    except LostRace:
        moved = False
    assert moved == ((source, target) in STUDY_MOVES)
    assert studies.load(database, study_id).state is (target if moved else source)


def test_a_study_is_found_by_its_uid_and_by_its_accession_number(
    database: Database,
) -> None:
    first = samples.enter(database, received("1.1"))
    second = samples.enter(database, received("1.2"))
    unnamed = samples.with_header(received("1.3"), accession_number="")
    samples.enter(database, unnamed)
    assert studies.identify(database, "1.2") == (second.study_id,)
    assert studies.identify(database, "A1") == (first.study_id, second.study_id)
    assert studies.identify(database, "") == ()


def test_an_unknown_study_is_an_error(database: Database) -> None:
    with pytest.raises(DatabaseError, match="no study"):
        studies.load(database, StudyId(999))
