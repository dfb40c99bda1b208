"""The three addresses: /healthz, /readyz, /metrics."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from db.queries import Backlog
from dicom_node.core.errors import NodeError
from dicom_node.web.checks import Look
from dicom_node.web.probe import Probe
from dicom_node.web.token import Token

_CHECK_SECONDS: Final = 1.0
_HEAD_BYTES_MAX: Final = 8192
# Counting jobs by state takes longer the more there are: once for many monitors.
_BACKLOG_SECONDS: Final = 3.0
_BACKLOG_KEEP_SECONDS: Final = 5.0
_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'"),
    (b"x-content-type-options", b"nosniff"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the pages show.

    Args:
        checks: by name; each returns a detail or raises NodeError with the remedy.
        backlog: from the database; may raise.
        metrics: the whole text, whether the database answered or not (None).
        token: who may see /metrics and the details; None: everybody.
    """

    checks: Mapping[str, Look]
    backlog: Callable[[], Backlog]
    metrics: Callable[[Backlog | None], bytes]
    metrics_type: str
    token: Token | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check's outcome."""

    what: str
    good: bool
    detail: str


def build_pages(contents: Contents) -> ASGIApp:
    """Make the application."""
    probes = {
        name: Probe(partial(_look, name, look), seconds=_CHECK_SECONDS)
        for name, look in contents.checks.items()
    }
    backlog = Probe(
        contents.backlog, seconds=_BACKLOG_SECONDS, keep_seconds=_BACKLOG_KEEP_SECONDS
    )
    metrics = Probe(
        lambda: contents.metrics(backlog.last), seconds=_CHECK_SECONDS, keep_seconds=0
    )

    async def health(_request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def ready(request: Request) -> Response:
        found = await asyncio.gather(*(_found(*item) for item in probes.items()))
        good = all(item.good for item in found)
        shown: dict[str, object] = {"ready": good}
        if _may_see(request, contents.token):
            shown["checks"] = [
                {"what": item.what, "good": item.good, "detail": item.detail}
                for item in found
            ]
        return JSONResponse(shown, status_code=200 if good else 503)

    async def measured(request: Request) -> Response:
        if not _may_see(request, contents.token):
            return PlainTextResponse(
                "a bearer token is needed\n",
                status_code=401,
                headers={"WWW-Authenticate": 'Bearer realm="dicom-node"'},
            )
        await backlog.answer()
        text = await metrics.answer()
        if text is None:
            return PlainTextResponse("the metrics cannot be read\n", status_code=503)
        return Response(text, media_type=contents.metrics_type)

    pages = {"/healthz": health, "/readyz": ready, "/metrics": measured}
    site = Starlette(routes=[Route(path, page) for path, page in pages.items()])
    # The redirect would repeat the Host header of whoever asks.
    site.router.redirect_slashes = False
    return _Guard(site)


def _may_see(request: Request, token: Token | None) -> bool:
    return token is None or token.matches(request.headers.get("authorization", ""))


async def _found(name: str, probe: Probe[Finding]) -> Finding:
    late = f"no answer within {_CHECK_SECONDS:g} s: it is down, or its disk is"
    return await probe.answer() or Finding(what=name, good=False, detail=late)


def _look(name: str, look: Look) -> Finding:
    try:
        return Finding(what=name, good=True, detail=look())
    except NodeError as error:
        return Finding(what=name, good=False, detail=str(error))


class _Guard:
    """Refuses requests with a body or a large head; no answer may be kept."""

    def __init__(self, site: ASGIApp) -> None:
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await (_refusal(scope) or self._site)(scope, receive, send_guarded)


def _refusal(scope: Scope) -> Response | None:
    """Return the answer to a request that is not looked at; it ends the connection."""
    headers = dict(scope.get("headers", ()))
    size = len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
    size += sum(len(name) + len(value) for name, value in scope.get("headers", ()))
    status, text = 0, ""
    if size > _HEAD_BYTES_MAX:
        status, text = 431, "the request's head is too large\n"
    elif headers.get(b"content-length", b"0") != b"0" or (
        b"transfer-encoding" in headers
    ):
        status, text = 413, "no request body is taken\n"
    if not status:
        return None
    return PlainTextResponse(text, status, headers={"Connection": "close"})
