"""HTTP connections that cannot be held open: uvicorn has no deadline of its own."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """How long one may take and how many there may be.

    Args:
        request_seconds: from the connection, or from the answer before, to the answer.
        connections: the oldest goes when there is one more.
    """

    request_seconds: float = 10.0
    connections: int = 64


class BoundedProtocol(H11Protocol):
    """Ends a connection whose request and answer take too long."""

    limits: ClassVar = ConnectionLimits()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.opened = time.monotonic()
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of the first request; make room if there are too many."""
        super().connection_made(transport)
        self._restart_clock()
        others = [item for item in self.connections if isinstance(item, type(self))]
        if len(others) > self.limits.connections:
            min(others, key=lambda item: item.opened).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Start the clock of the next request."""
        super().on_response_complete()
        self._restart_clock()

    def _restart_clock(self) -> None:
        # Also for one that is closing: its peer may not read what is left to send.
        self._stop_clock()
        self._deadline = self.loop.call_later(
            self.limits.request_seconds, self.transport.abort
        )

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def bounded(limits: ConnectionLimits) -> type[BoundedProtocol]:
    """Return the protocol with these limits; uvicorn makes one per connection."""
    return type("BoundedProtocol", (BoundedProtocol,), {"limits": limits})
