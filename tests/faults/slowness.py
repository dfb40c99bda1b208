"""How slow the machine itself is while a limit of time is tested.

Limits of time hold for a node that has the machine to itself. Beside other programs the
same limit needs room for what any program waits there, or it tests the neighbours.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_BLOCK: Final = bytes(200_000)
_EVERY_SECONDS: Final = 0.05
# An association with a store wakes some threads one after the other and waits for
# three syncs; with another group of stores before its own, for twice as many.
_WAITS_OF_A_STORE: Final = 8


@dataclass(slots=True)
class Slowness:
    """What a program waits that only sleeps, writes and syncs.

    Attributes:
        longest_seconds: of a wake-up, a write of 0.2 MB and a sync.
    """

    longest_seconds: float = 0.0
    _done: threading.Event = field(default_factory=threading.Event)

    def allows(self, seconds: float) -> float:
        """Return a limit of a quiet machine with room for what this one adds."""
        return seconds + _WAITS_OF_A_STORE * self.longest_seconds

    def said(self) -> dict[str, float]:
        """Say in a row how slow it was."""
        return {"wait of a bare sync s": round(self.longest_seconds, 3)}

    def watch(self, path: Path) -> None:
        """Measure again and again until it is stopped."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            due = time.monotonic()
            while not self._done.wait(_EVERY_SECONDS):
                due += _EVERY_SECONDS
                os.pwrite(descriptor, _BLOCK, 0)
                os.fsync(descriptor)
                now = time.monotonic()
                self.longest_seconds = max(self.longest_seconds, now - due)
                due = now
        finally:
            os.close(descriptor)

    def stop(self) -> None:
        """Measure no more."""
        self._done.set()


@contextmanager
def watched_slowness(folder: Path) -> Iterator[Slowness]:
    """Measure in this folder while the block runs."""
    slowness = Slowness()
    watcher = threading.Thread(target=slowness.watch, args=(folder / "slowness",))
    watcher.start()
    try:
        yield slowness
    finally:
        slowness.stop()
        watcher.join(30)
