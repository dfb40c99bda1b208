"""What /proc tells of a tree of processes and of a port."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_MIB = 1 << 20
# The kernel's numbers of TCP states in /proc/net/tcp.
_ESTABLISHED, _CLOSE_WAIT = "01", "08"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What the processes of a node hold together.

    Args:
        descriptors: open ones, without the database's: its pool may fill later.
        memory_mib: PSS.
    """

    threads: int
    descriptors: int
    memory_mib: float


def resources(pids: list[int]) -> Resources:
    """Look at these processes."""
    return Resources(
        threads=sum(_threads(pid) for pid in pids),
        descriptors=sum(_descriptors(pid) for pid in pids),
        memory_mib=round(sum(pss_bytes(pid) for pid in pids) / _MIB, 1),
    )


def tree(pid: int) -> Iterator[int]:
    """Yield a process and its descendants."""
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from tree(int(child))


def connections(port: int) -> int:
    """Count the connections that the owner of a port still holds."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    wanted = f":{port:04X}"
    return sum(
        words[1].endswith(wanted) and words[3] in (_ESTABLISHED, _CLOSE_WAIT)
        for words in map(str.split, lines)
    )


def _threads(pid: int) -> int:
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/task"))
    return 0


def _descriptors(pid: int) -> int:
    count = 0
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                count += "node.db" not in os.readlink(link)
    return count


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of one process, 0 if it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0


@dataclass(slots=True)
class Peak:
    """The most that was seen at once."""

    threads: int = 0
    memory_mib: float = 0.0
    _done: threading.Event = field(default_factory=threading.Event)


@contextmanager
def watched_peak(root: int, *, every: float = 0.05) -> Iterator[Peak]:
    """Look at a tree of processes again and again while the block runs."""
    peak = Peak()

    def watch() -> None:
        while not peak._done.is_set():
            now = resources(list(tree(root)))
            peak.threads = max(peak.threads, now.threads)
            peak.memory_mib = max(peak.memory_mib, now.memory_mib)
            peak._done.wait(every)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        peak._done.set()
        watcher.join(10)


def holds_within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Ask again and again; say whether the answer was yes in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def let_pass(seconds: float) -> None:
    """Let time pass that is the fault itself: a stall, a lock, a moment to hit."""
    time.sleep(seconds)
