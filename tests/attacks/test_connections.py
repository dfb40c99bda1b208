"""Peers that hold connections, open them in storms, or never finish asking."""

import contextlib
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.attacks.attack import Plan, attack
from tests.attacks.peer import (
    ABORTED,
    ACCEPTED,
    CLOSED,
    REJECTED,
    Answer,
    Offer,
    Peer,
)
from tests.attacks.receiver import MIB, Receiver

RECEIVE = {"max_associations": 64, "max_associations_per_peer": 32}
SERVED = "good peer served in < 1 s, no thread or descriptor left"
HUGE_PDU = struct.pack(">BBI", 1, 0, 0xFFFFFFF0)
# What the operating system lets an address wait for: rejected, limit reached.
LOCAL_LIMIT = (2, 3, 2)


@contextlib.contextmanager
def connected(receiver: Receiver, count: int) -> Iterator[list[Peer]]:
    """Hold so many connections, none of which has said anything."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Peer(receiver.port)) for _ in range(count)]


def closed_within(peers: Sequence[Peer]) -> float:
    """Return after how long the last of the peers was closed."""
    begun = time.monotonic()
    for peer in peers:
        assert peer.answer().kind in (CLOSED, ABORTED)
    return time.monotonic() - begun


def test_b2_a_pdu_header_that_claims_4_gib_ends_the_connection(
    receiver: Receiver,
) -> None:
    plan = Plan(
        id="B2",
        attack="PDU header 01 00 FF FF FF F0, then megabytes",
        how="before and within an association, also as P-DATA-TF; 64 MiB behind it",
        expected="closed at once, nothing allocated",
        peak_bytes=8 * MIB,
    )
    block = bytes(MIB)
    with attack(receiver, plan) as seen:
        taken = []
        for kind, established in ((1, False), (1, True), (4, False), (4, True)):
            with Peer(receiver.port) as peer:
                if established:
                    peer.established()
                peer.send(struct.pack(">BBI", kind, 0, 0xFFFFFFF0))
                taken.append(sum(peer.send(block) for _ in range(64)))
                assert peer.answer().kind in (CLOSED, ABORTED)
        # The kernel buffers a few before the reset arrives; nobody reads them.
        assert max(taken) < 64
        seen.saw(f"connection closed after at most {max(taken)} MiB")


def test_b2_strangers_that_go_on_sending_hold_nobody_up(receiver: Receiver) -> None:
    plan = Plan(
        id="B2b",
        attack="turned away, but sending on as fast as they can",
        how="4 connections, each pumps up to 4 GiB behind an HTTP request",
        expected="each closed after the kernel's buffers, good peer served in < 1 s",
        peak_bytes=8 * MIB,
    )
    block, begun = bytes(MIB), time.monotonic()

    def pump(peer: Peer) -> int:
        peer.send(b"GET / HTTP/1.1\r\n\r\n")
        taken = 0
        while taken < 4096 and time.monotonic() - begun < 3 and peer.send(block):
            taken += 1
        return taken

    with (
        attack(receiver, plan) as seen,
        connected(receiver, 4) as peers,
        ThreadPoolExecutor(4) as pool,
    ):
        taken = list(pool.map(pump, peers))
        seconds = time.monotonic() - begun
        seen.saw(f"at most {max(taken)} MiB taken, closed within {seconds:.1f} s")
    assert max(taken) < 64, "a stranger is listened to without end"


def test_b3_silent_connections_lock_nobody_out(receiver: Receiver) -> None:
    plan = Plan(
        id="B3",
        attack="200 TCP connections that say nothing",
        how="opened at once from one address and held until closed",
        expected=SERVED,
        peak_bytes=8 * MIB,
    )
    with attack(receiver, plan) as seen, connected(receiver, 200) as peers:
        threads = receiver.gauge().threads
        seconds = closed_within(peers)
        seen.saw(f"all closed within {seconds:.1f} s, {threads} threads meanwhile")


def test_b4_a_request_in_drops_is_ended_by_its_deadline(receiver: Receiver) -> None:
    plan = Plan(
        id="B4",
        attack="12 peers send A-ASSOCIATE-RQ byte by byte",
        how="1 byte per 0.25 s each, deadline of 1.5 s instead of 10 s",
        expected="closed at the deadline, good peer served in < 1 s",
        peak_bytes=8 * MIB,
    )
    request = Offer().encode()
    with attack(receiver, plan) as seen, connected(receiver, 12) as peers:
        begun = time.monotonic()
        pause, sent = threading.Event(), 0
        while any([peer.send(request[sent : sent + 1]) for peer in peers]):
            sent += 1
            assert time.monotonic() - begun < 3, "a slow request is never ended"
            pause.wait(0.25)
        seen.saw(f"all closed after {time.monotonic() - begun:.1f} s, {sent} bytes")


def test_b5_connections_that_come_and_go_lock_nobody_out(receiver: Receiver) -> None:
    plan = Plan(
        id="B5",
        attack="storm of TCP connects and closes",
        how="1,000 times; every second one ends with a reset",
        expected=SERVED,
        peak_bytes=8 * MIB,
    )
    with attack(receiver, plan) as seen:
        begun = time.monotonic()
        for number in range(1000):
            peer = Peer(receiver.port)
            if number % 2:
                peer.reset()
            else:
                peer.close()
        seen.saw(f"{1000 / (time.monotonic() - begun):.0f} connects per second")


def test_b6_three_bytes_and_silence_are_dropped(receiver: Receiver) -> None:
    plan = Plan(
        id="B6",
        attack="12 peers send 3 bytes and wait",
        how="01 00 00, deadline of 1.5 s instead of 10 s",
        expected="closed at the deadline, good peer served in < 1 s",
        peak_bytes=8 * MIB,
    )
    with attack(receiver, plan) as seen, connected(receiver, 12) as peers:
        for peer in peers:
            peer.send(b"\1\0\0")
        seen.saw(f"all closed within {closed_within(peers):.1f} s")


def test_b7_idle_associations_leave_room_for_others(receiver: Receiver) -> None:
    plan = Plan(
        id="B7",
        attack="100 valid associations held idle",
        how="from one address, limits 64 in all and 32 per address",
        expected="32 accepted, the others rejected as a temporary local limit",
    )
    with attack(receiver, plan) as seen, contextlib.ExitStack() as stack:
        # One after the other: so many silent ones at once would not be let wait.
        peers: list[Peer] = []
        answers: list[Answer] = []
        for _ in range(100):
            peers.append(stack.enter_context(Peer(receiver.port)))
            answers.append(peers[-1].associate())
        kinds = [answer.kind for answer in answers]
        assert kinds.count(ACCEPTED) == 32
        assert kinds.count(REJECTED) == 68
        for answer in answers:
            if answer.kind == REJECTED:
                assert tuple(answer.body[1:4]) == LOCAL_LIMIT
        held = [
            peer for peer, kind in zip(peers, kinds, strict=True) if kind == ACCEPTED
        ]
        seconds = closed_within(held)
        seen.saw(f"32 accepted, 68 rejected, idle ones ended within {seconds:.1f} s")


def test_b7_associations_of_several_addresses_up_to_the_limit_are_held(
    receiver: Receiver,
) -> None:
    plan = Plan(
        id="B7b",
        attack="60 valid associations of four addresses held idle, limit 64",
        how="15 from each of 127.0.0.3 to .6, the good peer comes in between",
        expected="all accepted, good peer served in < 1 s",
    )
    with attack(receiver, plan) as seen, contextlib.ExitStack() as stack:
        answers = []
        for last in range(3, 7):
            source = f"127.0.0.{last}"
            for _ in range(15):  # 60 in all: the good peer keeps a place
                peer = Peer(receiver.port, source=source)
                answers.append(stack.enter_context(peer).associate().kind)
        assert answers == [ACCEPTED] * 60
        seen.saw("60 held, the good peer got its place")


def test_associations_opened_and_cut_leave_nothing(receiver: Receiver) -> None:
    plan = Plan(
        id="B5b",
        attack="storm of associations that are cut",
        how="300, closed or reset before, after and while they are accepted",
        expected=SERVED,
    )
    request = Offer().encode()
    with attack(receiver, plan) as seen:
        for number in range(300):
            peer = Peer(receiver.port)
            if number % 3 == 0:
                peer.established()
            else:
                peer.send(request[: 100 if number % 3 == 1 else None])
            if number % 2:
                peer.reset()
            else:
                peer.close()
        seen.saw("300 associations cut")
