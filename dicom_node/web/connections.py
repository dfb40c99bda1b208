"""HTTP connections that cannot be held open: uvicorn has no deadline of its own."""

import asyncio
import time
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS: Final = 10.0
CONNECTIONS_MAX: Final = 64


class BoundedProtocol(H11Protocol):
    """Ends a connection whose request and answer take too long.

    The oldest connection makes room for a new one when there are too many.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.opened = time.monotonic()
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock of the first request."""
        super().connection_made(transport)
        self._restart_clock()
        others = [item for item in self.connections if isinstance(item, type(self))]
        if len(others) > CONNECTIONS_MAX:
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
        self._stop_clock()
        if not self.transport.is_closing():
            self._deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
