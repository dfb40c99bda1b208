"""A disk that is full, read-only or broken (F03 to F05, line R3)."""

import itertools
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults import checker
from tests.faults.conftest import MakeNode
from tests.faults.disks import Disk, bound, ext4, tmpfs
from tests.faults.harness import FaultNode
from tests.faults.instances import make_study
from tests.faults.processes import connections
from tests.faults.rows import fault_row
from tests.faults.senders import Association, SenderLog, send, send_at_once
from tests.faults.tracing import traced
from tests.peers import wait_until

OUT_OF_RESOURCES = 0xA700  # PS3.4 B.2.3
RESUME_SECONDS = 5.0
IMAGE_BYTES = 500_000
# Calls of the kernel, as strace's regular expressions, and what they answer.
ERRORS = (
    ("fsync|fdatasync", "EIO"),
    ("rename|renameat|renameat2", "EIO"),
    ("pwrite64", "ENOSPC"),
    ("pwrite64", "EROFS"),
)


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_full_disk_is_answered_and_reception_resumes_when_there_is_space(
    make_node: MakeNode, log: SenderLog, tmp_path: Path, kind: str
) -> None:
    with fault_row(
        "F03",
        fault=f"disk full while receiving, database on the same disk ({kind})",
        how="24 MiB disk, min_free_bytes 0, 40 images of 0.5 MB over 2 associations",
        expected="0xA700, nothing truncated or left over, resumes within 5 s of space",
    ) as measured:
        small = tmpfs if kind == "tmpfs" else ext4
        with small(tmp_path / "disk", mib=24) as disk:
            ballast = disk.mount_point / "ballast"
            node = make_node(
                data_dir=disk.mount_point / "data",
                tables={"receive": {"min_free_bytes": 0}},
            ).start()
            node.serve_seconds(log)
            _fill(disk, ballast, leave=6_000_000)
            study = make_study(40, size_bytes=IMAGE_BYTES)
            assert send_at_once(node.port, log, study, associations=2)
            refused = log.statuses()[OUT_OF_RESOURCES]
            assert set(log.statuses()) == {0, OUT_OF_RESOURCES}
            assert refused >= 10
            ballast.unlink()
            seconds = _resumes(node, log)
            verdict = checker.check(node, log)
            measured |= {
                "answered 0xA700": refused,
                "seconds to resume": seconds,
                **verdict.counts(),
            }
            node.kill()


def test_below_the_watermark_a_store_is_refused_before_its_data_set_ends(
    make_node: MakeNode, log: SenderLog, tmp_path: Path
) -> None:
    with (
        fault_row(
            "F04",
            fault="less free space than min_free_bytes",
            how="24 MiB tmpfs, min_free_bytes 12 MiB, filled while the node runs",
            expected="0xA700 and nothing written; C-ECHO answered; resumes by itself",
        ) as measured,
        tmpfs(tmp_path / "disk", mib=24) as disk,
    ):
        ballast = disk.mount_point / "ballast"
        node = make_node(
            data_dir=disk.mount_point / "data",
            tables={"receive": {"min_free_bytes": 12 << 20}},
        ).start()
        node.serve_seconds(log)
        _fill(disk, ballast, leave=8 << 20)
        association = Association.open(node.port, log)
        assert association.echo()
        for instance in make_study(5, size_bytes=IMAGE_BYTES):
            assert association.store(instance) == OUT_OF_RESOURCES
        association.release()
        assert disk.free_bytes() > 7 << 20
        ballast.unlink()
        seconds = _resumes(node, log)
        verdict = checker.check(node, log)
        measured |= {"seconds to resume": seconds, **verdict.counts()}
        node.kill()


def test_no_inode_left_is_answered_like_a_full_disk(
    make_node: MakeNode, log: SenderLog, tmp_path: Path
) -> None:
    with (
        fault_row(
            "F03",
            fault="no inode left",
            how="ext4 of 4096 inodes, all taken by empty files",
            expected="0xA700, no leftovers, resumes within 5 s",
        ) as measured,
        ext4(tmp_path / "disk", mib=64, make=("-N", "4096")) as disk,
    ):
        taken = disk.mount_point / "taken"
        node = make_node(data_dir=disk.mount_point / "data").start()
        node.serve_seconds(log)
        taken.mkdir()
        _take_inodes(taken)
        assert send(node.port, log, make_study(5))
        assert log.statuses()[OUT_OF_RESOURCES] == 5
        for path in taken.iterdir():
            path.unlink()
        seconds = _resumes(node, log)
        verdict = checker.check(node, log)
        measured |= {"seconds to resume": seconds, **verdict.counts()}
        node.kill()


