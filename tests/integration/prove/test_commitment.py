"""Storage Commitment, against archives that answer, refuse, half answer or do not."""

import pytest

import db.commitments
import db.sending
from db.engine import Database
from dicom_node.core.states import Proof, WorkState
from dicom_node.core.types import Sent
from tests.integration.prove.archive import Habits, running_archive
from tests.integration.prove.desk import make_desk


def test_an_answer_on_the_same_association_proves_the_delivery_at_once(
    database: Database,
) -> None:
    with running_archive(Habits()) as archive:
        desk = make_desk(database, archive.port, commitment="required")
        assert desk.turn() is WorkState.DONE
        assert archive.said.wait(5)
    row = desk.row()
    assert (row.proof, row.status, row.stage) == (Proof.COMMITTED, 0, "")
    assert archive.stored == [desk.uid]
    assert archive.reported == [0x0000]
    (request,) = archive.asked
    (item,) = request.ReferencedSOPSequence
    assert item.ReferencedSOPInstanceUID == desk.uid
    assert request.TransactionUID.is_valid


def test_an_answer_over_another_association_settles_the_delivery_when_it_comes(
    database: Database,
) -> None:
    with running_archive(Habits(answers=["never"])) as archive:
        desk = make_desk(database, archive.port, commitment="required")
        assert desk.turn() is WorkState.QUEUED
        assert desk.row().stage == "sent"
        desk.skip(30)
        assert desk.turn() is None
        assert db.commitments.answer(
            database,
            archive.transactions[0],
            committed={desk.uid},
            failed={},
            now=desk.clock.now(),
        )
        assert desk.turn() is WorkState.DONE
    assert desk.row().proof == Proof.COMMITTED
    assert archive.stored == [desk.uid]
    assert len(archive.asked) == 1


@pytest.mark.parametrize(
    ("commitment", "state", "proof"),
    [
        ("required", WorkState.FAILED, None),
        ("wanted", WorkState.DONE, Proof.SENT),
    ],
)
def test_an_archive_that_never_answers_is_asked_a_bounded_number_of_times(
    database: Database, commitment: str, state: WorkState, proof: Proof | None
) -> None:
    with running_archive(Habits(answers=["never"])) as archive:
        desk = make_desk(
            database, archive.port, commitment=commitment, commitment_requests=2
        )
        row = desk.run()
    assert (row.state, row.proof) == (state, proof)
    assert "never answered 2 requests" in row.reason
    assert archive.stored == [desk.uid]
    assert len(set(archive.transactions)) == len(archive.asked) == 2


@pytest.mark.parametrize("failure", [0x0110, 0x0112, 0x0213, "half"])
def test_an_object_that_was_not_kept_is_sent_again_and_asked_for_anew(
    database: Database, failure: int
) -> None:
    with running_archive(Habits(failures=[failure, None])) as archive:
        desk = make_desk(database, archive.port, commitment="wanted")
        assert desk.turn() is WorkState.QUEUED
        row = desk.row()
        assert (row.stage, row.proof) == ("", None)
        row = desk.run()
    assert (row.state, row.proof) == (WorkState.DONE, Proof.COMMITTED)
    assert archive.stored == [desk.uid, desk.uid]


@pytest.mark.parametrize("commitment", ["wanted", "required"])
def test_an_object_that_is_never_kept_is_given_up_and_never_called_committed(
    database: Database, commitment: str
) -> None:
    with running_archive(Habits(failures=[0x0112])) as archive:
        desk = make_desk(database, archive.port, commitment=commitment)
        row = desk.run()
    assert (row.state, row.proof) == (WorkState.FAILED, None)
    assert "did not commit to it, with reason 0x0112" in row.reason
    assert len(archive.stored) == 3


@pytest.mark.parametrize(
    ("commitment", "state"),
    [("required", WorkState.FAILED), ("wanted", WorkState.DONE)],
)
@pytest.mark.parametrize(
    ("habits", "said"),
    [
        (Habits(commits=False), "offers no Storage Commitment"),
        (Habits(action_statuses=[0x0124]), "refuses the storage commitment with"),
        (Habits(failures=[0x0122]), "does not commit to this SOP class"),
    ],
)
def test_an_archive_that_does_not_commit_at_all_is_settled_for_less_if_allowed(
    database: Database, commitment: str, state: WorkState, habits: Habits, said: str
) -> None:
    with running_archive(habits) as archive:
        desk = make_desk(database, archive.port, commitment=commitment)
        row = desk.run()
    assert row.state == state
    assert said in row.reason
    assert row.proof == (Proof.SENT if state is WorkState.DONE else None)
    assert archive.stored == [desk.uid]


def test_a_request_that_is_refused_for_now_is_made_again(database: Database) -> None:
    with running_archive(Habits(action_statuses=[0x0213, 0x0000])) as archive:
        desk = make_desk(
            database, archive.port, commitment="required", commitment_requests=1
        )
        assert desk.turn() is WorkState.QUEUED
        row = desk.run()
    assert (row.state, row.proof) == (WorkState.DONE, Proof.COMMITTED)
    assert archive.stored == [desk.uid]
    assert len(archive.asked) == 2


def test_an_archive_that_goes_before_it_is_asked_is_asked_when_it_is_back(
    database: Database,
) -> None:
    with running_archive(Habits()) as archive:
        desk = make_desk(database, archive.port, commitment="required")
        delivery = desk.claim()
        assert delivery is not None
        uid = delivery.reports[0].sop_instance_uid
        sent = Sent(status=0, sop_instance_uid=uid)
        db.sending.mark_sent(database, delivery, sent, now=desk.clock.now())
        # The role dies here: its lease lapses.
        desk.skip(61)
        assert desk.turn() is WorkState.DONE
    assert desk.row().proof == Proof.COMMITTED
    assert archive.stored == []


def test_without_commitment_a_delivery_is_proven_by_the_status(
    database: Database,
) -> None:
    with running_archive(Habits()) as archive:
        desk = make_desk(database, archive.port)
        assert desk.turn() is WorkState.DONE
    assert desk.row().proof == Proof.SENT
    assert archive.asked == []
    assert archive.queried == []
