"""Peers that are broken or hostile: the node answers, forgets them, serves the next.

The ids are those of the attack list in the reliability notes.
"""

import socket
import struct
import threading
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicom_node.receive.scan import ScanLimits
from tests.integration.receive.node import Node, dataset_bytes, running_node, until
from tests.integration.receive.wire import (
    A_ABORT,
    A_ASSOCIATE_RJ,
    CT,
    ECHO_RQ,
    EXPLICIT,
    IMPLICIT,
    P_DATA,
    STORE_RQ,
    VERIFICATION,
    RawPeer,
    associate_rq,
    command,
    message,
    pdu,
    pdv,
)

CT_FILE = Path(str(get_testdata_file("CT_small.dcm")))
CT_BYTES, _ = dataset_bytes(CT_FILE)
CT_UID = str(dcmread(CT_FILE, stop_before_pixels=True).SOPInstanceUID)
CONTEXTS = {1: (VERIFICATION, IMPLICIT), 3: (CT, EXPLICIT)}


def store(
    peer: RawPeer,
    dataset: bytes = CT_BYTES,
    *,
    context: int = 3,
    sop_class: str = CT,
    instance: str = CT_UID,
) -> int | None:
    head = command(STORE_RQ, sop_class=sop_class, instance=instance, dataset=True)
    peer.connection.sendall(message(context, head, dataset))
    return peer.status()


def associated(node: Node) -> RawPeer:
    peer = RawPeer.connect(node.port)
    peer.associate(CONTEXTS)
    return peer


def serves(node: Node, *, source: str = "127.0.0.2") -> bool:
    """Say whether a well-behaved peer at another address gets its echo."""
    peer = RawPeer.connect(node.port, source=source)
    peer.associate(CONTEXTS)
    peer.connection.sendall(message(1, command(ECHO_RQ, sop_class=VERIFICATION)))
    status = peer.status()
    peer.close()
    return status == 0


