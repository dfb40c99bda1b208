"""The request to stop, which every loop of a process looks at."""

import _thread
import os
import signal
import threading
from contextlib import suppress
from types import FrameType


class Stop:
    """Set by SIGTERM and SIGINT; every loop looks at it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def install(self) -> "Stop":
        """Listen to SIGTERM and SIGINT; SIGHUP is for a role that can reload."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return self

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._wake()
        # In a thread: this one may hold the event's lock, in `wait`.
        try:
            _thread.start_new_thread(self._event.set, ())
        except RuntimeError:  # no thread to be had
            self._event.set()

    def set(self) -> None:
        """Ask every loop to end."""
        self._event.set()
        self._wake()

    def fileno(self) -> int:
        """Return a descriptor that stays readable once asked to stop."""
        return self._reader

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # full: it is readable anyway
            os.write(self._writer, b"!")

    @property
    def asked(self) -> bool:
        """Whether the loops should end."""
        return self._event.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until asked to stop, at most so long; tell whether asked."""
        return self._event.wait(seconds)
