"""A role is forked whatever became of the standard streams of `serve`."""

import subprocess
import sys
from pathlib import Path

import pytest

_FORK = """
import os, sys
from pathlib import Path
from dicom_node.forked import Role, fork
from dicom_node.streams import hold_standard_streams

hold_standard_streams()
taken = os.open(sys.argv[2], os.O_CREAT | os.O_WRONLY)

def show():
    sides = [os.readlink(f"/proc/self/fd/{number}") for number in (0, 1)]
    print("nothing", file=sys.stderr, flush=True)
    print("heard", flush=True)
    Path(sys.argv[1]).write_text(" ".join(side.partition(":")[0] for side in sides))
    return 0

child = fork(Role(run=show, words=["role"]), heard=HEARD)
line = child.stdout.readline() if HEARD else ""
print("nothing", file=sys.stderr, flush=True)
os.write(2, b"nothing")
os.write(taken, f"{line.strip()} {child.wait(30)}".encode())
"""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("heard", [True, False])
def test_a_role_has_its_standard_streams_where_serve_was_started_without(
    closed: str, heard: bool, tmp_path: Path
) -> None:
    code = _FORK.replace("HEARD", str(heard))
    command = [sys.executable, "-c", code]
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command, inside, outside],
        check=True,
        timeout=60,
    )
    assert outside.read_text() == ("heard 0" if heard else " 0")
    assert inside.read_text() == f"/dev/null {'pipe' if heard else '/dev/null'}"


def test_a_full_disk_behind_standard_output_keeps_no_role_from_starting() -> None:
    code = """
import contextlib, os, sys
from dicom_node.forked import Role, fork
with contextlib.suppress(OSError):
    print("what the disk does not take", flush=True)
child = fork(Role(run=lambda: 3, words=["role"]), heard=False)
os._exit(child.wait(30))
"""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            check=False,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (3, b"")
