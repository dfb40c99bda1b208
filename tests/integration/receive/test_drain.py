"""Shutting down: nobody new, nobody cut in the middle."""

import threading
from pathlib import Path

from dicom_node.receive.acceptor import Acceptor
from dicom_node.receive.options import ReceiveOptions
from tests.integration.receive.node import Node, until
from tests.integration.receive.test_hostile import (
    CONTEXTS,
    CT_BYTES,
    CT_UID,
)
from tests.integration.receive.wire import (
    CT,
    P_DATA,
    STORE_RQ,
    RawPeer,
    command,
    pdu,
    pdv,
)


def start(tmp_path: Path) -> tuple[Acceptor, Node]:
    node = Node(tmp_path)
    acceptor = Acceptor(ReceiveOptions(), node.parts())
    _, node.port = acceptor.start()
    return acceptor, node


def test_an_idle_node_stops_at_once_and_the_port_is_free(tmp_path: Path) -> None:
    acceptor, node = start(tmp_path)
    assert acceptor.drain(5)
    again = Acceptor(ReceiveOptions(port=node.port), node.parts())
    assert again.start()[1] == node.port
    assert again.drain(5)


def test_a_store_in_progress_is_finished_while_draining(tmp_path: Path) -> None:
    acceptor, node = start(tmp_path)
    peer = RawPeer.connect(node.port)
    peer.associate(CONTEXTS)
    head = command(STORE_RQ, sop_class=CT, instance=CT_UID, dataset=True)
    peer.connection.sendall(pdu(P_DATA, pdv(3, 3, head)))
    peer.connection.sendall(pdu(P_DATA, pdv(3, 0, CT_BYTES[:10000])))
    drained: list[bool] = []
    stopping = threading.Thread(target=lambda: drained.append(acceptor.drain(20)))
    stopping.start()
    until(lambda: refused(node.port))
    for start_at in range(10000, len(CT_BYTES), 10000):
        block = CT_BYTES[start_at : start_at + 10000]
        last = 2 if start_at + 10000 >= len(CT_BYTES) else 0
        peer.connection.sendall(pdu(P_DATA, pdv(3, last, block)))
    assert peer.status() == 0
    peer.connection.sendall(pdu(5, bytes(4)))
    peer.close()
    stopping.join(20)
    assert drained == [True]
    assert len(node.files()) == 1


def refused(port: int) -> bool:
    try:
        RawPeer.connect(port).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # the listener closed in the middle of this
        return False
    return False


def test_what_does_not_end_in_time_is_cut_and_told(tmp_path: Path) -> None:
    acceptor, node = start(tmp_path)
    peer = RawPeer.connect(node.port)
    peer.associate(CONTEXTS)
    head = command(STORE_RQ, sop_class=CT, instance=CT_UID, dataset=True)
    peer.connection.sendall(pdu(P_DATA, pdv(3, 3, head)))
    assert not acceptor.drain(0.3)
    until(lambda: len(node.associations) == 1)
    assert node.associations[0].reason == "aborted: the node is shutting down"
