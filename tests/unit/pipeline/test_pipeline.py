"""The four steps on a real database, with parts at the seams."""

from dataclasses import replace
from datetime import timedelta

import pytest

import db.queries
import db.schema
import db.studies
import db.work
from dicom_node.core.errors import (
    BundleError,
    DeliveryError,
    InferenceError,
    LostRace,
)
from dicom_node.core.states import Outcome, WorkState
from dicom_node.core.types import RoutingDecision, Study
from dicom_node.pipeline import (
    on_job,
    on_quiet_study,
)
from dicom_node.study.routes import RuleRouter
from tests.unit.pipeline.node import ROUTE, Node
from tests.unit.pipeline.parts import (
    retryable,
)


def test_a_study_becomes_one_report_in_the_pacs(node: Node) -> None:
    node.receive(1)
    node.receive(2)
    node.complete()
    assert node.infer() is Outcome.PRESENT
    assert node.deliver() is WorkState.DONE
    study = node.study()
    assert (study["state"], study["revision"], study["instances"]) == ("ROUTED", 1, 2)
    (job,) = study["jobs"]
    assert (job["state"], job["outcome"]) == ("DONE", "present")
    assert job["findings"][0]["code"] == "233604007"
    assert job["deliveries"][0]["status"] == "0x0000"
    assert set(node.pacs.objects) == {job["deliveries"][0]["sop_instance_uid"]}


def test_nothing_is_routed_before_the_quiet_time_is_over(node: Node) -> None:
    node.receive(1)
    node.clock.step(9)
    assert not db.studies.quiet(
        node.database, now=node.clock.now(), quiet_seconds=10, limit_seconds=3600
    )


def test_an_instance_that_slips_in_leaves_the_study_unrouted(node: Node) -> None:
    node.receive(1)

    class Slipping(RuleRouter):
        def route(self, study: Study) -> RoutingDecision:
            node.receive(2)
            return super().route(study)

    (study_id,) = db.studies.quiet(
        node.database,
        now=node.clock.now() + timedelta(seconds=11),
        quiet_seconds=10,
        limit_seconds=3600,
    )
    with pytest.raises(LostRace):
        on_quiet_study(node.database, study_id, Slipping([ROUTE]), node.clock)
    assert node.study()["state"] == "RECEIVING"


def test_a_late_instance_makes_a_report_that_names_its_predecessor(node: Node) -> None:
    for number in (1, 2):
        node.receive(number)
        node.complete()
        node.infer()
        node.deliver()
    study = node.study()
    assert study["revision"] == 2
    first, second = (job["deliveries"][0]["sop_instance_uid"] for job in study["jobs"])
    assert first
    assert second
    assert first != second
    assert node.pacs.objects[second].decode().endswith(first)


def test_the_first_revision_sees_only_its_own_instances(node: Node) -> None:
    node.receive(1)
    node.complete()
    job = db.work.claim_job(
        node.database, owner="t", now=node.clock.now(), lease_seconds=60
    )
    assert job
    node.receive(2)
    on_job(node.work, job)
    assert len(node.executor.seen[0]) == 1


def test_a_replay_of_the_same_images_is_the_same_object(node: Node) -> None:
    node.receive(1)
    node.complete()
    node.infer()
    node.deliver()
    before = dict(node.pacs.objects)
    (study_id,) = db.studies.identify(node.database, "1.2.3")
    db.studies.reopen(node.database, study_id, now=node.clock.now())
    node.complete()
    node.infer()
    node.deliver()
    assert node.pacs.objects == before
    assert node.study()["jobs"][1]["deliveries"][0]["state"] == "DONE"


def test_not_evaluated_stays_in_the_node_unless_a_destination_wants_it(
    node: Node,
) -> None:
    node.executor.outcome = Outcome.NOT_EVALUATED
    node.receive(1)
    node.complete()
    assert node.infer() is Outcome.NOT_EVALUATED
    (job,) = node.study()["jobs"]
    assert (job["state"], job["reason"]) == ("DONE", "outside the scope")
    assert job["deliveries"] == []


