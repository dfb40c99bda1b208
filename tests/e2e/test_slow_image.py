"""An image that takes longer than the quiet time belongs to its study all the same."""

import time

import pytest
from pydicom import Dataset
from pynetdicom.dsutils import encode

from tests.e2e.conftest import StartNode
from tests.e2e.images import Sender, make_radiograph, new_study_uid
from tests.e2e.node import NodeSettings
from tests.e2e.pacs import StandInPacs
from tests.faults.processes import let_pass
from tests.integration.receive.wire import (
    EXPLICIT,
    STORE_RQ,
    RawPeer,
    command,
    message,
)

QUIET_SECONDS = 1.0
DRIP_SECONDS = 4.0
DRIPS = 80


def _drip(port: int, image: Dataset) -> int | None:
    """Send an image in small pieces over `DRIP_SECONDS`; return its status."""
    sop_class = str(image.SOPClassUID)
    peer = RawPeer.connect(port)
    peer.associate({1: (sop_class, EXPLICIT)})
    request = command(
        STORE_RQ,
        sop_class=sop_class,
        instance=str(image.SOPInstanceUID),
        dataset=True,
    )
    sent = message(1, request, encode(image, False, True))
    piece = -(-len(sent) // DRIPS)
    begun = time.monotonic()
    for number in range(DRIPS):
        peer.connection.sendall(sent[number * piece : (number + 1) * piece])
        behind = begun + (number + 1) * DRIP_SECONDS / DRIPS - time.monotonic()
        let_pass(max(0.0, behind))
    return peer.status()


@pytest.mark.slow
def test_an_image_slower_than_the_quiet_time_makes_no_second_report(
    settings: NodeSettings, start_node: StartNode, pacs: StandInPacs
) -> None:
    assert settings.quiet_seconds == QUIET_SECONDS
    node = start_node(settings)
    study = new_study_uid()
    first, slow = (make_radiograph(study, number=number) for number in (1, 2))
    Sender(node.address).send([first])
    assert _drip(node.address.port, slow) == 0
    found = node.wait_settled(study)[study]
    assert (found["revision"], found["instances"]) == (1, 2)
    assert len(pacs.of_study(study)) == 1
