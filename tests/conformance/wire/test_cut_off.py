"""A session cut after every byte: nothing half-received stays, in any sense.

Only our acceptor runs here, so that its threads and descriptors can be counted.
"""

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.conformance.wire.answers import CLOSED, read_pdu
from tests.conformance.wire.datasets import new_uid, small_dataset
from tests.conformance.wire.intended import surprises
from tests.conformance.wire.pair import Dialogue, Pair
from tests.conformance.wire.pdu import (
    ABORT,
    ASSOCIATE_AC,
    CT,
    IMPLICIT,
    RELEASE_RQ,
    VERIFICATION,
    Context,
    Offer,
    Store,
    message,
)
from tests.integration.receive.node import Node, running_node, until

REQUEST = Offer(
    contexts=(
        Context(1, VERIFICATION, (IMPLICIT,)),
        Context(3, CT),
    )
).encode()
# Connections that are open at the same time.
AT_ONCE = 32
Ending = Callable[[socket.socket], None]


def session(uid: str, *, filler: int = 0) -> bytes:
    """Return a store and a release."""
    dataset = small_dataset(uid, filler=filler)
    return message(3, Store(sop_instance_uid=uid).encode(), dataset) + RELEASE_RQ


def half_close(connection: socket.socket) -> None:
    """Say FIN, wait for the acceptor's own."""
    connection.shutdown(socket.SHUT_WR)
    while read_pdu(connection) is not CLOSED:
        pass


def reset(connection: socket.socket) -> None:
    """Say RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def abort(connection: socket.socket) -> None:
    """Say A-ABORT, which in the middle of a PDU is a part of it."""
    connection.sendall(ABORT)


def cut(port: int, sent: bytes) -> socket.socket:
    """Return a connection on which so much of a session was said, and no more."""
    connection = socket.create_connection(("127.0.0.1", port), 20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(sent[: len(REQUEST)])
    if len(sent) >= len(REQUEST):
        assert read_pdu(connection).kind == ASSOCIATE_AC
        connection.sendall(sent[len(REQUEST) :])
    return connection


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Our acceptor alone."""
    folder = tmp_path_factory.mktemp("cut")
    with running_node(folder, max_associations_per_peer=2 * AT_ONCE) as running:
        # Once each way, so that what the acceptor starts for good is there.
        for sent in (REQUEST + session(new_uid()), b"GET / HTTP/1.1"):
            with cut(running.port, sent) as connection:
                half_close(connection)
        until(lambda: len(running.associations) == 2)
        yield running


def belongings() -> tuple[int, int]:
    """Return how many threads and descriptors this process has."""
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


def cut_all(node: Node, sessions: dict[str, bytes], ending: Ending) -> None:
    """Cut a session for each SOP Instance UID; wait until all of them are over."""
    threads, descriptors = belongings()
    every = list(sessions.values())
    for start in range(0, len(every), AT_ONCE):
        some = every[start : start + AT_ONCE]
        for connection in [cut(node.port, sent) for sent in some]:
            with connection:
                ending(connection)
    until(lambda: belongings()[0] <= threads)
    until(lambda: belongings()[1] <= descriptors)


def assert_only(node: Node, allowed: set[str], *, since: int) -> set[str]:
    """Check that nothing is here but whole instances; return the new ones."""
    assert sorted(path.stem for path in node.files()) == sorted(
        received.file_key for received in node.received
    )
    recorded = {str(received.sop_instance_uid) for received in node.received[since:]}
    assert recorded <= allowed
    return recorded


@pytest.mark.parametrize("ending", [half_close, reset, abort])
def test_a_session_cut_after_any_byte_leaves_nothing(
    node: Node, ending: Ending
) -> None:
    since = len(node.received)
    sessions, whole = {}, set()
    for size in range(len(REQUEST + session(new_uid())) + 1):
        uid = new_uid()
        full = REQUEST + session(uid)
        sessions[uid] = full[:size]
        if size >= len(full) - len(RELEASE_RQ):
            whole.add(uid)
    cut_all(node, sessions, ending)
    recorded = assert_only(node, whole, since=since)
    if ending is half_close:
        assert recorded == whole, "what was received to its end is kept"


@pytest.mark.parametrize("ending", [half_close, reset, abort])
def test_a_long_data_set_cut_anywhere_leaves_nothing(
    node: Node, ending: Ending
) -> None:
    since = len(node.received)
    sessions = {}
    for size in range(1, 300_000, 9973):
        uid = new_uid()
        sessions[uid] = REQUEST + session(uid, filler=300_000)[:size]
    cut_all(node, sessions, ending)
    assert_only(node, set(), since=since)


def test_the_acceptor_serves_as_before_after_all_cuts(node: Node) -> None:
    uid = new_uid()
    connection = cut(node.port, REQUEST + session(uid))
    with connection:
        assert [read_pdu(connection).kind for _ in range(2)] == [4, 6]
    assert str(node.received[-1].sop_instance_uid) == uid


def cuts_around_boundaries() -> list[int]:
    """Return lengths of a session cut at, before and after each of its headers."""
    uid = new_uid()
    command = Store(sop_instance_uid=uid).encode()
    ends = [0, 6, 12, 12 + 12, 12 + len(command)]
    ends += [ends[-1] + size for size in (6, 12, 20)]
    return sorted({end + step for end in ends for step in (-1, 0, 1)} - {-1})


@pytest.mark.parametrize("size", cuts_around_boundaries())
def test_a_cut_session_is_answered_as_pynetdicom_answers_it(
    pair: Pair, size: int
) -> None:
    sent = session(new_uid())[:size]
    difference = pair.differ(Dialogue(sent=[sent] if sent else [], ending=None))
    assert surprises("a cut session", difference) == []
