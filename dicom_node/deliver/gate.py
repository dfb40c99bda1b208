"""Where pynetdicom's own thread has to wait while an answer is asked for.

pynetdicom 3.0.4 closes its gate, an Event, and sends as soon as its thread says that it
is about to wait there. If the thread had just gone through, it takes the next message
as a request of the peer's: an answer that comes within that moment is lost, which one
in some thousand answers of a fast peer does.
"""

import threading

from pynetdicom.association import Association

_LOOK_SECONDS = 0.05


class Gate:
    """Stands in for the Event, and knows whether somebody waits."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._open = True
        self._waiting = 0

    def guard(self, association: Association) -> None:
        """Take the Event's place in an association that has not begun."""
        association._reactor_checkpoint = self  # type: ignore[assignment]  # typed as an Event; wait and set do

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
        """Close the gate and come back when the thread waits there, or has ended."""
        with self._condition:
            self._open = False
            while not self._waiting and thread.is_alive():
                self._condition.wait(_LOOK_SECONDS)
