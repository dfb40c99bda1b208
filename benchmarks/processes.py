"""Programs under measurement: started, watched through /proc, and surely ended."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from dicom_node.child import die_with_parent

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_END_SECONDS: Final = 45.0
_LAST_WORDS: Final = 240
_ENDS: Final = (signal.SIGINT, signal.SIGTERM)


class BenchmarkError(Exception):
    """A measurement cannot be made; says why."""


class Ended(BenchmarkError):
    """A program ended that shall run."""


@dataclass(slots=True)
class Program:
    """A program that was started here and ends with the run."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        """Of its first process."""
        return self.process.pid

    def require_running(self) -> None:
        """Check that it still runs.

        Raises:
            Ended: says its last words.
        """
        if self.process.poll() is not None:
            lines = self.log.read_text(errors="replace").strip().splitlines()
            said = " / ".join(lines[-3:])[-_LAST_WORDS:]
            raise Ended(f"ended with status {self.process.returncode}: {said}")

    def end(self) -> int:
        """Ask it to end, make it end, and all that it started; return its status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_END_SECONDS)
        # It leads a session: forked children that outlived it go as well.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.process.wait(_END_SECONDS)


def start(
    command: Sequence[str | Path],
    *,
    log: Path,
    nodelay: bool = False,
    folder: Path | None = None,
) -> Program:
    """Start a program whose output goes to `log`.

    Args:
        nodelay: put TCP_NODELAY=1 into its environment, which dcmtk and Orthanc obey.
        folder: to start it in.
    """
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("DICOM_NODE_") and name != "TCP_NODELAY"
    }
    if nodelay:
        variables["TCP_NODELAY"] = "1"
    with log.open("wb") as output, _undisturbed():
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=variables,
            cwd=folder,
            start_new_session=True,  # Ctrl-C is the benchmark's to handle
            preexec_fn=partial(_in_child, os.getpid()),
        )
    return Program(process=process, log=log)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold back SIGINT and SIGTERM while a process is made.

    Python drops what a signal handler raises in the middle of a fork.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)


def _in_child(parent: int) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
    die_with_parent(parent)


def tree(pid: int) -> list[int]:
    """Return this process and all that descend from it, those being reaped too."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process tree, ended children included (proc(5))."""
    total = 0
    for member in tree(pid):
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{member}/stat").read_text()
            total += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return total / _TICKS


def pss_mib(pid: int) -> float:
    """Proportional set size of one process; 0 when it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def threads_of(pid: int) -> int:
    """Number of threads of one process."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def descriptors_of(pid: int) -> int:
    """Number of open file descriptors of one process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def words_of(pid: int) -> list[str]:
    """Return the command line of one process; none when it is gone."""
    with contextlib.suppress(OSError):
        content = Path(f"/proc/{pid}/cmdline").read_bytes()
        return content.decode(errors="replace").split("\0")
    return []


def wait_for(
    condition: Callable[[], bool], *, what: str, seconds: float = 60.0
) -> None:
    """Wait until the condition holds.

    Raises:
        BenchmarkError: it did not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def wait_idle(pid: int, *, seconds: float = 60.0) -> None:
    """Wait until a process tree rests: start-up has ended."""
    deadline = time.monotonic() + seconds
    before = cpu_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(0.5)
        now = cpu_seconds(pid)
        if now - before <= 0.03:
            return
        before = now
