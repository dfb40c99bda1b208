"""What `serve` and its children ask of the kernel: signals, limits, a common end."""

import ctypes
import os
import resource
import signal
import sys
import time
from types import FrameType
from typing import Final

from dicom_node.stop import Stop

_PR_SET_PDEATHSIG: Final = 1
# `timeout` and some shells send the same signal to the process and to its group.
_SAME_REQUEST_SECONDS: Final = 1.0


class Signals(Stop):
    """The signals of `serve`: stop, stop at once, reload."""

    def __init__(self) -> None:
        super().__init__()
        self.at_once = False
        self._asked_at = 0.0
        self._hang_up = False

    def install(self) -> "Signals":
        """Listen to SIGTERM, SIGINT and SIGHUP."""
        super().install()
        signal.signal(signal.SIGHUP, self._on_hang_up)
        return self

    def take_hang_up(self) -> bool:
        """Say whether SIGHUP came since the last call."""
        found, self._hang_up = self._hang_up, False
        return found

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self._asked_at:
            self._asked_at = now
        elif now - self._asked_at > _SAME_REQUEST_SECONDS:
            self.at_once = True
        super()._on_signal(number, frame)

    def _on_hang_up(self, _number: int, _frame: FrameType | None) -> None:
        self._hang_up = True


def prepare_child(parent: int) -> None:
    """Set up a child between fork and exec.

    A core file would hold patient data. SIGHUP, which asks for a reload, ends a
    process that does not listen to it yet.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    die_with_parent(parent)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to end this child when its parent dies, even by kill -9.

    Without it the receiver would keep the port and a restarted node could not listen.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
