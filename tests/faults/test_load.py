"""More than the node can take, and being told to stop meanwhile (F17, F21, R8, R9)."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

from tests.faults import checker
from tests.faults.conftest import MakeNode
from tests.faults.harness import FaultNode
from tests.faults.instances import Instance, make_study
from tests.faults.processes import watched_peak
from tests.faults.rows import ROUNDS, fault_row
from tests.faults.senders import (
    Association,
    Refused,
    SenderLog,
    send_at_once,
    sending,
)
from tests.integration.receive.wire import A_ASSOCIATE_RJ
from tests.peers import accepts, wait_until

# PS3.8 table 9-21: rejected-transient by the service provider (presentation),
# temporary-congestion or local-limit-exceeded.
TRY_AGAIN = {(2, 3, 1), (2, 3, 2)}
PROCESS_MIB = 96
ASSOCIATION_MIB = 2
P99_SECONDS = 2.0
REJECTING_THREADS = 16
SOAK_IMAGES = 900 if ROUNDS == 1 else 20_000


def test_twenty_senders_at_once_are_all_answered(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "R8",
        fault="20 senders x 10 images x 0.5 MB at the same moment",
        how="raw senders, one association each",
        expected="200 of 200 heard 0x0000, p99 under 2 s, memory within its limit",
    ) as measured:
        node = make_node(own_interpreter=True).start()
        node.serve_seconds(log)
        study = make_study(200, size_bytes=500_000)
        with watched_peak(node.running.pid) as peak:
            assert send_at_once(node.port, log, study, associations=20)
        assert set(log.statuses()) == {0}
        waits = sorted(item.seconds for item in log.sent)
        p99 = waits[round(len(waits) * 0.99) - 1]
        assert p99 < P99_SECONDS
        allowed = PROCESS_MIB * len(node.pids()) + ASSOCIATION_MIB * 20
        assert peak.memory_mib < allowed
        verdict = checker.check(node, log)
        measured |= {
            "p99 ms": round(p99 * 1000),
            "memory peak MiB": peak.memory_mib,
            **verdict.counts(),
        }


def test_senders_beyond_the_limit_are_told_to_come_again_and_all_get_in(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "F17",
        fault="12 senders, room for 4 associations",
        how="max_associations 4; each sender tries until it is let in",
        expected="the rest refused at the association, nothing lost",
    ) as measured:
        node = make_node(
            own_interpreter=True, tables={"receive": {"max_associations": 4}}
        ).start()
        hands = [make_study(10, size_bytes=200_000) for _ in range(12)]
        answers: list[tuple[int, ...]] = []

        def insist(hand: list[Instance]) -> None:
            association = _let_in(node, log, answers)
            for instance in hand:
                association.store(instance)
            association.release()

        before = node.settled()
        with (
            watched_peak(node.running.pid) as peak,
            ThreadPoolExecutor(12) as pool,
        ):
            list(pool.map(insist, hands))
        assert set(log.statuses()) == {0}
        assert answers
        assert set(answers) <= {(A_ASSOCIATE_RJ, *reason) for reason in TRY_AGAIN}
        # Who is turned away must not cost those inside their threads or their time.
        assert peak.threads <= before.threads + 4 + REJECTING_THREADS
        assert log.longest_seconds() < P99_SECONDS
        verdict = checker.check(node, log)
        assert verdict.stored == 120
        measured |= {
            "associations refused": len(answers),
            "longest store ms": round(log.longest_seconds() * 1000),
            "threads more at most": peak.threads - before.threads,
            **verdict.counts(),
        }


def _let_in(
    node: FaultNode, log: SenderLog, answers: list[tuple[int, ...]]
) -> Association:
    def attempt() -> Association | None:
        try:
            return Association.open(node.port, log)
        except Refused as refused:
            answers.append((refused.kind, *refused.body[1:4]))
            return None

    return wait_until(
        attempt, what="an association is accepted", seconds=30, every=0.02
    )


def test_sigterm_under_load_finishes_what_is_in_progress_and_takes_no_more(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "F21",
        fault="SIGTERM while 4 associations are sending",
        how="160 images over 4 associations, SIGTERM after 20 answers",
        expected="all 160 answered, new connections refused, exit 0",
    ) as measured:
        node = make_node(own_interpreter=True).start()
        study = make_study(160, size_bytes=200_000)
        with sending(node.port, log, study, associations=4):
            wait_until(lambda: len(log.sent) >= 20, what="20 answers", every=0.002)
            begun = time.monotonic()
            node.running.send_signal(signal.SIGTERM)
            wait_until(lambda: not accepts(node.port), what="no new ones", every=0.01)
            in_progress = len(log.sent) < len(study)
            code = node.running.wait(60)
        seconds = time.monotonic() - begun
        assert in_progress, "all was sent before the port closed"
        assert code == 0
        assert dict(log.statuses()) == {0: 160}
        node.start()
        verdict = checker.check(node, log)
        measured |= {"seconds to exit": round(seconds, 2), **verdict.counts()}


def test_sigterm_does_not_wait_for_ever_for_a_sender_that_never_ends(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "F21",
        fault="SIGTERM while a sender stalls in the middle of a data set",
        how="drain_seconds 2; another association sends without end",
        expected="exit 0 within 2 s and a little, what was acknowledged is kept",
    ) as measured:
        node = make_node(
            own_interpreter=True, tables={"work": {"drain_seconds": 2.0}}
        ).start()
        stalled = Association.open(node.port, log)
        stalled.connection.sendall(b"\4\0\0\0\x10\0")
        with sending(node.port, log, make_study(5_000, size_bytes=256)):
            wait_until(lambda: len(log.sent) >= 20, what="20 answers", every=0.002)
            begun = time.monotonic()
            code = node.stop(seconds=30)
            seconds = time.monotonic() - begun
        assert code == 0
        assert seconds < 2 + 5
        stalled.connection.close()
        node.start()
        verdict = checker.check(node, log)
        measured |= {"seconds to exit": round(seconds, 2), **verdict.counts()}


def test_memory_threads_and_descriptors_stay_flat_over_many_images(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "R9",
        fault=f"soak: {SOAK_IMAGES} images over short and long associations",
        how="8 senders, 32 kB images, every tenth sender drops instead of releasing",
        expected="0 lost, memory grows less than 5 % after the warm-up",
    ) as measured:
        node = make_node(own_interpreter=True).start()
        node.warm_up(log)
        _soak(node, log, SOAK_IMAGES // 3)
        before = node.settled()
        _soak(node, log, SOAK_IMAGES - SOAK_IMAGES // 3)
        after = node.wait_back_to(before)
        assert after.memory_mib < before.memory_mib * 1.05
        verdict = checker.check(node, log, seconds=60)
        measured |= {
            "memory before MiB": before.memory_mib,
            "memory after MiB": after.memory_mib,
            "threads more": max(0, after.threads - before.threads),
            "descriptors more": max(0, after.descriptors - before.descriptors),
            **verdict.counts(),
        }


def _soak(node: FaultNode, log: SenderLog, count: int) -> None:
    def one(number: int) -> None:
        association = Association.open(node.port, log)
        for instance in make_study(1 + number % 20):
            association.store(instance)
        if number % 10 == 9:
            association.reset()
        else:
            association.release()

    hands = range(2 * count // 21)  # 10.5 images each on average
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, hands))