def test_b1_a_path_as_uid_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    sent = CT_BYTES.replace(CT_UID.encode(), b"../" * (len(CT_UID) // 3))
    with running_node(tmp_path / "in") as node:
        peer = associated(node)
        status = store(peer, sent, instance="../" * (len(CT_UID) // 3))
        assert status is None or status & 0xF000 == 0xC000
        peer.close()
        assert serves(node)
        assert node.files() == []
    assert [path.name for path in tmp_path.iterdir()] in ([], ["in"])


@pytest.mark.parametrize("before", [True, False])
def test_b2_a_pdu_that_claims_4_gib_ends_the_connection(
    tmp_path: Path, before: bool
) -> None:
    with running_node(tmp_path) as node:
        peer = RawPeer.connect(node.port) if before else associated(node)
        kind = 1 if before else P_DATA
        peer.connection.sendall(struct.pack(">BBI", kind, 0, 0xFFFFFFF0))
        assert peer.read()[0] in (0, A_ABORT)
        assert serves(node)


def test_b3_b5_b6_silent_and_vanishing_connections_lock_nobody_out(
    tmp_path: Path,
) -> None:
    with running_node(tmp_path) as node:
        threads = threading.active_count()
        silent = [RawPeer.connect(node.port) for _ in range(200)]
        for peer in silent[:50]:
            peer.connection.sendall(b"\1\0\0")
        for _ in range(50):
            RawPeer.connect(node.port).close()
        assert serves(node)
        assert serves(node, source="127.0.0.1")
        assert threading.active_count() <= threads + 4
        for peer in silent:
            peer.close()


def test_b4_a_request_that_never_ends_is_dropped(tmp_path: Path) -> None:
    with running_node(tmp_path, acse_timeout_seconds=0.5) as node:
        peer = RawPeer.connect(node.port)
        peer.connection.sendall(associate_rq(CONTEXTS)[:40])
        assert peer.read()[0] == 0
        assert serves(node)


def test_b7_idle_associations_of_one_address_leave_room_for_others(
    tmp_path: Path,
) -> None:
    with running_node(
        tmp_path, max_associations=8, max_associations_per_peer=4
    ) as node:
        held = [associated(node) for _ in range(4)]
        refused = RawPeer.connect(node.port)
        refused.connection.sendall(associate_rq(CONTEXTS))
        kind, body = refused.read()
        assert kind == A_ASSOCIATE_RJ
        assert tuple(body[1:4]) == (2, 3, 2)
        assert serves(node)
        for peer in held:
            peer.close()
        until(lambda: len(node.associations) >= 5)
        assert serves(node, source="127.0.0.1"), "a place is given back"


def test_b8_a_data_set_without_end_is_cut(tmp_path: Path) -> None:
    with running_node(tmp_path, max_instance_bytes=1 << 20) as node:
        peer = associated(node)
        head = command(STORE_RQ, sop_class=CT, instance=CT_UID, dataset=True)
        block = pdu(P_DATA, pdv(3, 0, bytes(16000)))
        try:
            peer.connection.sendall(pdu(P_DATA, pdv(3, 3, head)))
            for _ in range(200):
                peer.connection.sendall(block)
        except ConnectionError:
            pass
        assert peer.read()[0] in (0, P_DATA), "0xA700, unless the reset was faster"
        assert peer.read()[0] in (0, A_ABORT)
        assert serves(node)
        assert node.files() == []


def test_b9_millions_of_empty_elements_are_refused(tmp_path: Path) -> None:
    elements = b"".join(
        struct.pack("<HH2sH", 0x0009, number, b"LO", 0) for number in range(0xFFFF)
    )
    with running_node(tmp_path) as node:
        peer = associated(node)
        assert store(peer, elements) == 0xC000
        assert serves(node)


def test_b17_class_context_and_uids_must_agree(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        peer = associated(node)
        assert store(peer, context=1) == 0x0122
        assert store(peer, sop_class="1.2.840.10008.5.1.4.1.1.4") == 0x0122
        assert store(peer, instance="1.2.3") == 0xA900
        assert store(peer) == 0
        peer.close()
        until(lambda: bool(node.associations))
        assert node.associations[0].refused_instances == 3
        assert node.associations[0].instances == 1


@pytest.mark.parametrize("cut", [0, 1, 7, 200, len(CT_BYTES) - 1])
def test_b18_a_data_set_that_is_cut_off_is_refused(tmp_path: Path, cut: int) -> None:
    with running_node(tmp_path) as node:
        peer = associated(node)
        assert store(peer, CT_BYTES[:cut]) == 0xC000
        assert node.files() == []


@pytest.mark.parametrize(
    "sent",
    [
        pdu(P_DATA, b""),
        pdu(P_DATA, pdv(1, 3, b"")),
        pdu(P_DATA, struct.pack(">IB", 1, 1)),
        pdu(P_DATA, pdv(1, 3, command(0x7777, sop_class=VERIFICATION))),
        pdu(P_DATA, pdv(1, 3, b"\0" * 40)),
        pdu(P_DATA, pdv(99, 3, command(ECHO_RQ, sop_class=VERIFICATION))),
        pdu(P_DATA, pdv(3, 2, CT_BYTES[:100])),
        pdu(P_DATA, pdv(3, 3, command(0x0020, sop_class=CT))),
        pdu(P_DATA, pdv(1, 3, command(0x8001, sop_class=CT))),
        pdu(2, bytes(80)),
        pdu(1, bytes(80)),
        pdu(9, b"unknown"),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=range(13),
)
def test_b19_nonsense_ends_one_association_only(tmp_path: Path, sent: bytes) -> None:
    with running_node(tmp_path) as node:
        peer = associated(node)
        peer.connection.sendall(sent)
        peer.connection.shutdown(socket.SHUT_WR)
        assert peer.read()[0] in (0, A_ABORT)
        peer.close()
        until(lambda: len(node.associations) == 1)
        assert serves(node)
        until(lambda: not [t for t in threading.enumerate() if "assoc" in t.name])


def test_a_connection_cut_at_any_byte_leaves_nothing(tmp_path: Path) -> None:
    head = command(STORE_RQ, sop_class=CT, instance=CT_UID, dataset=True)
    whole = message(3, head, CT_BYTES)
    cuts = sorted({*range(0, 12), *range(12, len(whole) - 1, 2111), len(whole) - 1})
    with running_node(tmp_path) as node:
        threads = threading.active_count()
        for cut in cuts:
            peer = associated(node)
            peer.connection.sendall(whole[:cut])
            reset = struct.pack("ii", 1, 0)
            peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            peer.close()
        until(lambda: len(node.associations) == len(cuts))
        assert node.files() == []
        assert node.received == []
        until(lambda: threading.active_count() <= threads)
        assert serves(node)


def test_pipelined_messages_are_all_answered(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        peer = associated(node)
        echo = message(1, command(ECHO_RQ, sop_class=VERIFICATION))
        peer.connection.sendall(echo * 50)
        assert [peer.status() for _ in range(50)] == [0] * 50
        one = pdv(1, 3, command(ECHO_RQ, sop_class=VERIFICATION))
        peer.connection.sendall(pdu(P_DATA, one * 3))
        assert [peer.status() for _ in range(3)] == [0] * 3


def test_an_idle_association_is_ended(tmp_path: Path) -> None:
    with running_node(tmp_path, network_timeout_seconds=0.5) as node:
        peer = associated(node)
        assert peer.read()[0] == A_ABORT
        assert peer.read()[0] == 0
        until(lambda: len(node.associations) == 1)


def test_deep_nesting_is_refused_at_the_limit(tmp_path: Path) -> None:
    nested = b"".join(
        struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
        + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
        for _ in range(9)
    )
    with running_node(tmp_path, scan=ScanLimits(max_depth=8)) as node:
        peer = associated(node)
        assert store(peer, nested) == 0xC000
        assert serves(node)


def test_an_abort_reaches_a_sender_that_is_still_sending(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        peer = RawPeer.connect(node.port)
        peer.associate({1: (CT, EXPLICIT)})
        peer.connection.sendall(pdu(9, b"") + bytes(300_000))
        kind, _ = peer.read()
        assert kind == A_ABORT
        # A reset would take the abort away from a sender that has not read it yet.
        assert peer.connection.recv(1) == b""
        peer.connection.sendall(bytes(300_000))
        peer.close()
        until(lambda: bool(node.associations), seconds=3)


@pytest.mark.parametrize(
    ("associated", "sent"),
    [(True, pdu(9, b"")), (False, pdu(1, bytes(68) + b"\x20\x00\xff\xff"))],
    ids=["unknown PDU", "broken request"],
)
def test_a_sender_that_does_not_hear_its_abort_is_not_waited_for_long(
    tmp_path: Path, associated: bool, sent: bytes
) -> None:
    with running_node(tmp_path) as node:
        peer = RawPeer.connect(node.port)
        if associated:
            peer.associate({1: (CT, EXPLICIT)})
        peer.connection.sendall(sent)
        until(lambda: bool(node.associations), seconds=4)
        assert node.associations[0].reason.startswith("aborted")
