"""Short of disk or database for long: new associations are turned away, and told so."""

import json
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from dicom_node.cli import main
from dicom_node.observe.metrics import CONGESTED
from dicom_node.observe.slots import read_slots
from dicom_node.receive.congestion import LOW_DISK, NO_DATABASE
from tests.faults import checker
from tests.faults.conftest import MakeNode
from tests.faults.disks import tmpfs
from tests.faults.harness import FaultNode
from tests.faults.instances import make_study
from tests.faults.postgres_server import running_postgres
from tests.faults.rows import fault_row
from tests.faults.senders import Association, Refused, SenderLog, send
from tests.peers import wait_until

OUT_OF_RESOURCES = 0xA700  # PS3.4 B.2.3
TEMPORARY_CONGESTION = (2, 3, 1)  # PS3.8 9.3.4
SOON = {"congestion_seconds": 1.0, "database_wait_seconds": 1.0}


def test_a_disk_that_stays_low_turns_new_callers_away(
    make_node: MakeNode, log: SenderLog, tmp_path: Path
) -> None:
    with (
        fault_row(
            "F04",
            fault="less free space than min_free_bytes for congestion_seconds",
            how="24 MiB tmpfs, min_free_bytes 12 MiB, filled beside an association",
            expected="0xA700 for who is in, 2/3/1 for who comes; ends by itself",
        ) as measured,
        tmpfs(tmp_path / "disk", mib=24) as disk,
    ):
        node = make_node(
            data_dir=disk.mount_point / "data",
            tables={"receive": {"min_free_bytes": 12 << 20, **SOON}},
        ).start()
        inside = Association.open(node.port, log)
        ballast = disk.mount_point / "ballast"
        ballast.write_bytes(bytes(disk.free_bytes() - (8 << 20)))
        wait_until(lambda: _answer(node, log) == TEMPORARY_CONGESTION, what="rejected")
        wait_until(lambda: _is_congested(node), what="the gauge is 1")
        (image,) = make_study(1)
        assert inside.store(image) == OUT_OF_RESOURCES
        assert LOW_DISK in _rejections(node)
        ballast.unlink()
        wait_until(lambda: _answer(node, log) is None, what="let in again")
        assert inside.store(image) == 0
        inside.release()
        wait_until(lambda: not _is_congested(node), what="the gauge is 0")
        measured |= checker.check(node, log).counts()


def test_a_database_that_stays_away_turns_new_callers_away(
    make_node: MakeNode, log: SenderLog
) -> None:
    with (
        fault_row(
            "F14",
            fault="PostgreSQL stopped for longer than congestion_seconds",
            how="SIGQUIT, one sender; the node is not restarted",
            expected="0xA700, then 2/3/1; let in again, and all is recorded",
        ) as measured,
        running_postgres() as server,
    ):
        node = make_node(database=server.url, tables={"receive": SOON}).start()
        assert send(node.port, log, make_study(1))
        server.stop_at_once()
        assert send(node.port, log, make_study(1))
        assert log.statuses()[OUT_OF_RESOURCES] == 1
        wait_until(lambda: _answer(node, log) == TEMPORARY_CONGESTION, what="rejected")
        wait_until(lambda: _is_congested(node), what="the gauge is 1")
        server.start()
        wait_until(lambda: _answer(node, log) is None, what="let in again")
        assert send(node.port, log, make_study(1))
        # The record waited for the database.
        wait_until(lambda: NO_DATABASE in _rejections(node), what="it is recorded")
        measured |= checker.check(node, log).counts()


def _answer(node: FaultNode, log: SenderLog) -> tuple[int, ...] | None:
    """Return the codes of a rejection, None when the caller is let in."""
    try:
        Association.open(node.port, log).release()
    except Refused as refused:
        return tuple(refused.body[1:4])
    return None


def _is_congested(node: FaultNode) -> bool:
    slots = read_slots(node.data_dir / "run" / "metrics")
    return any(slot.values.get((CONGESTED,)) for slot in slots if slot.alive)


def _rejections(node: FaultNode) -> set[str]:
    """Return the reasons of `show --associations --refused`."""
    printed = StringIO()
    arguments = ["show", "--associations", "--refused", "--json"]
    arguments += ["--config", str(node.configuration)]
    with redirect_stdout(printed):
        assert main(arguments) == 0
    return {item["reason"] for item in json.loads(printed.getvalue())}
