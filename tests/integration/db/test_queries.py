"""What `studies`, `show`, health and metrics are told."""

import json
from dataclasses import replace

from sqlalchemy import event

from db import associations, instances, queries, work
from db.engine import Database
from db.story import as_document
from dicom_node.core.states import Receipt, StudyState, WorkState
from dicom_node.core.types import AssociationRecord, RefusedContext
from tests.integration.db import samples
from tests.integration.db.samples import CHEST, after, received


def test_a_study_is_listed_as_the_contract_says(database: Database) -> None:
    """The keys of `dicom-node studies --json`, for a study with a finding."""
    samples.queue_job(database)
    work.settle_job(
        database, samples.claim(database), samples.settlement(), now=after(3)
    )
    (summary,) = queries.studies(database)
    assert json.loads(json.dumps(summary)) == {
        "study_instance_uid": "1.2.3",
        "accession_number": "A1",
        "state": "ROUTED",
        "revision": 1,
        "instances": 1,
        "ignored_because": None,
        "jobs": [
            {
                "revision": 1,
                "model": "cxr",
                "route": "chest",
                "model_version": "1.0.0",
                "priority": "normal",
                "state": "DONE",
                "outcome": "present",
                "reason": None,
                "findings": [
                    {
                        "code": "233604007",
                        "scheme": "SCT",
                        "meaning": "Pneumonia",
                        "present": True,
                        "probability": 0.875,
                        "value": None,
                        "unit": None,
                    }
                ],
                "deliveries": [
                    {
                        "destination": "pacs",
                        "kind": "sr",
                        "state": "QUEUED",
                        "stage": "",
                        "proof": None,
                        "attempts": 0,
                        "status": None,
                        "sop_instance_uid": None,
                    }
                ],
            }
        ],
    }


def test_a_job_without_prediction_has_no_outcome(database: Database) -> None:
    samples.queue_job(database)
    (summary,) = queries.studies(database)
    (job,) = summary["jobs"]
    assert (job["state"], job["outcome"], job["model_version"]) == (
        "QUEUED",
        None,
        None,
    )
    assert (job["findings"], job["deliveries"]) == ([], [])


def test_jobs_of_every_revision_are_listed_oldest_first(database: Database) -> None:
    entered = samples.enter(database, received(number=1))
    samples.route_study(database, entered.study_id, CHEST)
    samples.enter(database, received(number=2, at=after(60)))
    samples.route_study(database, entered.study_id, CHEST, at=70)
    (summary,) = queries.studies(database)
    assert [job["revision"] for job in summary["jobs"]] == [1, 2]
    assert (summary["revision"], summary["instances"]) == (2, 2)


def test_the_latest_studies_are_listed_in_the_order_of_arrival(
    database: Database,
) -> None:
    for number in range(5):
        samples.enter(database, received(f"1.{number}"))
    listed = queries.studies(database, limit=2)
    assert [item["study_instance_uid"] for item in listed] == ["1.3", "1.4"]
    assert len(queries.studies(database)) == 5


def test_the_story_tells_receipts_decisions_and_work_in_the_order_of_time(
    database: Database,
) -> None:
    samples.enter(database, received(number=1))
    samples.enter(database, received(number=1, at=after(1)))
    samples.enter(database, received(number=1, pixels="other", at=after(2)))
    entered = samples.enter(database, received(number=2, at=after(3)))
    samples.route_study(database, entered.study_id, CHEST, at=20)
    work.settle_job(
        database, samples.claim(database, at=21), samples.settlement(), now=after(25)
    )
    (story,) = queries.timeline(database, "A1")
    assert [(event.what, event.at) for event in story.events] == [
        ("received", after(0)),
        ("received again", after(1)),
        ("received", after(2)),
        ("received", after(3)),
        ("routed", after(20)),
        ("job", after(20)),
        ("job", after(21)),
        ("job", after(25)),
        ("delivery", after(25)),
    ]
    assert [item.receipt for item in story.receipts] == [
        Receipt.NEW,
        Receipt.CONFLICT,
        Receipt.NEW,
    ]
    (series,) = story.series
    assert (series.modality, series.instances) == ("CR", 2)
    prediction = story.jobs[0].prediction
    assert prediction is not None
    assert prediction.images[1].error == "the pixel data cannot be decoded"
    document = json.loads(json.dumps(as_document(story)))
    assert document["decisions"][0]["verdicts"][1]["attribute"] == "ViewPosition"
    assert document["events"][0]["at"] == "2026-03-01T12:00:00+00:00"


def test_a_study_that_nobody_knows_has_no_story(database: Database) -> None:
    assert queries.timeline(database, "9.9.9") == ()
    assert queries.studies(database) == []


