"""A delivery shows what became of its last attempt, and nothing of those before."""

from dataclasses import replace

import pytest

from db import desk_deliveries, sending, studies, work
from db.engine import Database
from db.revive import Choice, put_back
from dicom_node.core.types import Setback
from tests.integration.db.samples import (
    REFUSED,
    SENT,
    after,
    claim_delivery,
    queue_delivery,
)

GONE = Setback(reason="it cannot be reached: nothing listens there")
WARNED = replace(SENT, status=0xB007)


def _shown(database: Database) -> tuple[str | None, str | None, str | None]:
    """Return status, reason and proof, as the page and the API tell them."""
    query = desk_deliveries.DeliveryQuery()
    [line], _ = desk_deliveries.list_deliveries(database, query)
    return line.status, line.reason, line.proof


def _put_off(database: Database, setback: Setback, *, at: float) -> None:
    delivery = claim_delivery(database, at=at)
    work.requeue(
        database, delivery, setback, not_before=after(at + 5), now=after(at + 1)
    )


@pytest.mark.parametrize("ends", ["waits", "is given up", "is quarantined"])
def test_the_status_of_an_attempt_is_gone_with_the_next_that_got_none(
    database: Database, ends: str
) -> None:
    queue_delivery(database)
    _put_off(database, REFUSED, at=10)
    assert _shown(database) == ("0xA700", REFUSED.reason, None)
    if ends == "waits":
        _put_off(database, GONE, at=20)
    elif ends == "is given up":
        work.fail(database, claim_delivery(database, at=20), GONE, now=after(21))
    else:
        sending.quarantine(
            database, claim_delivery(database, at=20), GONE, now=after(21)
        )
    assert _shown(database) == (None, GONE.reason, None)


def test_what_people_put_back_has_no_answer_yet(database: Database) -> None:
    queue_delivery(database)
    work.fail(database, claim_delivery(database), REFUSED, now=after(11))
    put_back(database, Choice(), now=after(12))
    assert _shown(database) == (None, None, None)


def test_what_was_sent_keeps_the_status_that_took_it_while_its_proof_is_waited_for(
    database: Database,
) -> None:
    queue_delivery(database)
    sent = sending.mark_sent(database, claim_delivery(database), WARNED, now=after(11))
    work.requeue(database, sent, GONE, not_before=after(20), now=after(12))
    assert _shown(database) == ("0xB007", GONE.reason, None)
    work.fail(database, claim_delivery(database, at=20), GONE, now=after(21))
    assert _shown(database) == ("0xB007", GONE.reason, None)
    put_back(database, Choice(), now=after(22))
    assert claim_delivery(database, at=23).status == 0xB007


def test_what_was_not_kept_shows_why_it_is_sent_again(database: Database) -> None:
    queue_delivery(database)
    sent = sending.mark_sent(database, claim_delivery(database), SENT, now=after(11))
    lost = Setback(reason="it does not commit to the object", status=0x0110)
    sending.send_again(database, sent, lost, not_before=after(20), now=after(12))
    assert _shown(database) == ("0x0110", lost.reason, None)
    _put_off(database, GONE, at=20)
    assert _shown(database) == (None, GONE.reason, None)


def test_a_replay_shows_no_proof_of_what_was_sent_before(database: Database) -> None:
    queue_delivery(database)
    work.settle_delivery(database, claim_delivery(database), WARNED, now=after(11))
    [study_id] = studies.identify(database, "1.2.3")
    assert work.resend(database, study_id, now=after(12)) == 1
    assert _shown(database) == (None, None, None)
    assert claim_delivery(database, at=13).sent_at is None
