"""The whole way of an object by STOW-RS: once there, proven, and never too often."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from config.destinations import DestinationTable
from db.engine import Database
from dicom_node.core.states import Proof, WorkState
from dicom_node.deliver.prover import provers_of
from dicom_node.deliver.stow import StowDestination
from tests.integration.deliver.http_service import answer, raw, running_service
from tests.integration.deliver.stow import said
from tests.integration.prove.desk import Desk, make_desk
from tests.orthanc import OrthancSettings, running_orthanc

FOUND = b'[{"00080018": {"vr": "UI", "Value": ["%s"]}}]'


def _desk(database: Database, url: str, **settings: object) -> Desk:
    """Queue the delivery of a structured report to a DICOMweb service."""
    values = {"name": "pacs", "kind": "stow", "url": url, "timeout_seconds": 5}
    table = DestinationTable.model_validate(values | settings)
    desk = make_desk(database, 1)
    desk.outbox = replace(
        desk.outbox,
        destinations={"pacs": StowDestination(table)},
        provers=provers_of([table], "AINODE"),
    )
    return desk


def test_orthanc_has_it_and_says_so(database: Database, tmp_path: Path) -> None:
    with running_orthanc(tmp_path / "vna", OrthancSettings(dicomweb=True)) as orthanc:
        desk = _desk(database, orthanc.dicomweb, read_back="qido")
        row = desk.run()
        assert len(orthanc.reports()) == 1
    assert (row.state, row.proof, row.status) == (
        WorkState.DONE,
        Proof.VERIFIED,
        200,
    )


def test_it_is_sent_once_and_looked_for_until_it_is_there(database: Database) -> None:
    with running_service(answer(200), answer(200, b"[]")) as service:
        desk = _desk(database, service.url, read_back="qido")
        assert desk.turn() is WorkState.QUEUED
        desk.skip()
        assert desk.turn() is WorkState.QUEUED
        assert [asked.method for asked in service.asked] == ["POST", "GET", "GET"]
    # The archive has indexed it meanwhile.
    with running_service(answer(200, FOUND % desk.uid.encode())) as service:
        settings = {"name": "pacs", "kind": "stow", "url": service.url}
        table = DestinationTable.model_validate(settings | {"read_back": "qido"})
        desk.outbox = replace(desk.outbox, provers=provers_of([table], "AINODE"))
        row = desk.run()
    assert (row.state, row.proof) == (WorkState.DONE, Proof.VERIFIED)


def test_an_answer_that_was_lost_is_no_failure(database: Database) -> None:
    """The archive stored it and died; afterwards it calls it a duplicate."""
    with running_service(raw(b"")) as service:
        desk = _desk(database, service.url)
        assert desk.turn() is WorkState.QUEUED
    duplicate = answer(409, said(failed=[desk.uid], reason=0x0111))
    with running_service(duplicate) as service:
        table = DestinationTable.model_validate(
            {"name": "pacs", "kind": "stow", "url": service.url}
        )
        desk.outbox = replace(
            desk.outbox, destinations={"pacs": StowDestination(table)}
        )
        row = desk.run()
    assert (row.state, row.proof) == (WorkState.DONE, Proof.SENT)
    assert row.chosen == desk.uid


def test_a_service_that_wants_to_be_left_alone_is(database: Database) -> None:
    busy = answer(503, headers=["Retry-After: 600"])
    with running_service(busy, answer(200)) as service:
        desk = _desk(database, service.url)
        begun = desk.clock.now()
        assert desk.turn() is WorkState.QUEUED
        assert desk.row().not_before >= begun + timedelta(seconds=600)
        assert desk.run().state == WorkState.DONE
    assert len(service.asked) == 2


def test_what_is_refused_for_good_is_not_sent_again(database: Database) -> None:
    with running_service(answer(415)) as service:
        desk = _desk(database, service.url)
        assert desk.turn() is WorkState.FAILED
    row = desk.row()
    assert row.status == 415
    assert "HTTP 415" in row.reason
    assert desk.uid not in row.reason
    assert len(service.asked) == 1
