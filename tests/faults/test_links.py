"""Senders that vanish, crawl, stall or come in hundreds (F07, F16, F18).

One node with short timeouts for all of them; after each fault it must hold what it
held before, and another sender must have been served meanwhile.
"""

import contextlib
import random
import socket
import time
from collections.abc import Iterator

import pytest

from tests.faults import checker
from tests.faults.harness import FaultNode
from tests.faults.instances import make_study
from tests.faults.processes import Resources, let_pass, watched_peak
from tests.faults.rows import ROUNDS, SEED, fault_row
from tests.faults.senders import RESET, Association, SenderLog, store_message
from tests.integration.receive.wire import A_ABORT, associate_rq
from tests.peers import wait_until

TIMEOUT_SECONDS = 2.0
# From the end of a timeout to the last descriptor closed, on a busy machine.
SLACK_SECONDS = 6.0
SERVED_SECONDS = 2.0
CUTS = 20 * ROUNDS
CROWD = 300


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultNode]:
    """A node with short timeouts, used once so that its pools are full."""
    node = FaultNode(
        folder=tmp_path_factory.mktemp("links"),
        own_interpreter=True,
        tables={
            "receive": {
                "acse_timeout_seconds": TIMEOUT_SECONDS,
                "dimse_timeout_seconds": TIMEOUT_SECONDS,
                "network_timeout_seconds": TIMEOUT_SECONDS,
                "min_bytes_per_second": 4000,
            }
        },
    ).start()
    node.warm_up(SenderLog())
    yield node
    node.kill()


@pytest.fixture
def before(node: FaultNode) -> Resources:
    """What the node holds while nobody is connected."""
    return node.settled()


@pytest.mark.parametrize("ending", ["close", "reset"])
def test_a_sender_that_drops_at_any_byte_leaves_nothing(
    node: FaultNode, log: SenderLog, before: Resources, ending: str
) -> None:
    with fault_row(
        "F07",
        fault="sender drops in mid-PDU, mid-data set or before its release",
        how=f"{CUTS} seeded random bytes of a 0.2 MB C-STORE, then {ending}",
        expected="nothing visible, no thread, descriptor or part file left",
    ) as measured:
        dice = random.Random(f"{SEED}{ending}")
        kept = len(checker.rows(node))
        for _ in range(CUTS):
            instance = make_study(1, size_bytes=200_000)[0]
            whole = store_message(instance)
            association = Association.open(node.port, log)
            with contextlib.suppress(OSError):
                association.connection.sendall(whole[: dice.randrange(len(whole))])
            if ending == "reset":
                association.reset()
            else:
                association.connection.close()
        seconds = node.serve_seconds(log)
        after = node.wait_back_to(before, seconds=10)
        _nothing_partial(node)
        assert len(checker.rows(node)) == kept + 1
        measured |= {"cuts": CUTS, "seconds to serve": seconds}
        measured |= _difference(before, after)


def test_a_sender_that_drops_instead_of_releasing_keeps_what_was_acknowledged(
    node: FaultNode, log: SenderLog, before: Resources
) -> None:
    with fault_row(
        "F07",
        fault="RST after the last 0x0000, before the release",
        how="5 associations of 4 images, each ended by a TCP reset",
        expected="all acknowledged images kept, nothing left of the associations",
    ) as measured:
        for _ in range(5):
            association = Association.open(node.port, log)
            for instance in make_study(4):
                assert association.store(instance) == 0
            association.reset()
        after = node.wait_back_to(before, seconds=10)
        kept = {row.sop_instance_uid for row in checker.rows(node)}
        assert log.acknowledged().keys() <= kept
        measured |= {"acknowledged": 20, "lost": 0, **_difference(before, after)}


def test_a_stalled_sender_loses_its_association_and_nobody_else(
    node: FaultNode, log: SenderLog, before: Resources
) -> None:
    with fault_row(
        "F16",
        fault="10 senders stall: in a PDU header, a PDU, between PDUs, in A-ASSOCIATE",
        how=f"raw sockets; timeouts {TIMEOUT_SECONDS:g} s",
        expected="associations ended after the timeout, others served meanwhile",
    ) as measured:
        stalled = list(_stalled(node, log))
        begun = time.monotonic()
        served = max(node.serve_seconds(log) for _ in range(5))
        assert served < SERVED_SECONDS
        for connection in stalled:
            assert _ended_by_node(connection)
        seconds = time.monotonic() - begun
        assert seconds < TIMEOUT_SECONDS + SLACK_SECONDS
        after = node.wait_back_to(before)
        _nothing_partial(node)
        measured |= {
            "longest wait of a good peer s": served,
            "seconds until all were ended": round(seconds, 2),
            **_difference(before, after),
        }


def _stalled(node: FaultNode, log: SenderLog) -> Iterator[socket.socket]:
    whole = store_message(make_study(1)[0])
    for cut in (3, 20, 200, 220, 16_400, len(whole) - 1):
        association = Association.open(node.port, log)
        association.connection.sendall(whole[:cut])
        yield association.connection
    for request in (b"", b"\1\0", associate_rq({})[:40]):
        connection = socket.create_connection(("127.0.0.1", node.port), timeout=30)
        connection.sendall(request)
        yield connection
    yield Association.open(node.port, log).connection  # associated, then silent


