"""What every answer says to browsers, and which requests are not looked at."""

from dataclasses import dataclass
from typing import Final

from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEAD_BYTES_MAX: Final = 8192
STATIC: Final = "/static/"
# Nothing inline, nothing from elsewhere. Pictures are ours, or made by a script.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; "
    b"img-src 'self' data:; connect-src 'self'; form-action 'self'; "
    b"frame-ancestors 'none'; base-uri 'none'"
)
_EVERY: Final = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    # Not "no-referrer": a form would then say "Origin: null" to this very site.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
_NO_STORE: Final = (b"cache-control", b"no-store")
_REVALIDATE: Final = (b"cache-control", b"no-cache")
_ONLY_HTTPS: Final = (b"strict-transport-security", b"max-age=31536000")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardRules:
    """What is let through.

    Args:
        body_bytes_max: of a POST; 0: no request has a body.
        hosts: names in the Host header, lower case; None: any. Where nobody has to
            log in, another site's name could else be pointed at this address, and
            its scripts would read the page (DNS rebinding).
        secure: browsers speak HTTPS with the site.
    """

    body_bytes_max: int = 0
    hosts: frozenset[str] | None = None
    secure: bool = False


class Guard:
    """Refuses what is too large or meant for others; adds the headers to answers."""

    def __init__(self, site: ASGIApp, rules: GuardRules) -> None:
        self._site, self._rules = site, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        added = [*_EVERY]
        static = str(scope.get("path", "")).startswith(STATIC)
        added.append(_REVALIDATE if static else _NO_STORE)
        if self._rules.secure:
            added.append(_ONLY_HTTPS)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *added]
            await send(message)

        answer = _refusal(scope, self._rules) or self._site
        await answer(scope, receive, send_guarded)


def _refusal(scope: Scope, rules: GuardRules) -> Response | None:
    """Return the answer to a request that is not looked at; it ends the connection."""
    status, text = _fault(scope, rules)
    if not status:
        return None
    return PlainTextResponse(text, status, headers={"Connection": "close"})


def _fault(scope: Scope, rules: GuardRules) -> tuple[int, str]:
    headers = dict(scope.get("headers", ()))
    size = len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
    size += sum(len(name) + len(value) for name, value in scope.get("headers", ()))
    if size > _HEAD_BYTES_MAX:
        return 431, "the request's head is too large\n"
    limit = rules.body_bytes_max if scope.get("method") == "POST" else 0
    length = headers.get(b"content-length", b"0")
    if b"transfer-encoding" in headers or not length.isdigit() or int(length) > limit:
        return 413, (
            f"a request body has a Content-Length of up to {limit}\n"
            if limit
            else "no request body is taken\n"
        )
    if rules.hosts is not None and host_name(headers.get(b"host")) not in rules.hosts:
        return 421, (
            "this page is not known by that name: add it to web.names, or call the "
            "page by this machine's address\n"
        )
    return 0, ""


def host_name(header: bytes | None) -> str:
    """Return the name in a Host header, lower case and without port."""
    text = (header or b"").decode("latin-1").strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0].rstrip(".")
