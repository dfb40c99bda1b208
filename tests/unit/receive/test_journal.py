"""What came of an association is logged once and kept, also over a database's rest."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from dicom_node.core.errors import DatabaseError
from dicom_node.core.refusal import RefusedInstance
from dicom_node.core.types import AssociationRecord, RefusedContext
from dicom_node.receive.journal import Journal, JournalTo, tell
from tests.integration.db import samples

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
JPEG = "1.2.840.10008.1.2.4.50"
ACCEPTED = AssociationRecord(
    at=samples.T0,
    calling_ae_title="CT1",
    called_ae_title="AINODE",
    peer_address="10.0.0.1",
    accepted=True,
    refused_contexts=tuple(
        RefusedContext(
            sop_class_uid=uid,
            transfer_syntax_uids=(JPEG,),
            reason="transfer syntaxes not supported",
        )
        for uid in (CT, CT, MR)
    ),
)

REFUSED = RefusedInstance(
    at=samples.T0,
    calling_ae_title="CT1",
    called_ae_title="AINODE",
    peer_address="10.0.0.1",
    sop_class_uid=CT,
    transfer_syntax_uid=JPEG,
    sop_instance_uid="1.2.3.4",
    study_instance_uid="1.2.3",
    accession_number="A1",
    status=0xC000,
    reason="Rows or Columns is missing or zero",
    size_bytes=100,
)


def _to(
    association: Callable[[AssociationRecord], None],
    refused: Callable[[Sequence[RefusedInstance]], None] = lambda _: None,
) -> JournalTo:
    return JournalTo(association=association, refused=refused)


def test_refused_contexts_are_logged_once_for_an_association(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept: list[AssociationRecord] = []
    with caplog.at_level(logging.INFO):
        tell(ACCEPTED, kept.append)
    refused, ended = caplog.records
    assert refused.__dict__["contexts"] == 3
    assert refused.__dict__["sop_class"] == f"{CT},{MR}"
    assert refused.__dict__["transfer_syntax"] == JPEG
    assert refused.__dict__["reason"] == "transfer syntaxes not supported"
    assert ended.getMessage() == "association ended"
    assert kept == [ACCEPTED]


def test_a_rejected_association_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        tell(replace(ACCEPTED, accepted=False), lambda record: None)
    assert [record.getMessage() for record in caplog.records] == [
        "association rejected"
    ]


def test_the_line_of_a_rejection_says_who_called_and_what_was_offered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        tell(replace(ACCEPTED, accepted=False), lambda record: None)
    (told,) = caplog.records
    assert told.__dict__["ae"] == ACCEPTED.calling_ae_title
    assert told.__dict__["contexts"] == 3
    assert told.__dict__["sop_class"] == f"{CT},{MR}"
    assert told.__dict__["transfer_syntax"] == JPEG


def test_records_wait_for_a_database_that_is_down() -> None:
    kept: list[AssociationRecord] = []
    back = threading.Event()

    def keep(record: AssociationRecord) -> None:
        if not back.is_set():
            raise DatabaseError("down")
        kept.append(record)

    tried = threading.Event()

    def wait(stop: threading.Event) -> bool:
        tried.set()
        return back.wait(10)

    journal = Journal(_to(keep), wait)
    second = replace(ACCEPTED, calling_ae_title="CT2")
    journal.put(ACCEPTED)
    journal.put(second)
    assert tried.wait(10)
    back.set()
    journal.close(10)
    assert kept == [ACCEPTED, second]


def test_a_record_that_is_never_taken_holds_up_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept: list[str] = []

    def keep(record: AssociationRecord) -> None:
        if record.calling_ae_title == "CT1":
            raise DatabaseError("never")
        kept.append(record.calling_ae_title)

    journal = Journal(_to(keep), lambda stop: True)
    journal.put(ACCEPTED)
    journal.put(replace(ACCEPTED, calling_ae_title="CT2"))
    journal.close(10)
    assert kept == ["CT2"]
    assert "association not recorded" in caplog.messages


def test_refusals_that_wait_together_are_kept_together_in_their_order() -> None:
    kept: list[object] = []
    busy, go_on = threading.Event(), threading.Event()

    def keep(record: AssociationRecord) -> None:
        busy.set()
        assert go_on.wait(10)
        kept.append(record)

    journal = Journal(_to(keep, kept.append), lambda stop: True)
    second = replace(REFUSED, sop_instance_uid="1.2.3.5")
    journal.put(ACCEPTED)
    assert busy.wait(10)
    for record in (REFUSED, second, ACCEPTED, second):
        journal.put(record)
    go_on.set()
    journal.close(10)
    assert kept == [ACCEPTED, [REFUSED, second], ACCEPTED, [second]]


def test_refusals_that_the_database_never_takes_hold_up_no_association(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept: list[AssociationRecord] = []

    def fail(_: Sequence[RefusedInstance]) -> None:
        raise DatabaseError("never")

    journal = Journal(_to(kept.append, fail), lambda stop: True)
    journal.put(REFUSED)
    journal.put(ACCEPTED)
    journal.close(10)
    assert kept == [ACCEPTED]
    assert "refusal not recorded" in caplog.messages
