"""A PACS that refuses the SR class it negotiated gets another one, if told so."""

from dataclasses import replace

import pytest

from db.engine import Database
from db.revive import Choice, put_back
from dicom_node.core.states import WorkState
from dicom_node.deliver.store_scu import DicomDestination
from tests.integration.deliver.peers import (
    COMPREHENSIVE,
    COMPREHENSIVE_3D,
    Behaviour,
    running_peer,
)
from tests.integration.prove.desk import Desk, make_desk


def _retry_as(desk: Desk, *sr_classes: str) -> WorkState | None:
    """Change sr_classes as the refusal says, then `dicom-node retry`."""
    table = desk.table.model_copy(update={"sr_classes": sr_classes})
    pacs = DicomDestination(table, "AINODE")
    desk.outbox = replace(desk.outbox, destinations={"pacs": pacs})
    put_back(desk.database, Choice(), now=desk.clock.now())
    return desk.turn()


@pytest.mark.parametrize("status", [0x0122, 0xA900, 0xC000])
def test_a_refused_sr_class_gives_way_to_the_one_that_is_configured_then(
    database: Database, status: int
) -> None:
    with running_peer(Behaviour(statuses=[status, 0x0000])) as (port, received):
        desk = make_desk(database, port, written_as=[COMPREHENSIVE_3D, COMPREHENSIVE])
        assert desk.turn() is WorkState.FAILED
        assert desk.row().chosen == desk.uid
        assert _retry_as(desk, "comprehensive") is WorkState.DONE
    assert received.uids == [desk.uid, desk.row().chosen]
    assert desk.uid != desk.row().chosen


def test_what_may_have_been_stored_never_gives_way_to_another_object(
    database: Database,
) -> None:
    peer = Behaviour(drop_before_status=True)
    with running_peer(peer) as (port, received):
        desk = make_desk(database, port, written_as=[COMPREHENSIVE_3D, COMPREHENSIVE])
        assert desk.turn() is WorkState.QUEUED
        desk.skip()
        peer.drop_before_status = False
        assert _retry_as(desk, "comprehensive") is WorkState.FAILED
    assert received.uids == [desk.uid]
    assert "not what an earlier attempt sent" in desk.row().reason
