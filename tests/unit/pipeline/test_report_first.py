"""The report leaves before the picture is drawn, whatever dies in between."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

import db.tables
import db.work
from dicom_node.core.errors import InferenceError, LostRace, ReportError
from dicom_node.core.ids import SeriesInstanceUID, SOPClassUID, SOPInstanceUID
from dicom_node.core.states import Outcome, ReportKind, Urgency, WorkState
from dicom_node.core.types import Job, Prediction, Report, Suggestion
from dicom_node.core.writing import Result
from dicom_node.pipeline import on_job
from tests.unit.pipeline.node import Node

_SC = SOPClassUID("1.2.840.10008.5.1.4.1.1.7")
_SUGGESTED = Suggestion(urgency=Urgency.URGENT, reason="Pneumonia 0.90")


class Killed(BaseException):
    """The process ends: nothing catches it."""


@dataclass
class Pictures:
    """Writes pictures of one line; what is hooked in happens before each."""

    before: list[Callable[[Result], object]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    def write(
        self, result: Result, *, destination: str, earlier: Report | None
    ) -> tuple[Report, bytes] | None:
        self.results.append(result)
        if self.before:
            self.before.pop(0)(result)
        content = b"picture"
        report = Report(
            sop_class_uid=_SC,
            sop_instance_uid=SOPInstanceUID("2.25.7"),
            series_instance_uid=SeriesInstanceUID("2.25.70"),
            file_key="",
            sha256=hashlib.sha256(content).hexdigest(),
            kind=ReportKind.SC,
        )
        return report, content


class AlwaysUrgent:
    """Suggests the same of everything."""

    def suggest(self, prediction: Prediction, *, now: object) -> Suggestion:
        return _SUGGESTED


@pytest.fixture
def pictures(node: Node) -> Pictures:
    """Give the writer of pictures of a node whose PACS takes them, and a study."""
    drawn = Pictures()
    node.pacs.kinds = (ReportKind.SR, ReportKind.SC)
    node.work = replace(
        node.work,
        writing=replace(
            node.work.writing,
            writers={ReportKind.SC: drawn},
            suggest=AlwaysUrgent(),
        ),
    )
    node.receive(1)
    node.complete()
    return drawn


def _die(_result: Result) -> None:
    raise Killed


def _refuse(_result: Result) -> None:
    raise ReportError("the summary picture could not be encoded")


def _kill_while_drawing(node: Node, pictures: Pictures) -> None:
    pictures.before.append(_die)
    with pytest.raises(Killed):
        node.infer()


def _deliver_all(node: Node) -> list[str]:
    """Deliver what can be; name the objects in the order they left."""
    while node.deliver():
        pass
    return [content.decode().split()[-1] for content in node.pacs.objects.values()]


def _predictions(node: Node) -> int:
    query = select(func.count()).select_from(db.tables.predictions)
    with node.database.read() as connection:
        return int(connection.execute(query).scalar_one())


def test_the_pacs_has_the_report_before_the_picture_is_drawn(
    node: Node, pictures: Pictures
) -> None:
    there: list[list[str]] = []
    pictures.before.append(lambda _: there.append(_deliver_all(node)))
    assert node.infer() is Outcome.PRESENT
    assert there == [["present"]]
    assert _deliver_all(node) == ["present", "picture"]
    (job,) = node.study()["jobs"]
    assert job["state"] == WorkState.DONE
    assert [one["kind"] for one in job["deliveries"]] == ["sr", "sc"]


def test_somebody_is_told_as_soon_as_the_report_may_leave(
    node: Node, pictures: Pictures
) -> None:
    told: list[int] = []
    pictures.before.append(lambda _: told.append(-1))
    job = db.work.claim_job(
        node.database, owner="t", now=node.clock.now(), lease_seconds=60
    )
    assert job is not None
    on_job(node.work, job, on_report=lambda: told.append(len(pictures.results)))
    assert told == [0, -1]


def test_a_worker_killed_between_report_and_picture_delivers_both_once(
    node: Node, pictures: Pictures
) -> None:
    _kill_while_drawing(node, pictures)
    assert _deliver_all(node) == ["present"]
    assert node.infer() is None, "its lease holds"
    node.clock.step(61)
    assert node.infer() is Outcome.PRESENT
    assert _deliver_all(node) == ["present", "picture"]
    assert len(node.executor.seen) == _predictions(node) == 1
    (job,) = node.study()["jobs"]
    assert job["state"] == WorkState.DONE
    assert [one["attempts"] for one in job["deliveries"]] == [1, 1]
    assert node.infer() is None


def test_what_goes_on_after_a_crash_draws_what_the_first_run_kept(
    node: Node, pictures: Pictures
) -> None:
    _kill_while_drawing(node, pictures)
    node.work = replace(node.work, writing=replace(node.work.writing, suggest=None))
    node.clock.step(61)
    node.infer()
    first, second = pictures.results
    assert replace(second, job=first.job) == replace(first, report=second.report)
    assert first.report is not None
    assert second.report is not None
    assert replace(second.report, report_id=None) == first.report
    assert second.suggestion == _SUGGESTED


def test_a_worker_killed_in_every_attempt_leaves_the_report_there(
    node: Node, pictures: Pictures
) -> None:
    for _ in range(node.work.attempts):
        _kill_while_drawing(node, pictures)
        node.clock.step(61)
    assert node.infer() is Outcome.FAILED
    assert _deliver_all(node) == ["present"]
    (job,) = node.study()["jobs"]
    assert (job["state"], job["outcome"]) == (WorkState.FAILED, "present")
    assert job["reason"] is not None
    assert "worker died" in job["reason"]
    assert len(node.executor.seen) == 1


def test_retry_writes_only_the_picture_that_could_not_be_written(
    node: Node, pictures: Pictures
) -> None:
    pictures.before.append(_refuse)
    assert node.infer() is Outcome.FAILED
    (job,) = node.study()["jobs"]
    assert (job["state"], job["outcome"]) == (WorkState.FAILED, "present")
    assert job["reason"] is not None
    assert "pictures" in job["reason"]
    assert _deliver_all(node) == ["present"]
    assert db.work.retry(node.database, now=node.clock.now()) == (1, 0)
    assert node.infer() is Outcome.PRESENT
    assert _deliver_all(node) == ["present", "picture"]
    assert len(node.executor.seen) == 1


def test_a_picture_that_cannot_be_tried_now_is_drawn_later(
    node: Node, pictures: Pictures
) -> None:
    def busy(_result: Result) -> None:
        raise InferenceError("no process can be started", retryable=True)

    pictures.before.append(busy)
    node.infer()
    assert _deliver_all(node) == ["present"]
    node.clock.step(3600)
    assert node.infer() is Outcome.PRESENT
    assert _deliver_all(node) == ["present", "picture"]
    assert len(node.executor.seen) == 1


def test_a_worker_whose_lease_lapsed_while_drawing_settles_nothing(
    node: Node, pictures: Pictures
) -> None:
    def overtake(_result: Result) -> None:
        node.clock.step(61)
        assert node.infer() is Outcome.PRESENT

    pictures.before.append(overtake)
    with pytest.raises(LostRace):
        node.infer()
    assert _deliver_all(node) == ["present", "picture"]
    assert _predictions(node) == 1


def test_a_worker_whose_lease_lapsed_keeps_no_result(
    node: Node, pictures: Pictures
) -> None:
    late = db.work.claim_job(
        node.database, owner="late", now=node.clock.now(), lease_seconds=60
    )
    assert late is not None
    node.clock.step(61)
    assert node.infer() is Outcome.PRESENT
    with pytest.raises(LostRace):
        _run_again(node, late)
    assert _predictions(node) == 1


def _run_again(node: Node, late: Job) -> None:
    prediction = node.executor.predict(late.model, node.executor.seen[0])
    study = db.studies.load(node.database, late.study_id, revision=late.revision)
    files = node.executor.seen[0]
    written = node.work.writing.write(late, study, files, prediction)
    db.outbox.keep_result(node.database, late, written.settlement, now=node.clock.now())


def test_a_study_without_a_result_is_settled_in_one_piece(
    node: Node, pictures: Pictures
) -> None:
    node.executor.outcome = Outcome.NOT_EVALUATED
    node.pacs.send_not_evaluated = True
    pictures.before.append(lambda _: _assert_nothing_left(node))
    assert node.infer() is Outcome.NOT_EVALUATED
    assert _deliver_all(node) == ["not_evaluated", "picture"]


def _assert_nothing_left(node: Node) -> None:
    assert node.deliver() is None


def test_a_route_of_pictures_alone_is_settled_in_one_piece(
    node: Node, pictures: Pictures
) -> None:
    node.pacs.kinds = (ReportKind.SC,)
    pictures.before.append(lambda _: _assert_nothing_left(node))
    assert node.infer() is Outcome.PRESENT
    assert _deliver_all(node) == ["picture"]


def test_a_later_revision_waits_until_the_picture_of_the_earlier_is_there(
    node: Node, pictures: Pictures
) -> None:
    _kill_while_drawing(node, pictures)
    _deliver_all(node)
    node.clock.step(1)
    node.receive(2)
    node.complete()
    seen = timedelta(seconds=61)
    node.clock.time += seen
    while node.infer():
        pass
    delivered = _deliver_all(node)
    assert delivered[:2] == ["present", "picture"]
    assert {job["state"] for job in node.study()["jobs"]} == {WorkState.DONE}
