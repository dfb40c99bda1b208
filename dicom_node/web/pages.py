"""The three addresses: /healthz, /readyz, /metrics."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from db.queries import Backlog
from dicom_node.core.errors import NodeError
from dicom_node.web.checks import Look
from dicom_node.web.forwarded import is_forwarded
from dicom_node.web.headers import Guard, GuardRules
from dicom_node.web.probe import Probe
from dicom_node.web.token import Token

_CHECK_SECONDS: Final = 1.0
# Counting jobs by state takes longer the more there are: once for many monitors.
_BACKLOG_SECONDS: Final = 3.0
_BACKLOG_KEEP_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What the pages show.

    Args:
        checks: by name; each returns a detail or raises NodeError with the remedy.
        backlog: from the database; may raise.
        metrics: the whole text, whether the database answered or not (None).
        token: who may see /metrics and the details.
        is_open: without a token everybody at this machine may.
    """

    checks: Mapping[str, Look]
    backlog: Callable[[], Backlog]
    metrics: Callable[[Backlog | None], bytes]
    metrics_type: str
    token: Token | None = None
    is_open: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check's outcome."""

    what: str
    good: bool
    detail: str


async def _nobody_else(_request: Request) -> bool:
    return False


def build_pages(contents: Contents) -> ASGIApp:
    """Make an application of these three alone."""
    site = Starlette(routes=monitor_routes(contents))
    # The redirect would repeat the Host header of whoever asks.
    site.router.redirect_slashes = False
    return Guard(site, GuardRules())


def monitor_routes(
    contents: Contents, may_see: Callable[[Request], Awaitable[bool]] = _nobody_else
) -> list[Route]:
    """Make the three addresses.

    Args:
        may_see: who sees what the token opens, beside those who show it.
    """
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
        if await sees(request):
            shown["checks"] = [
                {"what": item.what, "good": item.good, "detail": item.detail}
                for item in found
            ]
        return JSONResponse(shown, status_code=200 if good else 503)

    async def measured(request: Request) -> Response:
        if not await sees(request):
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

    async def sees(request: Request) -> bool:
        token = contents.token
        if token is None and contents.is_open and not is_forwarded(request):
            return True
        shown = request.headers.get("authorization", "")
        known = token is not None and token.matches(shown)
        return known or await may_see(request)

    pages = {"/healthz": health, "/readyz": ready, "/metrics": measured}
    return [Route(path, page) for path, page in pages.items()]


async def _found(name: str, probe: Probe[Finding]) -> Finding:
    late = f"no answer within {_CHECK_SECONDS:g} s: it is down, or its disk is"
    return await probe.answer() or Finding(what=name, good=False, detail=late)


def _look(name: str, look: Look) -> Finding:
    try:
        return Finding(what=name, good=True, detail=look())
    except NodeError as error:
        return Finding(what=name, good=False, detail=str(error))
