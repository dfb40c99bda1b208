"""Ends a process in which a decoder does not come back."""

import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import Final

log = logging.getLogger("inference.guard")

_LONGEST_TICK_SECONDS: Final = 1.0


class Watch:
    """Kills this process when one frame takes too long: no thread can be stopped.

    A thread looks at the frames. Where a decoder lets no thread run, the kernel's
    timer, which that thread keeps from running out, ends the process: SIGALRM with its
    default action asks nobody. A process that uses SIGALRM itself has the thread alone.
    """

    def __init__(self, limit_seconds: float) -> None:
        """Start the thread.

        Args:
            limit_seconds: for one frame, in the time that this process was awake.
        """
        self._limit = limit_seconds
        self._tick = min(_LONGEST_TICK_SECONDS, limit_seconds / 4)
        self._since: dict[int, float] = {}
        self._awake = 0.0
        self._studies = 0
        self._lock = Lock()
        self._closed = Event()
        self._thread = Thread(target=self._run, name="watch", daemon=True)
        self._thread.start()

    @contextmanager
    def study(self) -> Iterator[None]:
        """Be on guard while the block runs."""
        with self._lock:
            self._studies += 1
            self._wind_up()
        try:
            yield
        finally:
            with self._lock:
                self._studies -= 1
                self._wind_up()

    def begin(self, slot: int) -> None:
        """Hear that a frame is about to be decoded."""
        self._since[slot] = self._awake

    def end(self, slot: int) -> None:
        """Hear that it came back."""
        self._since.pop(slot, None)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._closed.wait(self._tick):
            now = time.monotonic()
            # A process that was stopped, or a machine that slept, has not decoded.
            self._awake += min(now - last, 2 * self._tick)
            last = now
            with self._lock:
                if self._studies:
                    self._wind_up()
            oldest = min(self._since.copy().values(), default=self._awake)
            if self._awake - oldest > self._limit:
                log.error(
                    "decoding does not end, ending the process",
                    extra={"seconds": self._limit, "pid": os.getpid()},
                )
                os.kill(os.getpid(), signal.SIGKILL)

    def _wind_up(self) -> None:
        """Let the timer start anew, or stop it where nothing is going on."""
        if signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL:
            return
        left = self._limit + 4 * self._tick if self._studies else 0.0
        signal.setitimer(signal.ITIMER_REAL, left)
