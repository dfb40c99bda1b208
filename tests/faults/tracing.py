"""strace on a running node: faults in the N-th call, and the order of calls."""

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.faults.harness import FaultNode
from tests.faults.processes import holds_within
from tests.peers import require_tool, wait_until


@cache
def _refusal() -> str:
    """Say why strace cannot be used here, "" if it can."""
    # Attaching to a sibling is what a restricted machine refuses first.
    sibling = subprocess.Popen(["sleep", "0.2"])
    tried = subprocess.run(
        [require_tool("strace"), "-qq", "-e", "trace=none", "-p", str(sibling.pid)],
        capture_output=True,
        timeout=20,
        check=False,
    )
    sibling.wait(10)
    return "" if tried.returncode == 0 else "ptrace is refused on this machine"


def require_ptrace() -> None:
    """Skip the test where no process may be traced, CI included."""
    if reason := _refusal():
        pytest.skip(reason)


@contextmanager
def traced(node: FaultNode, *options: str, output: Path) -> Iterator[None]:
    """Trace every thread of the node, and those that it starts, while the block runs.

    Args:
        options: of strace, e.g. "-e", "inject=fsync:error=EIO:when=1".
        output: where strace writes.
    """
    require_ptrace()
    command = [str(require_tool("strace")), "-f", "-qq", "-o", str(output), *options]
    tracers: list[subprocess.Popen[bytes]] = []

    def attached() -> bool:
        """Attach to all; again if a process was forked before strace looked."""
        if tracers:
            _detach(tracers.pop())
        pids: list[str] = []
        for pid in node.pids():
            pids += ["-p", str(pid)]
        tracers.append(
            subprocess.Popen(
                [*command, *pids],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        # Twice: a process that was forked between the first look's list and the
        # attaching to its parent is in the second list only.
        return holds_within(2.0, lambda: _attached(node) and _attached(node))

    try:
        wait_until(attached, what="strace is attached", seconds=20)
        yield
    finally:
        for tracer in tracers:
            _detach(tracer)


def _detach(tracer: subprocess.Popen[bytes]) -> None:
    """End strace; what it traced goes on without it."""
    tracer.send_signal(signal.SIGINT)
    tracer.wait(20)


def _attached(node: FaultNode) -> bool:
    """Say whether every thread of the node has a tracer."""
    tasks = [
        task for pid in node.pids() for task in Path(f"/proc/{pid}/task").iterdir()
    ]
    return bool(tasks) and all(_tracer_of(task) for task in tasks)


def _tracer_of(task: Path) -> int:
    with contextlib.suppress(FileNotFoundError):  # the thread has ended meanwhile
        for line in (task / "status").read_text().splitlines():
            if line.startswith("TracerPid:"):
                return int(line.split()[1])
    return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the kernel; begin and end are line numbers of strace's output."""

    name: str
    arguments: str
    failed: bool
    begin: int
    end: int

    def of(self, path: str) -> bool:
        """Say whether its first argument is a descriptor of this path."""
        return self.arguments.partition("<")[2].startswith(f"{path}>")


_WHOLE = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+|\?)")
_BEGUN = re.compile(r"^(\d+) +(\w+)\((.*?),? *<unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+|\?)")


def read_calls(output: Path) -> list[Call]:
    """Parse what `strace -f -yy` wrote, in the order in which the calls ended."""
    found: list[Call] = []
    begun: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(output.read_text(errors="replace").splitlines()):
        if unfinished := _BEGUN.match(line):
            begun[unfinished[1]] = (number, unfinished[3])
            continue
        resumed = _RESUMED.match(line)
        whole = _WHOLE.match(line)
        if resumed and resumed[1] in begun:
            first, arguments = begun.pop(resumed[1])
            parts = resumed
        elif whole:
            first, arguments, parts = number, whole[3], whole
        else:
            continue
        found.append(
            Call(
                name=parts[2],
                arguments=arguments,
                failed=parts[4].startswith("-"),
                begin=first,
                end=number,
            )
        )
    return found
