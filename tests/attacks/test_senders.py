"""Senders that push, stall or drip within an association."""

import contextlib
import select
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator

from tests.attacks.attack import Plan, attack
from tests.attacks.datasets import INSTANCE, element, image
from tests.attacks.peer import ABORTED, CLOSED, Peer, store_message
from tests.attacks.receiver import MIB, Receiver
from tests.integration.receive.wire import (
    CT,
    ECHO_RQ,
    P_DATA,
    STORE_RQ,
    VERIFICATION,
    command,
    message,
    pdu,
    pdv,
)

MESSAGES = 100


def test_b13_a_sender_that_pipelines_is_slowed_down_by_tcp(receiver: Receiver) -> None:
    plan = Plan(
        id="B13",
        attack=f"{MESSAGES} C-STOREs of 1 MB pipelined while nothing can be committed",
        how="database locked until the sender stalls, then released; answers unread",
        expected="sender stalls after the kernel's buffers, memory flat, all answered",
        peak_bytes=32 * MIB,
    )
    pixels = element(0x7FE00010, b"OW", bytes(1000_000))
    messages = [
        store_message(
            image(f"{INSTANCE}.{number}", pixels=pixels), f"{INSTANCE}.{number}"
        )
        for number in range(MESSAGES)
    ]
    content = memoryview(b"".join(messages))
    with attack(receiver, plan) as seen, Peer(receiver.port) as peer:
        peer.established()
        with locked_database(receiver):
            stalled_at = send_until_stalled(peer, content)
        assert stalled_at < 24 * MIB, "the receiver read on without committing"
        # A socket of its own: a timeout of the reader's must not become the sender's.
        rest = peer.connection.dup()
        rest.settimeout(60)
        sender = threading.Thread(target=rest.sendall, args=(content[stalled_at:],))
        sender.start()
        begun = time.monotonic()
        # All of them share the disk with whatever else runs; none is waited for alone.
        statuses = [peer.answer(within=20).status for _ in messages]
        sender.join()
        rest.close()
        assert statuses == [0] * len(messages)
        seen.saw(
            f"stalled after {stalled_at // MIB} MiB, then all answered in "
            f"{time.monotonic() - begun:.1f} s"
        )


@contextlib.contextmanager
def locked_database(receiver: Receiver) -> Iterator[None]:
    """Let nobody else write to the database."""
    path = receiver.folder / "data" / "node.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield


def send_until_stalled(peer: Peer, content: memoryview) -> int:
    """Send until the receiver has taken nothing for half a second; return how much."""
    sent = 0
    peer.connection.setblocking(False)
    while sent < len(content) and select.select([], [peer.connection], [], 0.5)[1]:
        sent += peer.connection.send(content[sent : sent + MIB])
    return sent


def test_b13_a_sender_that_never_reads_its_answers_is_ended(
    receiver: Receiver,
) -> None:
    plan = Plan(
        id="B13b",
        attack="C-ECHOs without end whose answers are never read",
        how="pipelined until the receiver stops reading; timeout 1.5 s",
        expected="association ended at the timeout, memory flat",
        peak_bytes=32 * MIB,
    )
    with attack(receiver, plan) as seen, Peer(receiver.port) as peer:
        peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        sent, waited = push_until_hung_up(peer.established())
        seen.saw(f"{sent / MIB:.0f} MiB taken, ended {waited:.1f} s after the last")


def push_until_hung_up(peer: Peer) -> tuple[int, float]:
    """Send C-ECHOs as long as they are taken.

    Returns:
        How many bytes were taken, and how long none was before the receiver hung up.
    """
    echo = message(1, command(ECHO_RQ, sop_class=VERIFICATION))
    block = memoryview(echo * (MIB // len(echo)))
    peer.connection.setblocking(False)
    watch = select.poll()
    watch.register(peer.connection, select.POLLOUT | select.POLLRDHUP)
    sent, last = 0, time.monotonic()
    while True:
        events = watch.poll(10000)
        assert events, "the receiver waits for the sender for ever"
        if events[0][1] & ~select.POLLOUT:
            return sent, time.monotonic() - last
        sent += peer.connection.send(block[sent % len(block) :])
        last = time.monotonic()
        assert sent < 256 * MIB, "the receiver takes without end"


def test_f07_a_message_that_is_never_finished_is_ended(receiver: Receiver) -> None:
    plan = Plan(
        id="B8d",
        attack="a C-STORE that stops in the middle, the connection stays open",
        how="behind the command, a fragment, an empty one, in a PDU; timeouts 1.5 s",
        expected="association ended at the timeout, part file removed",
        peak_bytes=16 * MIB,
    )
    head = pdu(
        P_DATA,
        pdv(3, 3, command(STORE_RQ, sop_class=CT, instance=INSTANCE, dataset=True)),
    )
    torn = pdu(P_DATA, pdv(3, 0, bytes(1000)))
    begins = (b"", torn, pdu(P_DATA, pdv(3, 0, b"")), torn[:500], torn[:3])
    with attack(receiver, plan) as seen, contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(receiver.port)) for _ in begins]
        for peer, begin in zip(peers, begins, strict=True):
            peer.established().send(head, begin)
        started = time.monotonic()
        for peer in peers:
            assert peer.answer().kind in (ABORTED, CLOSED)
        seen.saw(f"all ended within {time.monotonic() - started:.1f} s")


def test_a_store_in_drops_is_ended(receiver: Receiver) -> None:
    plan = Plan(
        id="B4b",
        attack="a C-STORE byte by byte",
        how="4 bytes per 0.05 s, below min_bytes_per_second; timeouts of 1.5 s",
        expected="association ended, part file removed",
        peak_bytes=16 * MIB,
    )
    content = store_message(image(), INSTANCE)
    pause = threading.Event()
    with attack(receiver, plan) as seen, Peer(receiver.port) as peer:
        peer.established()
        begun, sent = time.monotonic(), 0
        while peer.send(content[sent : sent + 4]):
            sent += 4
            assert time.monotonic() - begun < 6, "a slow sender keeps its thread"
            pause.wait(0.05)
        seen.saw(f"ended after {time.monotonic() - begun:.1f} s and {sent} bytes")
