"""What the records say of a sender that leaves in the middle of a message."""

from pathlib import Path

import pytest

from tests.integration.receive.node import running_node, until
from tests.integration.receive.test_hostile import CT_BYTES, CT_UID, associated
from tests.integration.receive.wire import (
    CT,
    ECHO_RQ,
    STORE_RQ,
    VERIFICATION,
    command,
    message,
    pdu,
)

RELEASE_RQ, ABORT = pdu(5, bytes(4)), pdu(7, bytes(4))
STORE = message(
    3, command(STORE_RQ, sop_class=CT, instance=CT_UID, dataset=True), CT_BYTES
)
# Up to the end of a PDU: of the command, and of the first fragment of the data set.
COMMAND_BYTES = STORE.index(CT_BYTES[:64]) - 12
ECHO = message(1, command(ECHO_RQ, sop_class=VERIFICATION))


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (RELEASE_RQ, "released in the middle of a message"),
        (ABORT, "aborted by the sender in the middle of a message"),
        (b"", "connection closed by the sender in the middle of a message"),
    ],
    ids=["released", "aborted", "closed"],
)
@pytest.mark.parametrize("cut", [COMMAND_BYTES, COMMAND_BYTES + 12 + 16_000])
def test_an_image_that_does_not_come_to_its_end_is_told(
    tmp_path: Path, cut: int, end: bytes, told: str
) -> None:
    with running_node(tmp_path) as node:
        peer = associated(node)
        peer.connection.sendall(STORE[:cut] + end)
        peer.close()
        until(lambda: len(node.associations) == 1)
        assert node.associations[0].reason == told
        assert node.associations[0].instances == 0
        assert node.files() == []


@pytest.mark.parametrize(
    ("end", "told"),
    [
        (RELEASE_RQ, "released"),
        (ABORT, "aborted by the sender"),
        (b"", "connection closed by the sender"),
    ],
    ids=["released", "aborted", "closed"],
)
def test_between_two_messages_nothing_more_is_told(
    tmp_path: Path, end: bytes, told: str
) -> None:
    with running_node(tmp_path) as node:
        peer = associated(node)
        for whole in (ECHO, STORE):
            peer.connection.sendall(whole)
            assert peer.status() == 0
        peer.connection.sendall(end)
        peer.close()
        until(lambda: len(node.associations) == 1)
        assert node.associations[0].reason == told
        assert node.ends == ["released" if end == RELEASE_RQ else "aborted"]
