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
        request_seconds: from the connection, or from the answer before, until the
            request is whole.
        answer_seconds: from there until the answer is sent; an image may wait for
            others and takes a while to decode.
        connections: the oldest goes when there is one more.
    """

    request_seconds: float = 10.0
    answer_seconds: float = 60.0
    connections: int = 64


class BoundedProtocol(H11Protocol):
    """Ends a connection whose request and answer take too long."""

    limits: ClassVar = ConnectionLimits()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.opened = time.monotonic()
        self._deadline: asyncio.TimerHandle | None = None
        self._answering: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's class says the same
        """Start the clock of the first request; make room if there are too many."""
        super().connection_made(transport)
        self._restart_clock(self.limits.request_seconds)
        others = [item for item in self.connections if isinstance(item, type(self))]
        if len(others) > self.limits.connections:
            min(others, key=lambda item: item.opened).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._stop_clock()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Start the clock of the answer once a request is whole."""
        super().handle_events()
        asked = self.cycle
        if asked is None or asked is self._answering or asked.more_body:
            return
        self._answering = asked
        if not asked.response_complete:
            self._restart_clock(self.limits.answer_seconds)

    def on_response_complete(self) -> None:
        """Start the clock of the next request, which may have come already."""
        # Also for one that is closing: its peer may not read what is left to send.
        self._restart_clock(self.limits.request_seconds)
        super().on_response_complete()

    def _restart_clock(self, seconds: float) -> None:
        self._stop_clock()
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def bounded(limits: ConnectionLimits) -> type[BoundedProtocol]:
    """Return the protocol with these limits; uvicorn makes one per connection."""
    return type("BoundedProtocol", (BoundedProtocol,), {"limits": limits})
