"""Nothing unsound leaves, and nothing is asked of a destination that is down."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from config.settings import Settings
from db import breaker
from db.breaker import Breaker
from db.engine import Database
from db.revive import Choice, put_back
from dicom_node.core.errors import DeliveryError
from dicom_node.core.states import ReportKind, WorkState
from dicom_node.core.types import ReportFile
from dicom_node.deliver.store_scu import DicomDestination
from dicom_node.report.leaving import faults_in
from dicom_node.service import delivery_loop
from dicom_node.stop import Stop
from tests.integration.deliver.peers import (
    ENHANCED,
    Behaviour,
    make_report,
    running_peer,
)
from tests.integration.prove.archive import Habits, running_archive
from tests.integration.prove.desk import make_desk
from tests.integration.prove.dying import die_at
from tests.peers import free_port


def test_a_faulty_object_is_quarantined_and_never_leaves(database: Database) -> None:
    with running_archive(Habits()) as archive:
        desk = make_desk(database, archive.port, faults=faults_in)
        assert desk.turn() is WorkState.FAILED
        assert desk.row().stage == "quarantined"
        assert desk.row().reason.startswith("quarantined, never sent: ")
        assert put_back(database, Choice(), now=desk.clock.now()).quarantined == 1
        desk.skip(10)
        assert desk.turn() is None
    assert archive.stored == []


def test_an_object_is_looked_at_on_every_attempt(database: Database) -> None:
    seen: list[ReportKind] = []

    def look(kind: ReportKind, file: ReportFile) -> Sequence[str]:
        seen.append(kind)
        return ["PatientID is missing"] if len(seen) > 1 else ()

    with running_archive(Habits(store_statuses=[0xA700])) as archive:
        desk = make_desk(database, archive.port, faults=look)
        assert desk.turn() is WorkState.QUEUED
        desk.skip()
        assert desk.turn() is WorkState.FAILED
    assert seen == [ReportKind.SR, ReportKind.SR]
    assert len(archive.stored) == 1


def test_a_file_that_is_not_what_was_recorded_is_faulty(tmp_path: Path) -> None:
    first = make_report(tmp_path)
    make_report(tmp_path)  # another one under the same file name
    faults = faults_in(ReportKind.SR, first)
    assert "SOPInstanceUID is not the one that was recorded" in faults
    first.path.write_bytes(b"DICM")
    assert faults_in(ReportKind.SR, first) == ("its file is no DICOM file (PS3.10)",)
    assert faults_in(ReportKind.HL7, first) == ()


def test_a_destination_that_was_down_gets_everything_once_when_it_is_back(
    database: Database,
) -> None:
    port = free_port()
    desk = make_desk(database, port)
    for _ in range(3):
        desk.skip()
        assert desk.turn() is WorkState.QUEUED
    (state,) = breaker.states(database, now=desk.clock.now())
    assert (state.breaker, state.failures) == (Breaker.OPEN, 3)
    assert state.reason is not None
    assert "nothing listens there" in state.reason
    assert state.open_until is not None
    desk.skip()
    with running_archive(Habits(port=port)) as archive:
        if desk.clock.now() < state.open_until:
            assert desk.turn() is None
            desk.clock.time = state.open_until
        assert desk.turn() is WorkState.DONE
    assert archive.stored == [desk.uid]
    assert desk.row().attempt == 4
    (state,) = breaker.states(database, now=desk.clock.now())
    assert (state.breaker, state.failures) == (Breaker.CLOSED, 0)


def test_a_breaker_that_is_open_stays_so_over_a_restart_and_a_death(
    database: Database, url: str
) -> None:
    port = free_port()
    desk = make_desk(database, port)
    for _ in range(3):
        desk.skip()
        assert desk.turn() is WorkState.QUEUED
    (state,) = breaker.states(database, now=desk.clock.now())
    assert state.open_until is not None
    assert desk.clock.now() < state.open_until
    with running_archive(Habits(port=port)) as archive:
        assert not die_at("before it is sent", desk, url)  # it is given nothing
        desk.clock.time = max(state.open_until, desk.row().not_before)
        assert die_at("after the C-STORE-RSP", desk, url)
        assert desk.turn() is None
        desk.skip(61)
        assert desk.turn() is WorkState.DONE
        assert archive.stored == [desk.uid, desk.uid]  # one object, acknowledged once
    (state,) = breaker.states(database, now=desk.clock.now())
    assert state.breaker is Breaker.CLOSED


def test_an_archive_that_ends_in_the_middle_gets_the_same_object_again(
    database: Database,
) -> None:
    with running_peer(Behaviour(drop_before_status=True)) as (port, received):
        desk = make_desk(database, port)
        assert desk.turn() is WorkState.QUEUED
    with running_archive(Habits(port=port)) as archive:
        row = desk.run()
    assert row.state == WorkState.DONE
    assert archive.stored == received.uids == [desk.uid]


def test_a_class_that_is_refused_for_good_fails_once_with_the_setting(
    database: Database,
) -> None:
    with running_peer(Behaviour(classes=[ENHANCED])) as (port, _):
        desk = make_desk(database, port)
        assert desk.turn() is WorkState.FAILED
    assert "sr_classes of destination 'pacs'" in desk.row().reason
    assert desk.row().attempt == 1


@dataclass
class OneTurn:
    """Counts nothing, and asks the loop to end after its first turn."""

    stop: Stop

    def delivery_tried(
        self, _destination: str, _state: WorkState, *, waited_seconds: float
    ) -> None:
        del waited_seconds
        self.stop.set()


@pytest.mark.parametrize(("answers", "level"), [(True, "INFO"), (False, "WARNING")])
def test_a_delivery_that_is_given_up_is_no_mere_information_in_the_log(
    database: Database,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    answers: bool,
    level: str,
) -> None:
    settings = Settings.model_validate({"node": {"data_dir": tmp_path}})
    settings.bells_dir.mkdir(parents=True)
    stop = Stop()
    behaviour = Behaviour() if answers else Behaviour(classes=[ENHANCED])
    with running_peer(behaviour) as (port, _), caplog.at_level(logging.INFO):
        desk = make_desk(database, port)
        outbox = replace(desk.outbox, counters=OneTurn(stop))
        delivery_loop(settings, outbox, clock=desk.clock, stop=stop)
    (said,) = [r for r in caplog.records if r.message == "delivery tried"]
    assert said.levelname == level


def test_the_probe_names_commitment_and_query(database: Database) -> None:
    with running_archive(Habits()) as archive:
        desk = make_desk(
            database, archive.port, commitment="wanted", read_back="c-find"
        )
        destination = desk.outbox.destinations["pacs"]
        assert isinstance(destination, DicomDestination)
        probe = destination.probe()
    assert probe.faults == ()
    used = {offer.kind: offer.what for offer in probe.offers if offer.used}
    assert used["sr"] == "Comprehensive 3D SR Storage"
    assert used["sc"] == "Secondary Capture Image Storage"
    assert used["commitment"] == "Storage Commitment Push Model SOP Class"
    assert used["c-find"].startswith("Study Root")


def test_the_probe_says_what_is_wanted_and_not_offered(database: Database) -> None:
    with running_archive(Habits(commits=False, queries=False)) as archive:
        desk = make_desk(
            database, archive.port, commitment="wanted", read_back="c-find"
        )
        destination = desk.outbox.destinations["pacs"]
        with pytest.raises(DeliveryError) as refused:
            destination.check()
    assert "offers no Storage Commitment" in str(refused.value)
    assert "answers no C-FIND" in str(refused.value)
