"""Wake another role on this machine: a hint that the database has work for it.

The database alone decides. A hint that is lost, or meant for another machine, costs
the time until the next poll and nothing else.
"""

import errno
import os
import select
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol

WORK: Final = "work"
DELIVER: Final = "deliver"
_ROOM: Final = 4096


class Waits(Protocol):
    """Something to stop for while waiting, with a descriptor to select on."""

    def fileno(self) -> int:
        """Return what becomes readable when it is time to stop."""


class Bell:
    """What one thread of a role waits at.

    It is a FIFO named after role, process and descriptor. Made under a name that
    nobody rings, so that none is ever rung, and taken for a dead one, before it is
    listened to.
    """

    def __init__(self, folder: Path, role: str) -> None:
        """Hang the bell up."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = folder / f".{os.getpid()}.{id(self)}"
        os.mkfifo(made, 0o600)
        # Open for writing too, or it would be at its end when the last ringer leaves.
        self._descriptor = os.open(made, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._path = folder / f"{role}.{os.getpid()}.{self._descriptor}"
        made.rename(self._path)

    def wait(self, stop: Waits, seconds: float) -> None:
        """Wait until rung, asked to stop, or so long."""
        ready, _, _ = select.select(
            [self._descriptor, stop.fileno()], [], [], max(seconds, 0)
        )
        if self._descriptor in ready:
            os.read(self._descriptor, _ROOM)

    def close(self) -> None:
        """Take the bell down."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def __enter__(self) -> "Bell":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def ring(folder: Path, role: str) -> int:
    """Ring every bell of a role; return how many heard it, and forget the dead."""
    heard = 0
    for path in folder.glob(f"{role}.*"):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody listens: its process was killed
                path.unlink(missing_ok=True)
            continue
        try:
            os.write(descriptor, b"!")
            heard += 1
        except BlockingIOError:  # full of hints that nobody has taken yet
            heard += 1
        except OSError:
            continue
        finally:
            os.close(descriptor)
    return heard