def test_the_counts_have_every_state(database: Database) -> None:
    samples.queue_job(database, "1.1", at=5)
    samples.queue_job(database, "1.2", at=2)
    samples.enter(database, received("1.3"))
    samples.enter(database, received("1.3"))
    counted = queries.counts(database)
    assert set(counted.jobs) == set(counted.deliveries) == set(WorkState)
    assert (counted.instances, counted.repeats) == (3, 1)
    assert counted.receipts[Receipt.NEW] == 3
    assert counted.studies == {
        StudyState.RECEIVING: 1,
        StudyState.ROUTED: 2,
        StudyState.IGNORED: 0,
    }
    assert counted.jobs[WorkState.QUEUED] == 2
    assert counted.oldest_job_at == after(2)
    assert counted.oldest_delivery_at is None


def test_the_files_of_instances_and_reports_are_known(database: Database) -> None:
    samples.queue_job(database)
    work.settle_job(
        database, samples.claim(database), samples.settlement(), now=after(3)
    )
    (kept,) = instances.find(database, received().sop_instance_uid)
    assert list(instances.known_keys(database)) == [kept.file_key]
    assert instances.recorded_keys(database, [kept.file_key, "gone"]) == {kept.file_key}
    assert list(instances.known_report_keys(database)) == ["2.25.100.dcm"]


def _association(number: int, calling: str = "MODALITY") -> AssociationRecord:
    return AssociationRecord(
        at=after(number),
        calling_ae_title=calling,
        called_ae_title="AINODE",
        peer_address="10.0.0.1",
        accepted=number % 2 == 0,
        reason="calling AE title not recognised",
        refused_contexts=(
            RefusedContext(
                sop_class_uid="1.2.3\x00",
                transfer_syntax_uids=("1.2.840.10008.1.2",),
                reason="abstract syntax not supported",
            ),
        ),
        instances=number,
        size_bytes=2**40,
        seconds=0.5,
    )


def test_associations_are_listed_newest_first_and_by_caller(
    database: Database,
) -> None:
    for number in range(4):
        associations.record(
            database, _association(number, "OTHER" if number == 2 else "MODALITY")
        )
    listed = associations.recent(database, limit=2)
    assert [item.at for item in listed] == [after(3), after(2)]
    (other,) = associations.recent(database, calling_ae_title="OTHER")
    assert other.accepted
    assert other.size_bytes == 2**40
    assert other.refused_contexts[0].sop_class_uid == "1.2.3"
    assert other.refused_contexts[0].transfer_syntax_uids == ("1.2.840.10008.1.2",)


def test_associations_are_summed_for_metrics(database: Database) -> None:
    nothing = associations.totals(database)
    for number in range(3):
        associations.record(
            database, replace(_association(number), refused_instances=5), durable=False
        )
    found = associations.totals(database)
    assert (nothing.accepted, nothing.rejected, nothing.size_bytes) == (0, 0, 0)
    assert (found.accepted, found.rejected) == (2, 1)
    assert (found.instances, found.refused_instances) == (3, 15)
    assert found.size_bytes == 3 * 2**40


def test_an_association_over_tls_keeps_its_version_and_certificate(
    database: Database,
) -> None:
    over_tls = replace(
        _association(1), tls_version="TLSv1.3", certificate_subject="CN=ct1,O=Hospital"
    )
    associations.record(database, over_tls)
    associations.record(database, _association(2))
    plain, secure = associations.recent(database)
    assert (secure.tls_version, secure.certificate_subject) == (
        "TLSv1.3",
        "CN=ct1,O=Hospital",
    )
    assert (plain.tls_version, plain.certificate_subject) == ("", "")


def test_associations_with_a_refusal_can_be_asked_for_alone(
    database: Database,
) -> None:
    well = replace(_association(0, "A"), refused_contexts=(), accepted=True)
    for record in (
        well,
        replace(well, at=after(1), accepted=False),
        replace(well, at=after(2), refused_instances=1),
        replace(_association(3, "A"), accepted=True),
        replace(well, at=after(4)),
    ):
        associations.record(database, record)
    listed = associations.recent(database, refused=True)
    assert [item.at for item in listed] == [after(3), after(2), after(1)]


def test_listing_needs_as_many_statements_for_many_studies_as_for_one(
    database: Database,
) -> None:
    """A list of thousands must not ask the database once per study."""
    seen: list[str] = []
    for number in range(6):
        samples.queue_job(database, f"1.{number}")
    with database.read() as connection:
        engine = connection.engine

    def see(*args: object) -> None:
        seen.append(str(args[2]))

    event.listen(engine, "before_cursor_execute", see)
    queries.studies(database, limit=1)
    for_one = len(seen)
    queries.studies(database)
    event.remove(engine, "before_cursor_execute", see)
    assert len(seen) == 2 * for_one
