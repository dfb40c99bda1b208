"""Who sent a request and whether they may: around every page and API route.

A page is a plain function from a request to an answer and runs in a thread. Before it
runs, `request.state` has `user` (a Visitor), `csrf` (for its forms) and `form` (of a
POST).
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import parse_qsl, quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

import db.audit
import db.people
import db.sessions
from dicom_node.core.errors import DatabaseError, LostRace, NodeError
from dicom_node.core.ids import StudyId
from dicom_node.core.people import LOCAL, AuditEntry, Role, Visitor
from dicom_node.web import csrf
from dicom_node.web.desk import Desk
from dicom_node.web.forwarded import is_forwarded
from dicom_node.web.limits import LoginLimits
from dicom_node.web.problems import Problem, is_api, tell
from dicom_node.web.sessions import Cookie, digest, new_cookie

log = logging.getLogger("dicom_node.web.auth")

Page = Callable[[Request], Response]
Endpoint = Callable[[Request], Awaitable[Response]]

BODY_BYTES_MAX: Final = 65536
_FIELDS_MAX: Final = 64
_FORM: Final = "application/x-www-form-urlencoded"
_SAFE: Final = ("GET", "HEAD")
_BEARER: Final = "bearer"
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="dicom-node"'}


class Gate:
    """Knows who may come in."""

    def __init__(self, desk: Desk, limits: LoginLimits) -> None:
        self.desk, self.limits = desk, limits
        self.cookie = Cookie(secure=desk.settings.web.secure)
        self._closed = desk.settings.web.login_required

    def identify(self, request: Request) -> Visitor | None:
        """Return who asks, None who has to log in.

        A bearer token counts alone: who shows a wrong one is nobody, whatever cookie
        comes with it.
        """
        desk, now = self.desk, self.desk.clock.now()
        shown = request.headers.get("authorization")
        if shown is not None:
            scheme, _, secret = shown.strip().partition(" ")
            if scheme.lower() != _BEARER:
                return None
            token = db.people.use_token(desk.database, digest(secret.strip()), now=now)
            if token is None:
                return None
            return Visitor(
                name=f"token {token.name}",
                role=token.role,
                sees_names=token.sees_names,
                by_token=True,
            )
        if cookie := self.cookie.read(request):
            user = db.sessions.use_session(
                desk.database, digest(cookie), limits=desk.session_limits, now=now
            )
            if user is not None:
                return Visitor(
                    name=user.name, role=user.role, sees_names=user.sees_names
                )
        # Through a proxy everybody comes from loopback, whatever the settings say.
        return None if self.login_needed() or is_forwarded(request) else LOCAL

    def login_needed(self) -> bool:
        """Say whether nobody gets in without a login."""
        return self._closed or db.people.has_users(self.desk.database)

    def address(self, request: Request) -> str:
        """Return whom the request came from; of what a proxy says, its own part."""
        if self.desk.settings.web.behind_proxy:
            named = request.headers.get("x-forwarded-for", "").rpartition(",")[2]
            if named.strip():
                return named.strip()[:64]
        return request.client.host if request.client else ""

    def record(
        self,
        who: str,
        action: str,
        *,
        study_ids: Sequence[StudyId | None] = (None,),
        detail: str = "",
    ) -> None:
        """Write lines of the audit: one, or one for each study."""
        at = self.desk.clock.now()
        entries = (
            AuditEntry(at=at, who=who, action=action, study_id=one, detail=detail)
            for one in study_ids
        )
        db.audit.record(self.desk.database, *entries)

    def protect(self, request: Request) -> None:
        """Refuse a change that another site's page may have asked for.

        Raises:
            Problem: it may have.
        """
        names = self.desk.settings.web.names
        cookie = self.cookie.read(request)
        shown = request.headers.get(csrf.HEADER) or request.state.form.get(csrf.FIELD)
        if not csrf.is_same_origin(request, names) or not csrf.has_token(
            cookie, shown or ""
        ):
            raise Problem(
                403, "this was not asked for by a page of this site: load it again"
            )

    def answer(self, request: Request, page: Page, role: Role | None) -> Response:
        """Let a page answer whom it is for.

        Args:
            role: None: everybody, logged in or not.
        """
        cookie = self.cookie.read(request)
        fresh = "" if cookie or is_api(request) else new_cookie()
        request.state.csrf = csrf.csrf_token(cookie or fresh)
        request.state.user = None
        try:
            response = self._admit(request, page, role)
        except Problem as problem:
            response = tell(request, problem)
        except LostRace:
            changed = "somebody was quicker: look where it stands now"
            response = tell(request, Problem(409, changed))
        except DatabaseError:
            down = "the database does not answer: try again, /readyz says what is wrong"
            response = tell(request, Problem(503, down))
        except NodeError as error:
            response = tell(request, Problem(500, str(error)))
        if fresh and "set-cookie" not in response.headers:
            self.cookie.give(response, fresh)
        return response

    def _admit(self, request: Request, page: Page, role: Role | None) -> Response:
        visitor = self.identify(request)
        request.state.user = visitor
        if role is not None:
            if visitor is None:
                return self._ask_to_log_in(request)
            if not visitor.role.covers(role):
                raise Problem(403, f"this takes the role {role}")
        if request.method not in _SAFE and not (visitor and visitor.by_token):
            self.protect(request)
        return page(request)

    def _ask_to_log_in(self, request: Request) -> Response:
        if is_api(request):
            text = "an API token or a login is needed: `dicom-node users token add`"
            return tell(request, Problem(401, text), _CHALLENGE)
        if request.method not in _SAFE:
            raise Problem(401, "the login is over: log in and do it again")
        here = request.url.path
        if request.url.query:
            here += f"?{request.url.query}"
        return RedirectResponse(f"/login?next={quote(here, safe='')}", status_code=303)


def require(role: Role | None) -> Callable[[Page], Endpoint]:
    """Let only visitors with this role, or one above, have the page.

    Args:
        role: None: everybody; `request.state.user` may then be None.
    """

    def wrap(page: Page) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            gate: Gate = request.app.state.gate
            request.state.form = {}
            if request.method not in _SAFE:
                try:
                    request.state.form = await _read_form(request)
                except Problem as problem:
                    return tell(request, problem)
            return await run_in_threadpool(gate.answer, request, page, role)

        return endpoint

    return wrap


async def _read_form(request: Request) -> dict[str, str]:
    """Read the fields of a form; the guard has bounded the body.

    Raises:
        Problem: it is something else.
    """
    body = await request.body()
    if not body:
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM:
        raise Problem(415, f"a body has the type {_FORM}")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_FIELDS_MAX,
        )
    except ValueError:
        raise Problem(400, "the form cannot be read: send fields in UTF-8") from None
    if len(dict(pairs)) != len(pairs):
        raise Problem(400, "a field of the form is there twice")
    return dict(pairs)
