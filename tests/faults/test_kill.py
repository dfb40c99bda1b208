"""Kill -9 at each step of the data path (F01; lines R1, R3 and R10).

One start per kill: every round resends what no round before got acknowledged, and
sends a study of its own, into a node that will be killed again.
"""

import dataclasses
import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import postgres
from tests.faults import checker
from tests.faults.conftest import MakeNode
from tests.faults.harness import FaultNode
from tests.faults.instances import Instance, make_study
from tests.faults.processes import let_pass
from tests.faults.rows import ROUNDS, SEED, fault_row
from tests.faults.senders import SenderLog, missing, send_at_once, sending
from tests.faults.tracing import require_ptrace, traced
from tests.peers import free_port, wait_until

POINTS = (
    "after-recv",
    "after-write",
    "after-fsync",
    "after-rename",
    "before-commit",
    "after-commit",
    "before-response",
)
# What the data path asks of the kernel, as strace's regular expressions.
CALLS = (
    "fsync|fdatasync",
    "rename|renameat|renameat2",
    "pwrite64",
    "sendto|sendmsg",
    "write|writev",
)
MOST_PASSINGS = 60
# A group commit may take two images at once: each point is passed at least so often.
MOST_NAMED_PASSINGS = 3
IMAGES = 6


@dataclasses.dataclass(slots=True)
class Rounds:
    """A node that is killed again and again, and everything that was sent to it."""

    node: FaultNode
    log: SenderLog
    sent: list[Instance] = dataclasses.field(default_factory=list)
    kills: int = 0

    def strike(self) -> bool:
        """Send until the node dies; say whether it did, and see that all of it has."""
        fresh = make_study(IMAGES)
        again = missing(self.log, self.sent)
        self.sent += fresh
        answered = send_at_once(self.node.port, self.log, again + fresh, associations=2)
        if answered:
            return False
        self.kills += 1
        self.node.kill()
        return True

    def finish(self) -> checker.Verdict:
        """Start without a fault, send everything once more, check everything."""
        self.node.start()
        checker.check(self.node, self.log)
        assert send_at_once(self.node.port, self.log, self.sent, associations=2)
        verdict = checker.check(self.node, self.log)
        assert verdict.acknowledged == verdict.stored == len(self.sent)
        assert verdict.quarantined == 0
        assert {row.revision for row in checker.rows(self.node)} == {1}
        return verdict


@pytest.mark.parametrize(
    ("database", "durability", "points"),
    [
        ("sqlite", "power-loss", POINTS),
        ("sqlite", "process-crash", ("after-write", "before-response")),
        ("postgresql", "power-loss", ("before-commit", "after-commit")),
    ],
)
def test_kill_9_at_each_named_point_loses_and_doubles_nothing(
    make_node: MakeNode,
    log: SenderLog,
    database: str,
    durability: str,
    points: Sequence[str],
) -> None:
    with fault_row(
        "F01",
        fault=f"kill -9 at each named point, {durability}, {database}",
        how=f"DICOM_NODE_FAULT=<point>:<n>, {IMAGES} images over 2 associations",
        expected="0 lost, 0 doubled, no broken file, the rest is resent",
    ) as measured:
        url = postgres.new_database() if database == "postgresql" else ""
        node = make_node(database=url, tables={"receive": {"durability": durability}})
        rounds = Rounds(node, log)
        for number in range(min(ROUNDS, MOST_NAMED_PASSINGS)):
            for point in POINTS if ROUNDS > 1 else points:
                node.start(fault=f"{point}:{1 + number}")
                checker.check(node, log)
                assert rounds.strike(), f"{point} was not passed"
                measured["kills"] = rounds.kills
        measured |= rounds.finish().counts()


def test_kill_9_before_the_nth_call_of_the_kernel_loses_and_doubles_nothing(
    make_node: MakeNode, log: SenderLog, tmp_path: Path
) -> None:
    with fault_row(
        "F01",
        fault="kill -9 before the N-th fsync, rename, pwrite64, send or write "
        "of a thread",
        how="strace -f -e inject=…:signal=SIGKILL:when=N; "
        + ("every N until none is left" if ROUNDS > 1 else "one N of each"),
        expected="0 lost, 0 doubled, no broken file",
    ) as measured:
        require_ptrace()
        rounds = Rounds(make_node(), log)
        dice = random.Random(SEED)
        for call in CALLS:
            kills = rounds.kills
            first = 1 if ROUNDS > 1 else dice.randint(1, 3)
            last = MOST_PASSINGS if ROUNDS > 1 else first
            for passing in range(first, last + 1):
                if not _strike_at(rounds, call, passing, tmp_path / "strace.txt"):
                    break
            assert rounds.kills > kills, f"no thread made {first} calls of {call}"
            measured["kills"] = rounds.kills
        measured |= rounds.finish().counts()


def _strike_at(rounds: Rounds, call: str, passing: int, output: Path) -> bool:
    """Kill the node before the N-th such call of a thread; say whether it came."""
    node = rounds.node.start()
    checker.check(node, rounds.log)
    pattern = f"/^({call})$"
    inject = f"inject={pattern}:signal=SIGKILL:when={passing}"
    with traced(node, "-e", f"trace={pattern}", "-e", inject, output=output):
        killed = rounds.strike()
    if not killed:
        node.kill()
    return killed


def test_kill_9_at_random_moments_under_load_loses_and_doubles_nothing(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "F01",
        fault="kill -9 of the whole node at random moments under load",
        how=f"4 senders, 2 receiver processes, {2 * ROUNDS} kills",
        expected="0 lost, 0 doubled, no broken file",
    ) as measured:
        dice = random.Random(SEED)
        node = make_node(tables={"receive": {"processes": 2}})
        sent: list[Instance] = []
        for _ in range(2 * ROUNDS):
            node.start()
            checker.check(node, log)
            fresh = make_study(200, size_bytes=200_000)
            sent += fresh
            with sending(node.port, log, fresh, associations=4):
                _after_some_answers(log, dice.randint(1, 60))
                let_pass(dice.uniform(0, 0.02))
                node.kill()
        assert None in log.statuses()
        node.start()
        checker.check(node, log)
        assert send_at_once(node.port, log, sent[-200:], associations=4)
        verdict = checker.check(node, log)
        assert verdict.quarantined == 0
        measured |= {"kills": 2 * ROUNDS, **verdict.counts()}


def _after_some_answers(log: SenderLog, count: int) -> None:
    wanted = len(log.sent) + count
    wait_until(lambda: len(log.sent) >= wanted, what=f"{count} answers", every=0.002)


def test_a_receiver_killed_under_serve_takes_images_again(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "R10",
        fault="kill -9 of the receiver under `serve`",
        how="SIGKILL to the receiver processes; a sender tries until it hears 0x0000",
        expected="a store is accepted without help, about as soon as after a start",
    ) as measured:
        node = make_node(role="serve", tables={"node": {"port": free_port()}})
        begun = time.monotonic()
        node.start()
        node.serve_seconds(log)
        start_seconds = time.monotonic() - begun
        begun = time.monotonic()
        for pid in node.pids_of("receive"):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: node.serves(log), what="a store is accepted", seconds=30)
        seconds = time.monotonic() - begun
        verdict = checker.check(node, log)
        assert seconds < 2 * start_seconds + 2
        node.kill()
        measured |= {"seconds to first store": round(seconds, 2), **verdict.counts()}
