"""The site: login, API, pages, health and metrics in one application."""

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from config.web import WebTable
from db.logins import LoginFailures
from dicom_node.core.errors import NodeError
from dicom_node.core.people import LOCAL, Role
from dicom_node.web.auth import BODY_BYTES_MAX, Gate
from dicom_node.web.desk import Desk
from dicom_node.web.headers import STATIC, Guard, GuardRules
from dicom_node.web.limits import LoginLimits
from dicom_node.web.login import login_routes
from dicom_node.web.pages import Contents, monitor_routes
from dicom_node.web.problems import Problem, is_api, tell
from dicom_node.web.templates import Furnish

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_TEXTS: Final[Mapping[int, str]] = {
    404: "there is nothing at this address",
    405: "this address does not take this method",
}


def _bare(_request: Request) -> Mapping[str, Any]:
    return {}


def create_app(
    desk: Desk,
    contents: Contents,
    *,
    routes: Sequence[BaseRoute] = (),
    furnish: Furnish = _bare,
    limits: LoginLimits | None = None,
) -> ASGIApp:
    """Make the application.

    Args:
        contents: of health and metrics.
        routes: of the API and the pages; each endpoint through `auth.require`.
        furnish: what every template sees beside its own context.
        limits: of logins; a test brings its own.
    """
    kept = LoginFailures(desk.database, desk.clock)
    gate = Gate(desk, limits or LoginLimits(kept))

    async def may_see(request: Request) -> bool:
        return await run_in_threadpool(_is_operator, gate, request)

    static = StaticFiles(directory=str(resources.files("dicom_node.web") / "static"))
    site = Starlette(
        routes=[
            *monitor_routes(contents, may_see),
            *login_routes(),
            *routes,
            Mount(STATIC.rstrip("/"), static, name="static"),
        ],
        exception_handlers={HTTPException: _explain, Exception: _apologise},
    )
    site.state.gate = gate
    site.state.desk = desk
    site.state.furnish = furnish
    site.router.redirect_slashes = False
    return Guard(site, rules(desk.settings.web))


def rules(web: WebTable) -> GuardRules:
    """Return what the guard lets through under these settings."""
    names = frozenset(web.names) | _LOOPBACK | {web.host.lower()}
    return GuardRules(
        body_bytes_max=BODY_BYTES_MAX,
        hosts=names if web.names or not web.login_required else None,
        secure=web.secure,
    )


def _is_operator(gate: Gate, request: Request) -> bool:
    try:
        visitor = gate.identify(request)
    except NodeError:
        return False
    # Whoever is at this machine has shown nothing: the token's rule stays.
    if visitor is None or visitor is LOCAL:
        return False
    return visitor.role.covers(Role.OPERATOR)


def _explain(request: Request, error: Exception) -> Response:
    """Answer for what Starlette refuses."""
    if not isinstance(error, HTTPException):
        return _apologise(request, error)
    text = _TEXTS.get(error.status_code, "the request cannot be answered")
    headers = dict(error.headers or {})
    return tell(request, Problem(error.status_code, text), headers)


def _apologise(request: Request, _error: Exception) -> Response:
    """Answer for a fault of ours, which may be one of the templates.

    The log has its class and line.
    """
    text = "something went wrong here: the node's log has the class of the error"
    if is_api(request):
        return tell(request, Problem(500, text))
    return PlainTextResponse(text + "\n", status_code=500)
