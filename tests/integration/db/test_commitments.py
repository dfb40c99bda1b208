"""What was asked of a destination is settled by its answer, whenever it comes."""

import pytest
from sqlalchemy import select

from db import commitments, outbox, sending, work
from db.engine import Database
from db.tables import deliveries, jobs
from dicom_node.core.errors import LostRace
from dicom_node.core.states import Proof, WorkState
from dicom_node.core.types import Delivery, Setback
from tests.integration.db.samples import (
    SENT,
    after,
    claim,
    claim_delivery,
    prediction,
    queue_delivery,
    queue_job,
    report,
    settlement,
)

UID = SENT.sop_instance_uid


def _sent(database: Database, *, at: float = 10) -> Delivery:
    queue_delivery(database)
    delivery = claim_delivery(database, at=at)
    return sending.mark_sent(database, delivery, SENT, now=after(at + 1))


def _asked(database: Database, *, uid: str = "2.25.7", at: float = 12) -> Delivery:
    delivery = _sent(database)
    commitments.request(database, delivery, uid, now=after(at))
    return delivery


def _answer(
    database: Database,
    uid: str = "2.25.7",
    *,
    at: float = 15,
    failed: int | None = None,
) -> bool:
    return commitments.answer(
        database,
        uid,
        committed=set() if failed is not None else {UID},
        failed={} if failed is None else {UID: failed},
        now=after(at),
    )


def _nothing_at(database: Database, at: float) -> bool:
    found = work.claim_delivery(
        database, owner="other", now=after(at), lease_seconds=60
    )
    return found is None


def test_a_delivery_waits_for_its_answer_and_is_claimed_when_it_comes(
    database: Database,
) -> None:
    delivery = _asked(database)
    commitments.await_answer(database, delivery, until=after(600), now=after(13))
    assert _nothing_at(database, 599)
    assert _answer(database, at=15)
    again = claim_delivery(database, at=15)
    assert (again.stage, again.chosen, again.status) == ("sent", UID, 0)
    assert commitments.state(database, again).committed


def test_a_delivery_is_claimed_when_its_wait_is_over(database: Database) -> None:
    delivery = _asked(database)
    commitments.await_answer(database, delivery, until=after(600), now=after(13))
    again = claim_delivery(database, at=600)
    state = commitments.state(database, again)
    assert (state.committed, state.refused, state.requests) == (False, False, 1)


def test_an_answer_that_came_before_the_delivery_was_put_aside_is_not_missed(
    database: Database,
) -> None:
    delivery = _asked(database)
    assert _answer(database, at=13)
    commitments.await_answer(database, delivery, until=after(600), now=after(14))
    assert commitments.state(database, claim_delivery(database, at=14)).committed


def test_an_unknown_transaction_is_not_taken(database: Database) -> None:
    _asked(database)
    assert not _answer(database, "2.25.8")


def test_the_first_answer_stands(database: Database) -> None:
    delivery = _asked(database)
    assert _answer(database, failed=0x0112)
    assert _answer(database, at=16)
    state = commitments.state(database, delivery)
    assert (state.committed, state.failure_reason) == (False, 0x0112)


@pytest.mark.parametrize(
    ("committed", "failed", "reason"),
    [
        (set(), {}, None),  # it names others only
        ({"1.2.3.4"}, {}, None),
        ({UID}, {UID: 0x0110}, 0x0110),  # in both lists
        (set(), {UID: 0x0213, "1.2.3.4": 0x0110}, 0x0213),
    ],
)
def test_an_object_that_is_not_named_or_named_as_failed_is_not_committed(
    database: Database,
    committed: set[str],
    failed: dict[str, int],
    reason: int | None,
) -> None:
    delivery = _asked(database)
    assert commitments.answer(
        database, "2.25.7", committed=committed, failed=failed, now=after(15)
    )
    state = commitments.state(database, delivery)
    assert state.refused
    assert (state.committed, state.failure_reason) == (False, reason)


def test_an_answer_to_what_was_sent_before_settles_nothing_that_was_sent_again(
    database: Database,
) -> None:
    delivery = _asked(database)
    sending.send_again(
        database, delivery, Setback(reason="lost"), not_before=after(20), now=after(19)
    )
    again = claim_delivery(database, at=20)
    assert again.stage == ""
    again = sending.mark_sent(database, again, SENT, now=after(21))
    assert _answer(database, at=22, failed=0x0112)
    state = commitments.state(database, again)
    assert (state.refused, state.requests, state.refusals) == (False, 0, 1)


def test_a_late_commitment_strengthens_the_proof_of_a_delivery_that_is_done(
    database: Database,
) -> None:
    delivery = _asked(database)
    sending.settle_delivery(database, delivery, SENT, now=after(13))
    assert _answer(database, at=5000)
    assert _proof(database) == Proof.COMMITTED


def test_a_late_commitment_brings_a_delivery_back_that_was_given_up(
    database: Database,
) -> None:
    delivery = _asked(database)
    work.fail(database, delivery, Setback(reason="never answered"), now=after(13))
    assert _answer(database, at=5000)
    again = claim_delivery(database, at=5000)
    assert commitments.state(database, again).committed


def test_retry_of_a_delivery_without_answer_asks_again_and_counts_anew(
    database: Database,
) -> None:
    delivery = _asked(database)
    work.fail(database, delivery, Setback(reason="never answered"), now=after(13))
    work.retry(database, now=after(100))
    again = claim_delivery(database, at=100)
    assert again.stage == "sent"
    assert commitments.state(database, again).requests == 0


def test_who_lost_the_delivery_asks_for_nothing(database: Database) -> None:
    delivery = _sent(database)
    claim_delivery(database, at=100)
    with pytest.raises(LostRace):
        commitments.request(database, delivery, "2.25.7", now=after(101))
    with pytest.raises(LostRace):
        commitments.await_answer(database, delivery, until=after(200), now=after(101))
    assert not _answer(database)


def test_a_withdrawn_request_is_forgotten_unless_it_was_answered(
    database: Database,
) -> None:
    delivery = _asked(database)
    commitments.withdraw(database, "2.25.7")
    assert not _answer(database)
    commitments.request(database, delivery, "2.25.8", now=after(13))
    assert _answer(database, "2.25.8")
    commitments.withdraw(database, "2.25.8")
    assert commitments.state(database, delivery).committed


def test_a_job_that_ran_again_forgets_what_its_delivery_had_proven(
    database: Database,
) -> None:
    queue_job(database)
    work.settle_job(database, claim(database), settlement(), now=after(3))
    delivery = sending.mark_sent(
        database, claim_delivery(database), SENT, now=after(11)
    )
    work.fail(database, delivery, Setback(reason="never answered"), now=after(13))
    _run_again(database)
    again = claim_delivery(database, at=40)
    assert (again.stage, again.sent_at, again.chosen) == ("", None, None)


def _run_again(database: Database) -> None:
    """Fail and retry the job, which then writes another report."""
    with database.write() as connection:
        connection.execute(jobs.update().values(state=WorkState.FAILED))
    work.retry(database, now=after(30))
    other = report("2.25.101")
    settled = settlement(other)
    assert settled.prediction == prediction()
    outbox.settle_job(database, claim(database, at=31), settled, now=after(32))


def _proof(database: Database) -> str | None:
    with database.read() as connection:
        proof: str | None = connection.execute(select(deliveries.c.proof)).scalar_one()
    return proof
