"""When the node has been short of disk or database for so long that nobody gets in.

An association that is open hears 0xA700 for each instance at once. New ones are let in
for a while, to hear the same; then they are rejected as "temporary congestion"
(PS3.8 9.3.4), which senders take for what it is and come again.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

from dicom_node.core.errors import DatabaseError

log = logging.getLogger("dicom_node.receive")

LOW_DISK: Final = "free disk space is below receive.min_free_bytes"
NO_DATABASE: Final = "the database does not take writes"

# The disk is asked, and a database that failed is tried again, once in so long.
_LOOK_SECONDS: Final = 1.0
# So much more than the limit has to be free before anybody gets in again: a sender that
# takes the last bytes of it must not open and close the door with every image.
_MARGIN: Final = 1 / 10

Given = ParamSpec("Given")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplies:
    """What receiving needs, and how long it may be short of it.

    Args:
        min_free_bytes: of the disk; with 0 it is never short.
        free_bytes: of the disk now; OSError if it does not answer.
        takes_writes: tries the database; it may wait.
        after_seconds: new associations are rejected when it was short for so long.
    """

    min_free_bytes: int
    free_bytes: Callable[[], int]
    takes_writes: Callable[[], bool]
    after_seconds: float


class Congestion:
    """Knows what the node is short of; safe for threads."""

    def __init__(
        self, supplies: Supplies, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._supplies = supplies
        self._clock = clock
        self._looking = threading.Lock()
        self._changing = threading.Lock()
        self._trying = False
        self._next_look = 0.0
        self._disk_since: float | None = None
        self._database_since: float | None = None
        self._answers = threading.Event()
        self._answers.set()
        self._closed = threading.Event()
        self._told = ""

    @classmethod
    def never(cls) -> "Congestion":
        """Return one that is never congested."""
        return cls(
            Supplies(
                min_free_bytes=0,
                free_bytes=lambda: 0,
                takes_writes=lambda: True,
                after_seconds=float("inf"),
            )
        )

    def reason(self) -> str:
        """Return why nobody can be let in for now, "" when all is well."""
        self._look_at_disk()
        reason = ""
        if self._is_over(self._disk_since):
            reason = LOW_DISK
        elif self._is_over(self._database_since):
            reason = NO_DATABASE
        self._tell(reason)
        return reason

    def watched(self, step: Callable[Given, Result]) -> Callable[Given, Result]:
        """Return the step, whose success or DatabaseError is noted from now on."""

        def watching(*given: Given.args, **named: Given.kwargs) -> Result:
            try:
                result = step(*given, **named)
            except DatabaseError:
                self._database_failed()
                raise
            if self._database_since is not None:
                self._database_answered()
            return result

        return watching

    def await_database(self, stop: threading.Event) -> bool:
        """Wait until the database answers again; False if it is to stop before."""
        while not stop.is_set() and not self._closed.is_set():
            if self._answers.wait(_LOOK_SECONDS):
                return True
        return False

    def close(self) -> None:
        """Try the database no more."""
        self._closed.set()

    def _is_over(self, since: float | None) -> bool:
        if since is None:
            return False
        return self._clock() - since >= self._supplies.after_seconds

    def _look_at_disk(self) -> None:
        limit = self._supplies.min_free_bytes
        # A disk that hangs takes one thread with it, not everybody's.
        if not limit or not self._looking.acquire(blocking=False):
            return
        try:
            now = self._clock()
            if now < self._next_look:
                return
            self._next_look = now + _LOOK_SECONDS
            short = self._disk_since is not None
            wanted = limit + limit * _MARGIN if short else limit
            try:
                low = self._supplies.free_bytes() < wanted
            except OSError:
                low = True
            if not low:
                self._disk_since = None
            elif not short:
                self._disk_since = now
        finally:
            self._looking.release()

    def _database_failed(self) -> None:
        with self._changing:
            if self._database_since is None:
                self._database_since = self._clock()
                self._answers.clear()
            if self._trying or self._closed.is_set():
                return
            self._trying = True
        threading.Thread(
            target=self._try_database, name="receive-database", daemon=True
        ).start()

    def _database_answered(self) -> None:
        with self._changing:
            self._database_since = None
            self._answers.set()

    def _try_database(self) -> None:
        """Try until it answers: those who could have noticed are not let in."""
        while not self._closed.wait(_LOOK_SECONDS):
            if self._database_since is not None and self._supplies.takes_writes():
                self._database_answered()
            with self._changing:
                if self._database_since is None:
                    self._trying = False
                    return

    def _tell(self, reason: str) -> None:
        if reason == self._told:
            return
        self._told = reason
        if reason:
            log.error("new associations are rejected", extra={"reason": reason})
        else:
            log.info("new associations are taken again")
