"""Count who was sent home before an association, and tell it without a flood."""

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

log = logging.getLogger("dicom_node.receive")

_QUIET_SECONDS: Final = 60.0
_MAX_REMEMBERED: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnedAway:
    """Connections of one address that ended for one reason.

    Args:
        count: since this was told last, at least 1.
    """

    address: str
    reason: str
    count: int


OnTurnedAway = Callable[[TurnedAway], None]


class Doorkeeper:
    """Counts every connection turned away; tells each address and reason once a minute.

    Args:
        tell: called by whoever notes, the lobby: it must not wait.
    """

    def __init__(self, tell: OnTurnedAway | None = None) -> None:
        self._tell = tell
        self._counts: Counter[str] = Counter()
        self._told: dict[tuple[str, str], float] = {}
        self._untold: Counter[tuple[str, str]] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """How many connections each reason ended."""
        return dict(self._counts)

    def note(self, address: str, reason: str) -> None:
        """Count a connection, and tell of it unless that was done just now."""
        self._counts[reason] += 1
        key, now = (address, reason), time.monotonic()
        if key not in self._told and len(self._told) >= _MAX_REMEMBERED:
            self._forget(now)
            if len(self._told) >= _MAX_REMEMBERED:
                return  # a thousand addresses a minute: the count has to do
        self._untold[key] += 1
        if now - self._told.get(key, -_QUIET_SECONDS) < _QUIET_SECONDS:
            return
        self._told[key] = now
        told = TurnedAway(address=address, reason=reason, count=self._untold.pop(key))
        log.warning(
            "connection turned away",
            extra={"peer": address, "reason": reason, "count": told.count},
        )
        if self._tell is not None:
            self._tell(told)

    def _forget(self, now: float) -> None:
        for key, at in list(self._told.items()):
            if now - at >= _QUIET_SECONDS:
                del self._told[key]
                self._untold.pop(key, None)