def test_a_slow_sender_above_the_minimum_rate_is_served(
    node: FaultNode, log: SenderLog, before: Resources
) -> None:
    with fault_row(
        "F16",
        fault="a link of 64 kbit/s",
        how="24 kB image at 8,000 bytes/s; min_bytes_per_second 4,000",
        expected="0x0000 in the end; others served meanwhile",
    ) as measured:
        instance = make_study(1, size_bytes=24_000)[0]
        association = Association.open(node.port, log)
        message = store_message(instance)
        begun = time.monotonic()
        served = 0.0
        for start in range(0, len(message), 800):
            association.connection.sendall(message[start : start + 800])
            if start % 8_000 == 0:
                served = max(served, node.serve_seconds(log))
            behind = begun + start / 8_000 - time.monotonic()
            let_pass(max(0.0, behind))
        assert association.peer.status() == 0
        association.release()
        assert served < SERVED_SECONDS
        after = node.wait_back_to(before)
        assert instance.sop_instance_uid in {
            row.sop_instance_uid for row in checker.rows(node)
        }
        measured |= {
            "seconds": round(time.monotonic() - begun, 1),
            "longest wait of a good peer s": served,
            **_difference(before, after),
        }


def test_a_sender_below_the_minimum_rate_is_cut(
    node: FaultNode, log: SenderLog, before: Resources
) -> None:
    with fault_row(
        "F16",
        fault="a sender that drips: never silent, never done",
        how="50 bytes every 0.1 s; min_bytes_per_second 4,000",
        expected="association ended within 10 s, nothing left",
    ) as measured:
        message = store_message(make_study(1, size_bytes=200_000)[0])
        association = Association.open(node.port, log)
        begun = time.monotonic()
        with contextlib.suppress(OSError):
            for start in range(0, len(message), 50):
                association.connection.sendall(message[start : start + 50])
                if time.monotonic() - begun > 30:
                    break
                let_pass(0.1)
        seconds = time.monotonic() - begun
        association.connection.close()
        assert seconds < 10
        after = node.wait_back_to(before)
        _nothing_partial(node)
        measured |= {"seconds until cut": round(seconds, 1)}
        measured |= _difference(before, after)


def test_a_sender_that_never_reads_its_answers_is_slowed_and_then_cut(
    node: FaultNode, log: SenderLog, before: Resources
) -> None:
    with fault_row(
        "F18",
        fault="a sender pipelines and never reads an answer (B13)",
        how="20 MB of C-STORE-RQ on one association, small socket buffers",
        expected="memory bounded, association ended, others served",
    ) as measured:
        association = Association.open(node.port, log)
        connection = association.connection
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(TIMEOUT_SECONDS + SLACK_SECONDS)
        instance = make_study(1, size_bytes=4_000)[0]
        sent = 0
        with watched_peak(node.running.pid) as peak, contextlib.suppress(OSError):
            while sent < 20_000_000:
                message = store_message(instance)
                connection.sendall(message)
                sent += len(message)
        served = node.serve_seconds(log)
        assert served < SERVED_SECONDS
        association.reset()
        after = node.wait_back_to(before, seconds=20)
        grown = peak.memory_mib - before.memory_mib
        assert grown < 64
        measured |= {"sent MB": round(sent / 1e6, 1), "memory peak MiB": round(grown)}
        measured |= _difference(before, after)


def test_hundreds_of_connections_lock_nobody_out(
    node: FaultNode, log: SenderLog, before: Resources
) -> None:
    with fault_row(
        "F18",
        fault=f"{CROWD} connections at once: silent, half a request, vanished",
        how="raw sockets from one address; a good peer at another one",
        expected="good peer served within 2 s; threads, descriptors, memory return",
    ) as measured:
        held = [
            socket.create_connection(("127.0.0.1", node.port), timeout=30)
            for _ in range(CROWD)
        ]
        for number, connection in enumerate(held):
            if number % 3 == 1:
                connection.sendall(b"\1\0\0")
            if number % 3 == 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                connection.close()
        served = [node.serve_seconds(log) for _ in range(3)]
        during = node.resources()
        assert max(served) < SERVED_SECONDS
        assert during.threads <= before.threads + 8
        for number, connection in enumerate(held):
            assert number % 3 == 2 or _ended_by_node(connection)
        after = node.wait_back_to(before)
        measured |= {
            "longest wait of a good peer s": max(served),
            "threads more during": during.threads - before.threads,
            "memory more during MiB": round(during.memory_mib - before.memory_mib, 1),
            **_difference(before, after),
        }


def _nothing_partial(node: FaultNode) -> None:
    wait_until(lambda: checker.snapshot(node).parts == 0, what="no part file is left")
    now = checker.snapshot(node)
    assert now.files.keys() == {row.file_key for row in checker.rows(node)}


def _ended_by_node(connection: socket.socket) -> bool:
    """Read to the end: nothing, or an A-ABORT; say whether the node hung up."""
    connection.settimeout(TIMEOUT_SECONDS + SLACK_SECONDS)
    received = b""
    try:
        while block := connection.recv(4096):
            received += block
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    finally:
        connection.close()
    return not received or received[0] == A_ABORT


def _difference(before: Resources, after: Resources) -> dict[str, int]:
    return {
        "threads left": max(0, after.threads - before.threads),
        "descriptors left": max(0, after.descriptors - before.descriptors),
    }
