"""A power cut at random moments (F02, line R2): an ext4 image that forgets.

The cut is EXT4_IOC_SHUTDOWN without a flush of the journal: what was not synced is
gone. Where an image cannot be mounted, `test_sync_order` still checks the promise.
"""

import os
import random
from pathlib import Path

from tests.faults import checker
from tests.faults.conftest import MakeNode
from tests.faults.disks import Disk, ext4
from tests.faults.harness import FaultNode
from tests.faults.instances import Instance, make_study
from tests.faults.rows import ROUNDS, SEED, fault_row
from tests.faults.senders import SenderLog, send_at_once, sending
from tests.peers import wait_until

CUTS = 2 * ROUNDS
DISK_MIB = 256
IMAGE_BYTES = 60_000


def test_power_cuts_at_random_moments_lose_nothing_acknowledged(
    make_node: MakeNode, log: SenderLog, tmp_path: Path
) -> None:
    with fault_row(
        "F02",
        fault='power cut at random moments under load, "power-loss"',
        how=f"EXT4_IOC_SHUTDOWN without log flush, {CUTS} cuts, 4 senders",
        expected="0 acknowledged lost, restart without a manual step",
    ) as measured:
        dice = random.Random(SEED)
        with ext4(tmp_path / "disk", mib=DISK_MIB) as disk:
            node = make_node(data_dir=disk.mount_point / "data")
            sent: list[Instance] = []
            for _ in range(CUTS):
                node.start()
                checker.check(node, log)
                sent = make_study(100, size_bytes=IMAGE_BYTES)
                _cut_under_load(node, disk, log, sent, after=dice.randint(1, 40))
            node.start()
            checker.check(node, log)
            assert send_at_once(node.port, log, sent, associations=4)
            verdict = checker.check(node, log)
            assert verdict.quarantined == 0
            measured |= {"cuts": CUTS, **verdict.counts()}
            node.kill()


def test_a_power_cut_right_after_the_answers_loses_none_of_them(
    make_node: MakeNode, log: SenderLog, tmp_path: Path
) -> None:
    with (
        fault_row(
            "R2",
            fault="power cut 0 s after 20 acknowledged stores",
            how=f"EXT4_IOC_SHUTDOWN, {ROUNDS} rounds, 1 association",
            expected="0 of 20 lost in every round",
        ) as measured,
        ext4(tmp_path / "disk", mib=DISK_MIB) as disk,
    ):
        node = make_node(data_dir=disk.mount_point / "data")
        for _ in range(ROUNDS):
            node.start()
            assert send_at_once(node.port, log, make_study(20), associations=1)
            _cut(node, disk)
        node.start()
        verdict = checker.check(node, log)
        assert verdict.acknowledged == verdict.stored == 20 * ROUNDS
        measured |= {"cuts": ROUNDS, **verdict.counts()}
        node.kill()


def test_after_a_power_cut_process_crash_starts_clean_and_takes_all_again(
    make_node: MakeNode, log: SenderLog, tmp_path: Path
) -> None:
    with (
        fault_row(
            "F02",
            fault='power cut with "process-crash": the rows are kept, the files not',
            how="EXT4_IOC_SHUTDOWN after a sync of the WAL; 20 images, then again",
            expected="broken files removed or quarantined, missing ones reported; a "
            "resend makes all whole",
        ) as measured,
        ext4(tmp_path / "disk", mib=DISK_MIB) as disk,
    ):
        node = make_node(
            data_dir=disk.mount_point / "data",
            tables={"receive": {"durability": "process-crash"}},
        ).start()
        study = make_study(20)
        assert send_at_once(node.port, log, study, associations=2)
        _sync(node.data_dir / "node.db-wal")
        _cut(node, disk)
        node.start()
        found = wait_until(
            lambda: _reconciled(node), what="the store is reconciled", seconds=20
        )
        after = checker.judge(node, log)
        assert (after.orphans, after.parts, after.strangers) == (0, 0, 0)
        assert found["missing"] == after.missing
        again = SenderLog()
        assert send_at_once(node.port, again, study, associations=2)
        healed = checker.check(node, again)
        assert healed.stored == healed.acknowledged == 20
        measured |= {
            "rows without file reported": after.missing,
            "quarantined": after.quarantined,
            "lost after the resend": healed.lost,
        }
        node.kill()


def _cut_under_load(
    node: FaultNode, disk: Disk, log: SenderLog, sent: list[Instance], *, after: int
) -> None:
    wanted = len(log.sent) + after
    with sending(node.port, log, sent, associations=4):
        wait_until(
            lambda: len(log.sent) >= wanted, what=f"{after} answers", every=0.002
        )
        _cut(node, disk)


def _cut(node: FaultNode, disk: Disk) -> None:
    disk.cut_power()
    node.kill()
    disk.power_up()


def _reconciled(node: FaultNode) -> dict[str, object] | None:
    return next(
        (event for event in node.events() if event["event"] == "store reconciled"),
        None,
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