def test_not_evaluated_is_sent_to_a_destination_that_wants_it(node: Node) -> None:
    node.executor.outcome = Outcome.NOT_EVALUATED
    node.pacs.send_not_evaluated = True
    node.receive(1)
    node.complete()
    node.infer()
    assert node.deliver() is WorkState.DONE
    assert len(node.pacs.objects) == 1


def test_a_retryable_failure_is_tried_three_times_and_then_given_up(
    node: Node,
) -> None:
    node.executor.raises = [retryable(), retryable(), retryable()]
    node.receive(1)
    node.complete()
    for _ in range(3):
        assert node.infer() is Outcome.FAILED
        node.clock.step(3600)
    assert node.infer() is None
    (job,) = node.study()["jobs"]
    assert (job["state"], job["outcome"]) == ("FAILED", "failed")
    assert job["reason"] == "the device is busy"


@pytest.mark.parametrize(
    "error",
    [InferenceError("no score"), BundleError("weights.safetensors differs")],
)
def test_a_lasting_failure_is_given_up_at_once(node: Node, error: Exception) -> None:
    node.executor.raises = [error]
    node.receive(1)
    node.complete()
    node.infer()
    (job,) = node.study()["jobs"]
    assert (job["state"], job["reason"]) == ("FAILED", str(error))


def test_a_worker_that_dies_in_every_attempt_gives_the_job_up(node: Node) -> None:
    node.receive(1)
    node.complete()
    for _ in range(3):
        assert db.work.claim_job(
            node.database, owner="dies", now=node.clock.now(), lease_seconds=60
        )
        node.clock.step(61)
    node.infer()
    (job,) = node.study()["jobs"]
    assert job["state"] == "FAILED"
    assert not node.executor.seen


def test_a_file_that_changed_at_rest_gives_no_result(node: Node) -> None:
    node.receive(1)
    node.complete()
    (path,) = node.instances.folder.iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    node.infer()
    (job,) = node.study()["jobs"]
    assert job["state"] == "FAILED"
    assert "differ" in (job["reason"] or "")
    assert not node.executor.seen


def test_a_refused_report_is_sent_again_as_the_same_object(node: Node) -> None:
    node.pacs.raises = [
        DeliveryError("the PACS is full", retryable=True, status=0xA700)
    ]
    node.receive(1)
    node.complete()
    node.infer()
    assert node.deliver() is WorkState.QUEUED
    (delivery,) = node.study()["jobs"][0]["deliveries"]
    assert (delivery["status"], delivery["attempts"]) == ("0xA700", 1)
    node.clock.step(6)
    assert node.deliver() is WorkState.DONE
    assert set(node.pacs.objects) == {delivery["sop_instance_uid"]}


def test_a_report_that_can_never_be_taken_is_a_dead_letter(node: Node) -> None:
    node.pacs.raises = [
        DeliveryError("the PACS cannot read it", retryable=False, status=0xC000)
    ]
    node.receive(1)
    node.complete()
    node.infer()
    assert node.deliver() is WorkState.FAILED


def test_retries_of_a_delivery_end(node: Node) -> None:
    node.pacs.raises = [DeliveryError("no answer", retryable=True) for _ in range(500)]
    node.receive(1)
    node.complete()
    node.infer()
    states = set()
    for _ in range(500):
        states.add(node.deliver())
        node.clock.step(60)
    assert WorkState.FAILED in states
    (delivery,) = node.study()["jobs"][0]["deliveries"]
    assert delivery["state"] == "FAILED"


def test_a_destination_that_left_the_configuration_is_a_dead_letter(
    node: Node,
) -> None:
    node.receive(1)
    node.complete()
    node.infer()
    node.outbox = replace(node.outbox, destinations={})
    assert node.deliver() is WorkState.FAILED
