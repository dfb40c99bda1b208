"""A database that is locked, frozen, gone or behind (F14)."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.faults import checker
from tests.faults.conftest import MakeNode
from tests.faults.harness import FaultNode
from tests.faults.instances import make_study
from tests.faults.postgres_server import running_postgres
from tests.faults.processes import let_pass
from tests.faults.rows import ROUNDS, fault_row
from tests.faults.senders import Association, SenderLog, send, send_at_once, sending
from tests.peers import wait_until

OUT_OF_RESOURCES = 0xA700  # PS3.4 B.2.3
WAIT_SECONDS = 1.0
# What a store may take beyond the configured wait: the rest of its way.
SLACK_SECONDS = 3.0


def test_a_locked_database_is_waited_for_and_then_answered(
    make_node: MakeNode, log: SenderLog
) -> None:
    lock_seconds = 30.0 if ROUNDS > 1 else 3.0
    with fault_row(
        "F14",
        fault=f"SQLite locked for {lock_seconds:g} s by another program",
        how=f"BEGIN EXCLUSIVE; database_wait_seconds {WAIT_SECONDS:g}; 2 senders",
        expected="0xA700 after the bounded wait, C-ECHO answered, then 0x0000 again",
    ) as measured:
        node = _node(make_node).start()
        node.serve_seconds(log)
        study = make_study(200)
        with _locked(node):
            begun = time.monotonic()
            count = len(log.sent)
            while time.monotonic() - begun < lock_seconds:
                pair, study = study[:2], study[2:]
                assert send_at_once(node.port, log, pair, associations=2)
            heard = log.sent[count:]
            association = Association.open(node.port, log)
            assert association.echo()
            association.release()
        assert {item.status for item in heard} == {OUT_OF_RESOURCES}
        longest = max(item.seconds for item in heard)
        assert longest < 2 * WAIT_SECONDS + SLACK_SECONDS
        assert send(node.port, log, make_study(3))
        assert log.statuses()[0] == 1 + 3
        verdict = checker.check(node, log)
        measured |= {
            "answered 0xA700": len(heard),
            "longest wait s": round(longest, 2),
            **verdict.counts(),
        }


def test_a_short_lock_is_only_a_delay(make_node: MakeNode, log: SenderLog) -> None:
    with fault_row(
        "F14",
        fault="SQLite locked for less than database_wait_seconds",
        how="BEGIN EXCLUSIVE for 0.5 s, database_wait_seconds 10, 4 senders",
        expected="0x0000 for all, late",
    ) as measured:
        node = _node(make_node, wait_seconds=10.0).start()
        node.serve_seconds(log)
        with sending(node.port, log, make_study(40), associations=4), _locked(node):
            let_pass(0.5)
        assert set(log.statuses()) == {0}
        verdict = checker.check(node, log)
        measured |= {"longest wait s": round(log.longest_seconds(), 2)}
        measured |= verdict.counts()


def test_postgresql_killed_under_load_and_started_again(
    make_node: MakeNode, log: SenderLog
) -> None:
    with (
        fault_row(
            "F14",
            fault="PostgreSQL stopped at once under load, started again",
            how="SIGQUIT (`-m immediate`), 3 senders; the node is not restarted",
            expected="0xA700 while it is gone, nothing acknowledged lost, then 0x0000",
        ) as measured,
        running_postgres() as server,
    ):
        node = _node(make_node, database=server.url).start()
        node.serve_seconds(log)
        for _ in range(ROUNDS):
            study = make_study(300)
            count = len(log.sent)
            with sending(node.port, log, study, associations=3):
                _after(log, count + 30)
                server.stop_at_once()
                _after(log, len(log.sent) + 6)
                server.start()
            assert set(log.statuses()) <= {0, OUT_OF_RESOURCES}
        refused = log.statuses()[OUT_OF_RESOURCES]
        assert refused
        assert send(node.port, log, make_study(5))
        assert log.statuses()[OUT_OF_RESOURCES] == refused
        verdict = checker.check(node, log)
        measured |= {"answered 0xA700": refused, **verdict.counts()}


def test_a_frozen_postgresql_leaves_no_sender_without_an_answer(
    make_node: MakeNode, log: SenderLog
) -> None:
    with (
        fault_row(
            "F14",
            fault="PostgreSQL frozen: it neither answers nor hangs up",
            how=f"SIGSTOP of the server; database_wait_seconds {WAIT_SECONDS:g}",
            expected="0xA700 after the bounded wait; 0x0000 once it goes on",
        ) as measured,
        running_postgres() as server,
    ):
        node = _node(make_node, database=server.url).start()
        node.serve_seconds(log)
        with server.frozen():
            association = Association.open(node.port, log, seconds=20)
            status = association.store(make_study(1)[0])
            seconds = log.sent[-1].seconds
            association.connection.close()
        assert status == OUT_OF_RESOURCES
        assert seconds < 2 * WAIT_SECONDS + SLACK_SECONDS
        wait_until(lambda: _accepted(node, log), what="stores are accepted again")
        verdict = checker.check(node, log)
        measured |= {"seconds to 0xA700": round(seconds, 2), **verdict.counts()}


def test_rows_that_a_failover_lost_come_back_from_the_files(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "F14",
        fault="the database comes back without its last commits",
        how="rows of 5 of 10 acknowledged images deleted while the node is down",
        expected="adopted from the files at the start, nothing doubled by a resend",
    ) as measured:
        node = _node(make_node).start()
        study = make_study(10)
        assert send(node.port, log, study)
        assert node.stop() == 0
        _forget_last(node, 5)
        node.start()
        verdict = checker.check(node, log)
        assert verdict.stored == 10
        assert send(node.port, log, study)
        assert checker.check(node, log).stored == 10
        measured |= verdict.counts()


def _node(
    make_node: MakeNode, *, wait_seconds: float = WAIT_SECONDS, database: str = ""
) -> FaultNode:
    return make_node(
        database=database, tables={"receive": {"database_wait_seconds": wait_seconds}}
    )


def _after(log: SenderLog, count: int) -> None:
    wait_until(lambda: len(log.sent) >= count, what=f"{count} answers", every=0.01)


def _accepted(node: FaultNode, log: SenderLog) -> bool:
    before = log.statuses()[0]
    return send(node.port, log, make_study(1)) and log.statuses()[0] > before


@contextmanager
def _locked(node: FaultNode) -> Iterator[None]:
    """Hold the database as another program would."""
    path = node.data_dir / "node.db"
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def _forget_last(node: FaultNode, count: int) -> None:
    with closing(sqlite3.connect(node.data_dir / "node.db")) as connection:
        for statement in (
            "DELETE FROM versions WHERE instance_id IN "
            "(SELECT id FROM instances ORDER BY id DESC LIMIT ?)",
            "DELETE FROM instances WHERE id IN "
            "(SELECT id FROM instances ORDER BY id DESC LIMIT ?)",
        ):
            connection.execute(statement, (count,))
        connection.commit()
