"""Where pynetdicom's own thread has to wait while an answer is asked for.

pynetdicom 3.0.4 closes its gate, an Event, and sends as soon as its thread says that it
is about to wait there. If the thread had just gone through, it takes the next message
as a request of the peer's: an answer that comes within that moment is lost, which one
in some thousand answers of a fast peer does. It serves an N-EVENT-REPORT in one more
thread, which takes back at its end that the first one waits: who is about to send or
release then waits for that for ever.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pynetdicom.association import Association
from pynetdicom.dimse_primitives import DimseServiceType

_LOOK_SECONDS = 0.05


class Gate:
    """Stands in for the Event, and knows whether somebody waits."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._open = True
        self._waiting = 0
        self._serving = 0

    def guard(self, association: Association) -> None:
        """Take the Event's place in an association that has not begun."""
        association._reactor_checkpoint = self  # type: ignore[assignment]  # typed as an Event; wait and set do
        association.__class__ = _Guarded

    @property
    def holds(self) -> bool:
        """Whether somebody waits at the closed gate."""
        return bool(self._waiting) and not self._open

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Answer a request of the peer in the block."""
        with self._condition:
            self._serving += 1
        try:
            yield
        finally:
            with self._condition:
                self._serving -= 1
                self._condition.notify_all()

    def is_set(self) -> bool:
        """Say whether the gate is open."""
        return self._open

    def set(self) -> None:
        """Open the gate."""
        with self._condition:
            self._open = True
            self._condition.notify_all()

    def clear(self) -> None:
        """Close the gate."""
        with self._condition:
            self._open = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the gate is open; say whether it is."""
        with self._condition:
            self._waiting += 1
            self._condition.notify_all()
            opened = self._condition.wait_for(self.is_set, timeout)
            self._waiting -= 1
            return opened

    def stop(self, thread: threading.Thread) -> None:
        """Close the gate and come back when the thread waits there, or has ended.

        Nor is a request of the peer being answered then.
        """
        with self._condition:
            self._open = False
            while self._serving or (not self._waiting and thread.is_alive()):
                self._condition.wait(_LOOK_SECONDS)


class _Guarded(Association):
    """An association that asks its gate who waits there."""

    _reactor_checkpoint: Gate  # type: ignore[assignment]  # see Gate.guard

    @property
    def _is_paused(self) -> bool:
        return self._kill or self._reactor_checkpoint.holds or not self.is_alive()

    @_is_paused.setter
    def _is_paused(self, value: bool) -> None:
        pass

    def _serve_request(self, msg: DimseServiceType, context_id: int) -> None:
        with self._reactor_checkpoint.serving():
            super()._serve_request(msg, context_id)
