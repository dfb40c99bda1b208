"""The order of syncs before each 0x0000: what a power cut leaves, without root.

A response may leave only after, in this order: the part file's last write and its
sync, its rename, the sync of its folder, the write of its row into the WAL and the
sync of that. Every step is looked up in a trace of the kernel's calls.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults import checker
from tests.faults.conftest import MakeNode
from tests.faults.harness import FaultNode
from tests.faults.instances import Instance, make_study
from tests.faults.rows import fault_row
from tests.faults.senders import Association, SenderLog
from tests.faults.tracing import Call, read_calls, traced

_SYNCS = ("fsync", "fdatasync")
_WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2", "ftruncate")
_SENDS = ("sendto", "sendmsg", "write", "writev")
_NAMES = ("rename", "renameat", "renameat2", "link", "linkat")
_TRACE = ",".join({*_SYNCS, *_WRITES, *_SENDS, *_NAMES, "mkdir", "mkdirat"})
_P_DATA = '"\\4\\0'  # the first bytes of a P-DATA-TF PDU as strace prints them
ASSOCIATIONS = 4


@dataclass(slots=True)
class Trace:
    """What the node asked of the kernel, and where its files ended up."""

    calls: list[Call]
    files: dict[str, Path]
    wal: str

    def responses(self, peer_port: int) -> list[Call]:
        """Return the sends of P-DATA on the connection of this peer, in order."""
        marks = f":{peer_port}]>"
        return [
            call
            for call in self.calls
            if call.name in _SENDS and marks in call.arguments
            if _P_DATA in call.arguments
        ]

    def first(self, names: tuple[str, ...], path: str, after: int) -> Call | None:
        """Return the first such call on a path that began after a line."""
        return min(
            (
                call
                for call in self.calls
                if call.name in names
                and call.begin > after
                and not call.failed
                and call.of(path)
            ),
            key=lambda call: call.end,
            default=None,
        )

    def naming(self, path: Path) -> tuple[Call, str]:
        """Return the call that gave a file its name, and the name before."""
        for call in self.calls:
            if call.name in _NAMES and not call.failed:
                names = call.arguments.split('"')
                if names[-2] == str(path):
                    return call, names[1]
        raise AssertionError("a stored file was never renamed into place")


def durable_at(trace: Trace, instance: Instance) -> int:
    """Return the line at which the last sync ended that this instance needs."""
    path = trace.files[instance.sop_instance_uid]
    naming, part = trace.naming(path)
    last_write = max(
        call.end for call in trace.calls if call.name in _WRITES and call.of(part)
    )
    synced = trace.first(_SYNCS, part, last_write)
    assert synced is not None, "a file was never synced after its last write"
    assert synced.end < naming.begin, "a file got its name before it was synced"
    folder = trace.first(_SYNCS, str(path.parent), naming.end)
    assert folder is not None, "a folder was never synced after a rename"
    row = trace.first(_WRITES, trace.wal, folder.end)
    assert row is not None, "no row was written after the folder's sync"
    commit = trace.first(_SYNCS, trace.wal, row.end)
    assert commit is not None, "the WAL was never synced after a row"
    return max(commit.end, _folders_synced_at(trace, path))


def _folders_synced_at(trace: Trace, path: Path) -> int:
    """Return when each folder above, made meanwhile, was synced into its own."""
    lines = [0]
    for folder in path.parents:
        for call in trace.calls:
            if call.name == "mkdir" and f'"{folder}"' in call.arguments:
                if call.failed:
                    continue
                synced = trace.first(_SYNCS, str(folder.parent), call.end)
                assert synced is not None, "a new folder's parent was never synced"
                lines.append(synced.end)
    return max(lines)


def _trace(
    node: FaultNode, log: SenderLog, output: Path, *, images: int
) -> tuple[Trace, dict[int, list[Instance]]]:
    """Send at once over some associations under strace; return who sent what."""
    with traced(node, "-yy", "-s", "16", "-e", f"trace={_TRACE}", output=output):
        open_ = [Association.open(node.port, log) for _ in range(ASSOCIATIONS)]
        sent = {
            association.connection.getsockname()[1]: make_study(images)
            for association in open_
        }

        def store_all(association: Association) -> None:
            for instance in sent[association.connection.getsockname()[1]]:
                association.store(instance)

        with ThreadPoolExecutor(ASSOCIATIONS) as pool:
            list(pool.map(store_all, open_))
        for association in open_:
            association.release()
    keys = {row.file_key: row.sop_instance_uid for row in checker.rows(node)}
    files = {
        keys[path.stem]: path
        for path in node.instances_dir.rglob("*")
        if path.stem in keys
    }
    wal = str(node.data_dir / "node.db-wal")
    return Trace(read_calls(output), files, wal), sent


@pytest.mark.parametrize("processes", [1, 2])
def test_no_success_leaves_before_the_syncs_it_promises(
    make_node: MakeNode, log: SenderLog, tmp_path: Path, processes: int
) -> None:
    with fault_row(
        "R2",
        fault="order of syncs before each 0x0000 (a power cut without root)",
        how=f"strace; {ASSOCIATIONS} associations at once, {processes} process(es)",
        expected="file, rename, folder, row in the WAL, WAL; then the response",
    ) as measured:
        node = make_node(tables={"receive": {"processes": processes}}).start()
        trace, sent = _trace(node, log, tmp_path / "strace.txt", images=6)
        assert set(log.statuses()) == {0}
        checked = 0
        for port, instances in sent.items():
            responses = trace.responses(port)
            assert len(responses) == len(instances)
            for instance, response in zip(instances, responses, strict=True):
                assert durable_at(trace, instance) < response.begin
                checked += 1
        wal_syncs = sum(
            call.name in _SYNCS and call.of(trace.wal) for call in trace.calls
        )
        measured |= {"responses in order": checked, "syncs of the WAL": wal_syncs}


def test_process_crash_syncs_no_file_and_still_answers_after_the_row(
    make_node: MakeNode, log: SenderLog, tmp_path: Path
) -> None:
    with fault_row(
        "R2",
        fault='order of writes with durability = "process-crash"',
        how=f"strace; {ASSOCIATIONS} associations at once",
        expected="no file is synced; each 0x0000 after the rename and the row",
    ) as measured:
        node = make_node(tables={"receive": {"durability": "process-crash"}}).start()
        trace, sent = _trace(node, log, tmp_path / "strace.txt", images=4)
        assert set(log.statuses()) == {0}
        checked = 0
        for port, instances in sent.items():
            for instance, response in zip(
                instances, trace.responses(port), strict=True
            ):
                path = trace.files[instance.sop_instance_uid]
                naming, part = trace.naming(path)
                assert trace.first(_SYNCS, part, 0) is None
                row = trace.first(_WRITES, trace.wal, naming.end)
                assert row is not None
                assert row.end < response.begin
                checked += 1
        measured |= {"responses in order": checked, "syncs of files": 0}
