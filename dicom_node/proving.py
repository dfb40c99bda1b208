"""From sent to proven: what a delivery still needs before it is done.

sent        the destination answered with success
committed   it has taken responsibility: Storage Commitment
verified    a query found the object there
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import uuid4

import db.commitments
from db.commitments import CommitmentState
from db.engine import Database
from dicom_node.core.clock import Clock
from dicom_node.core.errors import DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.proof import (
    Commitment,
    CommitmentAnswer,
    NotAsked,
    NotOffered,
    Prover,
)
from dicom_node.core.states import Proof
from dicom_node.core.types import Delivery, ReportFile, Sent, Setback

# Failure Reasons that sending the object again does not mend (PS3.3 C.14).
_FOR_GOOD: Final = {
    0x0119: "says that the object is not of the SOP class it was sent in (0x0119)",
    0x0122: "does not commit to this SOP class (0x0122)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """The answer is to come.

    Args:
        for_answer: it comes by itself; otherwise it is looked for.
    """

    until: datetime
    for_answer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotKept:
    """The destination does not have what it took."""

    setback: Setback
    again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Proving:
    """Asks for the proof of one delivery that was sent.

    Args:
        file: what was sent.
    """

    database: Database
    clock: Clock
    delivery: Delivery
    file: ReportFile
    prover: Prover

    def prove(self) -> Sent | Wait | NotKept:
        """Bring the delivery as far as it comes now.

        Raises:
            DeliveryError: the destination did not answer; retryable.
        """
        proof, note = Proof.SENT, ""
        if self.prover.terms.commitment is not Commitment.OFF:
            try:
                outcome = self._commitment()
            except NotOffered as error:
                outcome = self._without(str(error), error.status)
            if not isinstance(outcome, Sent):
                return outcome
            proof, note = outcome.proof, outcome.note
        if self.prover.terms.read_back:
            found = self._read_back()
            if found is None:
                return Wait(until=self._next_look(), for_answer=False)
            if found == "":
                return self._sent(Proof.VERIFIED)
            note = "; ".join(filter(None, (note, found)))
        return self._sent(proof, note)

    def _sent(self, proof: Proof = Proof.SENT, note: str = "") -> Sent:
        return sent_as(self.delivery, self.file.report.sop_instance_uid, proof, note)

    def _commitment(self) -> Sent | Wait | NotKept:
        terms = self.prover.terms
        state = db.commitments.state(self.database, self.delivery)
        open_still = not (state.committed or state.refused)
        asked = open_still and state.requests < terms.requests
        if asked:
            self._ask()
            state = db.commitments.state(self.database, self.delivery)
        if state.committed:
            return self._sent(Proof.COMMITTED)
        if state.refused:
            return self._refused(state)
        if asked:
            return Wait(until=self.clock.now() + terms.wait, for_answer=True)
        return self._without(
            f"the destination never answered {terms.requests} requests for storage "
            "commitment: it must know this node's AE title, host and port, and be "
            "let in by [[peers]]"
        )

    def _ask(self) -> None:
        """Ask once; the transaction is known before anybody can answer it."""
        transaction_uid = f"2.25.{uuid4().int}"
        db.commitments.request(
            self.database, self.delivery, transaction_uid, now=self.clock.now()
        )

        def record(answer: CommitmentAnswer) -> bool:
            return db.commitments.answer(
                self.database,
                answer.transaction_uid,
                committed=answer.committed,
                failed=answer.failed,
                now=self.clock.now(),
            )

        try:
            self.prover.request(
                self.file,
                transaction_uid,
                on_answer=record,
                answered=lambda: db.commitments.is_answered(
                    self.database, transaction_uid
                ),
            )
        except (NotOffered, NotAsked):
            db.commitments.withdraw(self.database, transaction_uid)
            raise
        except DeliveryError:
            return  # it may have arrived: its answer is waited for as any other

    def _refused(self, state: CommitmentState) -> Sent | NotKept:
        reason = state.failure_reason
        if reason in _FOR_GOOD:
            return self._without(f"the destination {_FOR_GOOD[reason]}", reason)
        code = "without a reason" if reason is None else f"with reason 0x{reason:04X}"
        setback = Setback(
            reason="the destination does not commit to the object, "
            f"{code}: it is sent again",
            status=reason,
        )
        if state.refusals < self.prover.terms.requests:
            return NotKept(setback=setback, again=True)
        given_up = Setback(
            reason=f"the destination took the object {state.refusals} times and did "
            f"not commit to it, {code}: see its log",
            status=reason,
        )
        return NotKept(setback=given_up, again=False)

    def _without(self, why: str, status: int | None = None) -> Sent | NotKept:
        """Settle for less where the site lets us."""
        if self.prover.terms.commitment is Commitment.REQUIRED:
            return NotKept(setback=Setback(reason=why, status=status), again=False)
        return self._sent(note=f"not committed: {why}")

    def _read_back(self) -> str | None:
        """Return "" if the object was found, why not, or None to look again later."""
        try:
            if self.prover.find(self.file):
                return ""
            why = "a query did not find the object there"
        except NotOffered as error:
            return f"not verified: {error}"
        except DeliveryError as error:
            why = str(error)
        sent_at = self.delivery.sent_at or self.clock.now()
        if self.clock.now() < sent_at + self.prover.terms.wait:
            return None
        return f"not verified: {why}"

    def _next_look(self) -> datetime:
        """Return when to look again: soon after sending, later more seldom."""
        now = self.clock.now()
        sent_at = self.delivery.sent_at or now
        # As long as it is there already, at least a tenth of the whole wait.
        pause = max(now - sent_at, self.prover.terms.wait / 10)
        return min(now + pause, sent_at + self.prover.terms.wait)


def sent_as(delivery: Delivery, uid: SOPInstanceUID, proof: Proof, note: str) -> Sent:
    """Return what a delivery is settled with that its destination took before."""
    return Sent(status=delivery.status, sop_instance_uid=uid, proof=proof, note=note)
