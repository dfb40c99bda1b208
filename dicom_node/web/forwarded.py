"""Whether a request came through a proxy: then loopback is nobody's own machine."""

from typing import Final

from starlette.requests import Request

# RFC 7239, and what proxies said before it.
_HEADERS: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


def is_forwarded(request: Request) -> bool:
    """Say whether a proxy says that it asks for somebody else."""
    return any(name in request.headers for name in _HEADERS)