def test_a_file_too_large_for_the_process_is_answered_and_the_next_is_taken(
    make_node: MakeNode, log: SenderLog
) -> None:
    with fault_row(
        "F03",
        fault="a write that the system cuts short (EFBIG)",
        how="RLIMIT_FSIZE 8 MB set on the running node, images of 12 MB and 32 kB",
        expected="0xA700 for the large one, nothing left over, 0x0000 for the others",
    ) as measured:
        node = make_node().start()
        node.serve_seconds(log)
        # Above what the database needs, so that only the image meets the limit.
        with _file_size_limit(node, 8_000_000):
            association = Association.open(node.port, log)
            small = make_study(2)
            large = make_study(1, size_bytes=12_000_000)[0]
            assert association.store(small[0]) == 0
            assert association.store(large) == OUT_OF_RESOURCES
            assert association.store(small[1]) == 0
            association.release()
        assert send(node.port, log, [large])
        verdict = checker.check(node, log)
        assert verdict.stored == 4
        measured |= {"answered 0xA700": 1, **verdict.counts()}


def test_a_read_only_disk_is_answered_and_reception_resumes(
    make_node: MakeNode, log: SenderLog, tmp_path: Path
) -> None:
    with fault_row(
        "F03",
        fault="the disk of the images becomes read-only",
        how="bind mount of the folder, mount -o remount,ro while the node runs",
        expected="0xA700, C-ECHO answered, resumes by itself",
    ) as measured:
        data = tmp_path / "data"
        with bound(data / "instances") as disk:
            node = make_node(data_dir=data).start()
            node.serve_seconds(log)
            wait_until(lambda: connections(node.port) == 0, what="nobody is connected")
            disk.remount("ro")
            association = Association.open(node.port, log)
            assert association.echo()
            for instance in make_study(3):
                assert association.store(instance) == OUT_OF_RESOURCES
            association.release()
            disk.remount("rw")
            seconds = _resumes(node, log)
            verdict = checker.check(node, log)
            measured |= {"seconds to resume": seconds, **verdict.counts()}
            node.kill()


def test_a_data_folder_that_cannot_be_written_is_said_at_the_start(
    make_node: MakeNode, tmp_path: Path
) -> None:
    with (
        fault_row(
            "F03",
            fault="the data folder is read-only at the start",
            how="mount -o remount,ro before `dicom-node receive`",
            expected="ends at once with a sentence, no traceback",
        ) as measured,
        bound(tmp_path / "data") as disk,
    ):
        disk.remount("ro")
        node = make_node(data_dir=tmp_path / "data")
        node.launch()
        code = node.running.wait(30)
        disk.remount("rw")
        assert code in (1, 2)
        assert "Traceback" not in node.log()
        assert "dicom-node: " in node.log()
        measured["exit code"] = code


def test_an_error_of_the_disk_is_answered_and_loses_nothing(
    make_node: MakeNode, log: SenderLog, tmp_path: Path
) -> None:
    node = make_node().start()
    node.warm_up(log)
    for calls, error in ERRORS:
        with fault_row(
            "F05",
            fault=f"{error} from the N-th {calls.replace('|', ', ')} of a thread",
            how=f"strace -e inject=…:error={error}:when=N, N = 1 to 6, 3 images each",
            expected="0xA700 for what it hit, 0x0000 for the next, nothing left over",
        ) as measured:
            before = log.statuses()[OUT_OF_RESOURCES]
            for number in range(1, 7):
                options = _failing(calls, error, number)
                with traced(node, *options, output=tmp_path / "strace.txt"):
                    assert send(node.port, log, make_study(3))
            assert set(log.statuses()) <= {0, OUT_OF_RESOURCES}
            refused = log.statuses()[OUT_OF_RESOURCES]
            assert refused >= before + 3
            assert send(node.port, log, make_study(3))
            assert log.statuses()[OUT_OF_RESOURCES] == refused
            verdict = checker.check(node, log)
            measured |= {"answered 0xA700": refused - before, **verdict.counts()}


def _failing(calls: str, error: str, number: int) -> tuple[str, ...]:
    pattern = f"/^({calls})$"
    inject = f"inject={pattern}:error={error}:when={number}"
    return "-e", f"trace={pattern}", "-e", inject


def _resumes(node: FaultNode, log: SenderLog) -> float:
    """Send until a store is accepted; return how long that took."""
    begun = time.monotonic()

    def accepted() -> bool:
        before = log.statuses()[0]
        return send(node.port, log, make_study(1)) and log.statuses()[0] > before

    wait_until(accepted, what="stores are accepted again", seconds=RESUME_SECONDS)
    return round(time.monotonic() - begun, 2)


def _fill(disk: Disk, ballast: Path, *, leave: int) -> None:
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, disk.free_bytes() - leave))


def _take_inodes(folder: Path) -> None:
    for number in itertools.count():
        try:
            (folder / str(number)).touch()
        except OSError:
            return


@contextmanager
def _file_size_limit(node: FaultNode, limit_bytes: int) -> Iterator[None]:
    for pid in node.pids():
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit_bytes, hard))
    yield
    for pid in node.pids():
        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
