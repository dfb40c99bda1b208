"""What is suggested at present: the latest of each model, the most urgent of all."""

from dataclasses import replace
from datetime import datetime

from db import outbox, studies, suggestions, work
from db.desk import StudyQuery, list_studies
from db.engine import Database
from dicom_node.core.ids import StudyId
from dicom_node.core.states import Urgency
from dicom_node.core.types import Route, Suggestion
from tests.integration.db import samples

CHEST = Route(name="chest", model="cxr", destinations=())
BONE = Route(name="bone", model="bone-age", destinations=())


def _settle(
    database: Database,
    urgency: Urgency | None,
    *,
    expires_at: datetime | None = None,
    goes_on: bool = False,
) -> StudyId:
    """Settle the next job with this suggestion; return its study.

    Args:
        goes_on: keep the result, while the job has pictures to write.
    """
    job = samples.claim(database)
    suggestion = None
    if urgency is not None:
        suggestion = Suggestion(
            urgency=urgency, reason="Pneumonia 0.93", expires_at=expires_at
        )
    done = samples.settlement()
    settled = replace(
        done,
        prediction=replace(done.prediction, model=job.model),
        reports=(),
        addressees=(),
        suggestion=suggestion,
    )
    keep = outbox.keep_result if goes_on else work.settle_job
    keep(database, job, settled, now=samples.after(1))
    return job.study_id


def _listed(database: Database) -> list[Urgency]:
    (line,), _ = list_studies(database, StudyQuery(), now=samples.after(2))
    return [item.urgency for item in line.suggestions]


def _now(database: Database, study_id: StudyId) -> Urgency | None:
    found = suggestions.current(database, [study_id], now=samples.after(2))
    return found[study_id].suggestion.urgency if study_id in found else None


def test_the_most_urgent_of_several_models_is_current(database: Database) -> None:
    entered = samples.enter(database, samples.received())
    samples.route_study(database, entered.study_id, CHEST, BONE)
    _settle(database, Urgency.ROUTINE)
    _settle(database, Urgency.STAT)
    assert _now(database, entered.study_id) is Urgency.STAT


def test_a_later_result_replaces_what_a_model_suggested(database: Database) -> None:
    samples.queue_job(database, route=CHEST)
    study_id = _settle(database, Urgency.STAT)
    studies.reopen(database, study_id, now=samples.after(1))
    assert _now(database, study_id) is Urgency.STAT  # until there is another result
    samples.route_study(database, study_id, CHEST)
    assert _now(database, study_id) is Urgency.STAT
    _settle(database, Urgency.ROUTINE)
    assert _now(database, study_id) is Urgency.ROUTINE


def test_a_later_result_without_a_suggestion_withdraws_it(database: Database) -> None:
    samples.queue_job(database, route=CHEST)
    study_id = _settle(database, Urgency.STAT)
    studies.reopen(database, study_id, now=samples.after(1))
    samples.route_study(database, study_id, CHEST)
    _settle(database, None)
    assert _now(database, study_id) is None


def test_a_result_counts_as_soon_as_it_is_kept_before_its_pictures_are_written(
    database: Database,
) -> None:
    samples.queue_job(database, route=CHEST)
    study_id = _settle(database, Urgency.STAT, goes_on=True)
    assert (_now(database, study_id), _listed(database)) == (
        Urgency.STAT,
        [Urgency.STAT],
    )
    studies.reopen(database, study_id, now=samples.after(1))
    samples.route_study(database, study_id, CHEST)
    _settle(database, Urgency.ROUTINE, goes_on=True)
    assert (_now(database, study_id), _listed(database)) == (
        Urgency.ROUTINE,
        [Urgency.ROUTINE],
    )


def test_a_suggestion_expires(database: Database) -> None:
    samples.queue_job(database, route=CHEST)
    study_id = _settle(database, Urgency.STAT, expires_at=samples.after(2))
    assert _now(database, study_id) is None
    at = samples.after(1.9)
    assert suggestions.current(database, [study_id], now=at)


def test_nothing_is_suggested_for_a_study_without_a_result(database: Database) -> None:
    entered = samples.enter(database, samples.received())
    assert _now(database, entered.study_id) is None
    assert suggestions.by_model(database, [], now=samples.after(2)) == ()


def test_a_routing_that_leaves_the_model_out_ends_its_suggestion(
    database: Database,
) -> None:
    samples.queue_job(database, route=CHEST)
    study_id = _settle(database, Urgency.STAT)
    studies.reopen(database, study_id, now=samples.after(1))
    samples.route_study(database, study_id)  # IGNORED
    assert _now(database, study_id) is None
    studies.reopen(database, study_id, now=samples.after(1))
    samples.route_study(database, study_id, CHEST)
    assert _now(database, study_id) is None  # what was dropped does not come back
    _settle(database, Urgency.URGENT)
    assert _now(database, study_id) is Urgency.URGENT


def test_a_routing_to_another_model_alone_ends_the_suggestion(
    database: Database,
) -> None:
    samples.queue_job(database, route=CHEST)
    study_id = _settle(database, Urgency.STAT)
    studies.reopen(database, study_id, now=samples.after(1))
    samples.route_study(database, study_id, BONE)
    assert _now(database, study_id) is None
