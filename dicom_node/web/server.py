"""Listen for HTTP and serve the pages until told to stop."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from dicom_node.listening import Place
from dicom_node.web.connections import ConnectionLimits, bounded

_KEEP_ALIVE_SECONDS: Final = 5
_FINISH_SECONDS: Final = 2
_HEADER_BYTES: Final = 16384
_LIMITS: Final = ConnectionLimits()


def serve_pages(
    pages: ASGIApp,
    listener: socket.socket,
    *,
    stopped: Callable[[], bool],
    limits: ConnectionLimits = _LIMITS,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until `stopped` says so.

    Args:
        tls: the port speaks HTTPS with it.
    """
    # URLs may hold anything that a client writes: there is no access log.
    config = uvicorn.Config(
        pages,
        loop="asyncio",
        http=bounded(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_FINISH_SECONDS,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        ssl_context_factory=None if tls is None else lambda _config, _make: tls,
    )
    asyncio.run(_Server(config, stopped).serve(sockets=[listener]))


class _Server(uvicorn.Server):
    """Looks whether it should stop ten times a second."""

    def __init__(self, config: uvicorn.Config, stopped: Callable[[], bool]) -> None:
        super().__init__(config)
        self._stopped = stopped

    async def on_tick(self, counter: int) -> bool:
        """Say whether to stop."""
        return await super().on_tick(counter) or self._stopped()


def page_place(host: str, port: int) -> Place:
    """Return where the page is served; port 0 is any free one."""
    return Place(host=host, port=port, host_setting="web.host", port_setting="web.port")
