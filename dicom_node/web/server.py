"""Listen for HTTP and serve the pages until told to stop."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from dicom_node.core.errors import ConfigError
from dicom_node.web.connections import ConnectionLimits, bounded

_BACKLOG: Final = 64
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


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket; port 0 is any free one.

    Raises:
        ConfigError: nobody can listen there, or somebody does already.
    """
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = min(found, key=lambda item: item[0])
        listener = socket.socket(family, kind, protocol)
    except OSError:
        raise ConfigError(
            f"web.host '{host}' is no address of this machine: use 127.0.0.1 or one of "
            "its own addresses"
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(_explain(error, host, port)) from None
    return listener


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken: stop the other program, or set another "
            "web.port"
        )
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges: set a web.port of 1024 or more"
    return (
        f"cannot listen on {host} port {port}: check web.host, it has to be an address "
        "of this machine"
    )
