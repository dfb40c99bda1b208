"""Log in with name and password, and log out."""

import logging
from math import ceil
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

import db.people
import db.sessions
from dicom_node.core.people import User
from dicom_node.web.auth import Gate, require
from dicom_node.web.passwords import hash_password, is_outdated, is_password
from dicom_node.web.sessions import digest, new_cookie
from dicom_node.web.templates import render

log = logging.getLogger("dicom_node.web.login")

_NEXT_MAX: Final = 512


def login_routes() -> list[Route]:
    """Make the routes."""
    return [
        Route("/login", require(None)(_show), methods=["GET"]),
        Route("/login", require(None)(_log_in), methods=["POST"]),
        Route("/logout", require(None)(_log_out), methods=["POST"]),
    ]


def local_path(text: str) -> str:
    """Return where to go after the login: a path of this site, else the first page."""
    plain = text.isprintable() and text.isascii() and "\\" not in text
    local = text.startswith("/") and not text.startswith("//")
    return text if plain and local and len(text) <= _NEXT_MAX else "/"


def _show(request: Request) -> Response:
    wanted = local_path(request.query_params.get("next", "/"))
    gate: Gate = request.app.state.gate
    if request.state.user is not None or not gate.login_needed():
        return RedirectResponse(wanted, status_code=303)
    return _form(request, wanted, "", 200)


def _form(request: Request, wanted: str, fault: str, status: int) -> Response:
    context = {"next": wanted, "fault": fault}
    return render(request, "login.html", context, status=status)


def _log_in(request: Request) -> Response:
    gate: Gate = request.app.state.gate
    fields = request.state.form
    name, password = fields.get("name", "")[:256], fields.get("password", "")
    wanted = local_path(fields.get("next", "/"))
    address = gate.address(request)
    if wait := gate.limits.begin(name, address):
        log.warning("too many logins", extra={"peer": address})
        fault = f"too many attempts: wait {ceil(wait)} seconds"
        response = _form(request, wanted, fault, 429)
        response.headers["Retry-After"] = str(ceil(wait))
        return response
    user = _check(gate, name, password)
    if user is None:
        # Some type the password where the name belongs: it is not written down.
        known = db.people.find_user(gate.desk.database, name) is not None
        gate.record(name if known else "unknown", "login failed", detail=address)
        log.warning("login failed", extra={"peer": address})
        return _form(request, wanted, "name or password is wrong", 403)
    gate.limits.succeeded(name, address)
    return _welcome(request, user, wanted)


def _check(gate: Gate, name: str, password: str) -> User | None:
    """Return the user whose password this is; it takes as long without one."""
    database = gate.desk.database
    found = db.people.find_user(database, name)
    if not is_password(password, found[1] if found else None) or found is None:
        return None
    user, kept = found
    if user.disabled_at is not None:
        return None
    if is_outdated(kept):
        fresh = hash_password(password)
        db.people.rehash_password(database, user, old=kept, new=fresh)
    return user


def _welcome(request: Request, user: User, wanted: str) -> Response:
    gate: Gate = request.app.state.gate
    desk, address = gate.desk, gate.address(request)
    if old := gate.cookie.read(request):
        db.sessions.close_session(desk.database, digest(old))
    cookie = new_cookie()
    db.sessions.open_session(
        desk.database,
        user,
        digest=digest(cookie),
        limits=desk.session_limits,
        now=desk.clock.now(),
    )
    gate.record(user.name, "login", detail=address)
    log.info("login", extra={"peer": address})
    response = RedirectResponse(wanted, status_code=303)
    gate.cookie.give(response, cookie)
    return response


def _log_out(request: Request) -> Response:
    gate: Gate = request.app.state.gate
    if cookie := gate.cookie.read(request):
        db.sessions.close_session(gate.desk.database, digest(cookie))
    if request.state.user is not None:
        gate.record(request.state.user.name, "logout")
    response = RedirectResponse("/login", status_code=303)
    gate.cookie.take(response)
    return response
