"""Storage Commitment with Orthanc, which answers over an association of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # pynetdicom makes these names at import
    StorageCommitmentPushModel,
)

import db.commitments
import db.sending
from db.engine import Database
from dicom_node import delivering
from dicom_node.core.states import Proof, WorkState
from dicom_node.deliver.commitment import read_answer
from tests.integration.db.conftest import ENGINES
from tests.integration.prove.desk import Desk, make_desk
from tests.integration.prove.dying import STEPS, die_at
from tests.orthanc import Orthanc, OrthancSettings, running_orthanc
from tests.peers import Address, free_port


@contextmanager
def _reports_go_to(desk_of: list[Desk], port: int) -> Iterator[threading.Event]:
    """Take N-EVENT-REPORTs as the receiver role does, by pynetdicom."""
    here = threading.Event()

    def on_report(event: evt.Event) -> tuple[int, Dataset | None]:
        answer = read_answer(event.event_information)
        desk = desk_of[0]
        known = db.commitments.answer(
            desk.database,
            answer.transaction_uid,
            committed=answer.committed,
            failed=answer.failed,
            now=desk.clock.now(),
        )
        here.set()
        return (0x0000 if known else 0x0115), None

    entity = AE(ae_title="AINODE")
    entity.add_supported_context(
        StorageCommitmentPushModel, scu_role=False, scp_role=True
    )
    server = entity.start_server(
        ("127.0.0.1", port),
        block=False,
        evt_handlers=[(evt.EVT_N_EVENT_REPORT, on_report)],
    )
    assert server is not None
    try:
        yield here
    finally:
        server.shutdown()


@pytest.mark.parametrize("read_back", ["off", "c-find"])
def test_orthanc_commits_to_what_it_was_sent(
    database: Database, tmp_path: Path, read_back: str
) -> None:
    port = free_port()
    node = Address(port=port, ae_title="AINODE")
    settings = OrthancSettings(modalities=[("node", node)], ae_title="PACS")
    desks: list[Desk] = []
    with (
        running_orthanc(tmp_path / "orthanc", settings) as orthanc,
        _reports_go_to(desks, port) as here,
    ):
        desk = make_desk(
            database,
            orthanc.address.port,
            commitment="required",
            read_back=read_back,
        )
        desks.append(desk)
        state = desk.turn()
        assert here.wait(30)
        if state is WorkState.QUEUED:  # it came after the association
            state = desk.turn()
        assert state is WorkState.DONE
        assert len(orthanc.reports()) == 1
    wanted = Proof.COMMITTED if read_back == "off" else Proof.VERIFIED
    assert desk.row().proof == wanted


# A step takes seconds: each on one engine, on the other by turns.
@pytest.mark.parametrize(
    ("step", "engine"), list(zip(STEPS, cycle(reversed(ENGINES)), strict=False))
)
def test_a_deliver_role_that_is_killed_at_a_step_leaves_one_object_that_is_verified(
    database: Database, url: str, tmp_path: Path, step: str
) -> None:
    port = free_port()
    node = Address(port=port, ae_title="AINODE")
    settings = OrthancSettings(modalities=[("node", node)], ae_title="PACS")
    desks: list[Desk] = []
    with (
        running_orthanc(tmp_path / "orthanc", settings) as orthanc,
        _reports_go_to(desks, port) as here,
    ):
        desk = make_desk(
            database, orthanc.address.port, commitment="required", read_back="c-find"
        )
        desks.append(desk)
        while not die_at(step, desk, url):
            assert here.wait(30)
        desk.skip(61)  # its lease lapses
        here.clear()
        while desk.turn() is not WorkState.DONE:
            assert desk.row().stage == "sent"
            assert here.wait(30)
            here.clear()
        (kept,) = orthanc.rest("/instances?expand")
        assert kept["MainDicomTags"]["SOPInstanceUID"] == desk.uid
        assert desk.row().proof == Proof.VERIFIED


def test_an_object_that_orthanc_has_lost_is_sent_again_and_then_committed(
    database: Database, tmp_path: Path
) -> None:
    port = free_port()
    node = Address(port=port, ae_title="AINODE")
    settings = OrthancSettings(modalities=[("node", node)], ae_title="PACS")
    desks: list[Desk] = []
    with (
        running_orthanc(tmp_path / "orthanc", settings) as orthanc,
        _reports_go_to(desks, port) as here,
    ):
        desk = make_desk(database, orthanc.address.port, commitment="required")
        desks.append(desk)
        _send_and_lose(desk, orthanc)
        for _ in range(4):
            desk.skip()
            here.clear()
            state = desk.turn()
            if state is WorkState.DONE:
                break
            if desk.row().stage == "sent":
                assert here.wait(30)
        assert desk.row().proof == Proof.COMMITTED
        assert len(orthanc.reports()) == 1


def _send_and_lose(desk: Desk, orthanc: Orthanc) -> None:
    """Send by the destination alone, then delete it there before it is asked for."""
    delivery = desk.claim()
    assert delivery is not None
    sent = delivering.send(desk.outbox, delivery)
    db.sending.mark_sent(desk.database, delivery, sent, now=desk.clock.now())
    for study in orthanc.studies():
        orthanc.rest(f"/studies/{study}", method="DELETE")
    desk.skip(61)
