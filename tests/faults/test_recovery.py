"""How soon a node that was killed takes images again (I14, line R10)."""

import time

from tests.faults import checker
from tests.faults.conftest import MakeNode
from tests.faults.harness import FaultNode
from tests.faults.instances import make_study
from tests.faults.rows import ROUNDS, fault_row
from tests.faults.senders import SenderLog, send_at_once
from tests.peers import wait_until

BACKLOG = 500 if ROUNDS == 1 else 10_000
RESENT = 200


def test_the_time_to_the_first_store_does_not_grow_with_what_is_kept(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "R10",
        fault=f"kill -9 with {BACKLOG} images kept",
        how="SIGKILL, start, store; compared with the start of an empty node",
        expected="as soon as an empty node, everything still there",
    ) as measured:
        node = make_node()
        empty = _seconds_to_store(node, log)
        assert send_at_once(
            node.port, log, make_study(BACKLOG, size_bytes=1_000), associations=4
        )
        node.kill()
        full = _seconds_to_store(node, log)
        assert full < 2 * empty + 1
        verdict = checker.check(node, log, seconds=60)
        assert verdict.stored == BACKLOG + 2
        measured |= {
            "seconds to store, empty": empty,
            "seconds to store, full": full,
            **verdict.counts(),
        }


def _seconds_to_store(node: FaultNode, log: SenderLog) -> float:
    begun = time.monotonic()
    node.start()
    wait_until(lambda: node.serves(log), what="a store is accepted", seconds=30)
    return round(time.monotonic() - begun, 2)


def test_a_resend_while_the_store_is_reconciled_loses_nothing(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "R10",
        fault="everything is sent again while the node still reconciles after kill -9",
        how=f"{RESENT} images kept, 4 senders resend them from the first moment, "
        f"{2 * ROUNDS} restarts",
        expected="the walk over the files and the repeats do not disturb each other",
    ) as measured:
        node = make_node().start()
        study = make_study(RESENT, size_bytes=2_000)
        assert send_at_once(node.port, log, study, associations=4)
        for _ in range(2 * ROUNDS):
            node.kill()
            node.start()
            assert send_at_once(node.port, log, study, associations=4)
            verdict = checker.check(node, log)
            assert verdict.stored == RESENT
        assert set(log.statuses()) == {0}
        measured |= {"sent": len(log.sent), **verdict.counts()}
