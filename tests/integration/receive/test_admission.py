"""Strangers hear the standard's reason, and the record says more."""

from pathlib import Path

import pytest

from dicom_node.receive.admission import Peer
from dicom_node.receive.congestion import LOW_DISK, Congestion, Supplies
from tests.integration.receive.node import running_node, until
from tests.integration.receive.wire import (
    A_ASSOCIATE_AC,
    A_ASSOCIATE_RJ,
    IMPLICIT,
    VERIFICATION,
    RawPeer,
    associate_rq,
)

CONTEXTS = {1: (VERIFICATION, IMPLICIT)}
PEERS = (Peer("CT1", "127.0.0.0/30"), Peer("MR1", "localhost"), Peer("DX1"))


@pytest.mark.parametrize(
    ("calling", "called", "source", "codes", "reason"),
    [
        ("CT1", "AINODE", "127.0.0.1", None, ""),
        ("CT1", "AICHEST", "127.0.0.3", None, ""),
        ("MR1", "AINODE", "127.0.0.1", None, ""),
        ("DX1", "AINODE", "127.0.0.77", None, ""),
        ("CT1", "AINODE", "127.0.0.4", (1, 1, 3), "not from this address"),
        ("MR1", "AINODE", "127.0.0.2", (1, 1, 3), "not from this address"),
        ("CT2", "AINODE", "127.0.0.1", (1, 1, 3), "calling AE title not recognized"),
        ("CT1", "AINODE2", "127.0.0.1", (1, 1, 7), "called AE title not recognized"),
        ("CT1", "ainode", "127.0.0.1", (1, 1, 7), "called AE title not recognized"),
    ],
)
def test_a_caller_is_let_in_or_hears_why_not(
    tmp_path: Path,
    calling: str,
    called: str,
    source: str,
    codes: tuple[int, int, int] | None,
    reason: str,
) -> None:
    with running_node(tmp_path, peers=PEERS, called=("AICHEST",)) as node:
        peer = RawPeer.connect(node.port, source=source)
        request = associate_rq(CONTEXTS, called=called, calling=calling)
        peer.connection.sendall(request)
        kind, body = peer.read()
        if codes is None:
            assert kind == A_ASSOCIATE_AC
            return
        assert kind == A_ASSOCIATE_RJ
        assert tuple(body[1:4]) == codes
        peer.close()
        until(lambda: bool(node.associations))
        (record,) = node.associations
        assert not record.accepted
        assert record.reason.endswith(reason)
        assert record.calling_ae_title == calling
        assert record.called_ae_title == called
        assert record.peer_address == source
        (context,) = record.refused_contexts
        assert context.sop_class_uid == VERIFICATION
        assert context.transfer_syntax_uids == (IMPLICIT,)


def test_who_waits_without_asking_is_told_of_in_the_records(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        peer = RawPeer.connect(node.port)
        peer.connection.sendall(b"\x16\x03\x01")
        assert peer.read() == (0, b"")
        until(lambda: bool(node.associations))
        (record,) = node.associations
        assert not record.accepted
        assert record.reason == "TLS on the port without TLS"
        assert record.peer_address == "127.0.0.1"


def test_who_says_nothing_leaves_no_record(tmp_path: Path) -> None:
    with running_node(tmp_path, acse_timeout_seconds=0.3) as node:
        silent = RawPeer.connect(node.port)
        assert silent.read() == (0, b"")
        assert node.associations == []


def test_a_node_short_of_disk_rejects_as_congested_until_there_is_space(
    tmp_path: Path,
) -> None:
    free = [0]
    supplies = Supplies(
        min_free_bytes=1000,
        free_bytes=lambda: free[0],
        takes_writes=lambda: True,
        after_seconds=0,
    )
    with running_node(tmp_path, congestion=Congestion(supplies)) as node:
        peer = RawPeer.connect(node.port)
        peer.connection.sendall(associate_rq(CONTEXTS))
        kind, body = peer.read()
        assert kind == A_ASSOCIATE_RJ
        # PS3.8 9.3.4: transient, service provider (presentation), temporary congestion
        assert tuple(body[1:4]) == (2, 3, 1)
        peer.close()
        until(lambda: bool(node.associations))
        assert node.associations[0].reason == LOW_DISK
        free[0] = 2000
        until(lambda: _lets_in(node.port))


def _lets_in(port: int) -> bool:
    peer = RawPeer.connect(port)
    peer.connection.sendall(associate_rq(CONTEXTS))
    kind, _ = peer.read()
    peer.close()
    return kind == A_ASSOCIATE_AC
