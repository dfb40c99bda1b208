"""What every page has around it: words, times, colours, where one is."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from dicom_node.core.people import Role
from dicom_node.web.templates import environment, load_all
from dicom_node.web.words import LANGUAGES, Catalogue, catalogue, choose_language

_LANGUAGE_COOKIE: Final = "dicom-node-language"
_THEME_COOKIE: Final = "dicom-node-theme"
THEMES: Final = ("dark", "light")
_YEAR_SECONDS: Final = 365 * 24 * 3600
# Address, key after "g", words, who sees it.
_PAGES: Final = (
    ("/", "l", "nav.list", Role.VIEWER),
    ("/queues", "q", "nav.work", Role.VIEWER),
    ("/refused", "x", "nav.refused", Role.VIEWER),
    ("/models", "m", "nav.models", Role.VIEWER),
    ("/health", "h", "nav.health", Role.VIEWER),
    ("/users", "u", "nav.users", Role.ADMIN),
    ("/audit", "a", "nav.audit", Role.ADMIN),
)


def load_pages() -> None:
    """Read what pages are made of before the first one is asked for."""
    for language in LANGUAGES:
        catalogue(language)
    load_all(environment())


def words_for(request: Request) -> Catalogue:
    """Return the words in the reader's language."""
    return catalogue(
        choose_language(
            request.headers.get("accept-language", ""),
            wanted=request.cookies.get(_LANGUAGE_COOKIE, ""),
        )
    )


def surroundings(request: Request) -> dict[str, Any]:
    """Return what `base.html` needs."""
    t = words_for(request)
    user = getattr(request.state, "user", None)
    theme = request.cookies.get(_THEME_COOKIE, "")
    path = request.url.path
    query = f"?{request.url.query}" if request.url.query else ""
    return {
        "t": t,
        "languages": LANGUAGES,
        "theme": theme if theme in THEMES else THEMES[0],
        "pages": [
            (place, key, t(words))
            for place, key, words, role in _PAGES
            if user is not None and user.role.covers(role)
        ],
        "active": path,
        "here": path + query if request.method == "GET" else "/",
        "node": request.app.state.desk.settings.node.ae_title,
    }


def own_path(text: str) -> str:
    """Return a path of this site, "/" for anything else."""
    plain = text.isprintable() and text.isascii() and "\\" not in text
    if not plain or not text.startswith("/") or text.startswith("//"):
        return "/"
    parts = urlsplit(text)
    return "/" if parts.scheme or parts.netloc else text


def set_preferences(request: Request) -> Response:
    """Remember language and colours in cookies, and go back."""
    asked = request.query_params
    response = RedirectResponse(own_path(asked.get("to", "/")), status_code=303)
    language, theme = asked.get("lang", ""), asked.get("theme", "")
    chosen = []
    if language in LANGUAGES:
        chosen.append((_LANGUAGE_COOKIE, language))
    if theme in THEMES:
        chosen.append((_THEME_COOKIE, theme))
    for name, value in chosen:
        response.set_cookie(
            name,
            value,
            max_age=_YEAR_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.app.state.desk.settings.web.secure,
        )
    return response


def iso(when: datetime) -> str:
    """Write a time for machines."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds")


def utc(when: datetime) -> str:
    """Write a time in UTC."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def local(when: datetime) -> str:
    """Write a time in the zone of this machine; a script turns it into the reader's."""
    return f"{when.astimezone():%Y-%m-%d %H:%M:%S}"


def span(t: Catalogue, length: timedelta) -> str:
    """Write how long something takes, as exactly as it matters."""
    seconds = max(int(length.total_seconds()), 0)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 60:
        return t("site.seconds", n=seconds)
    if minutes < 60:
        return t("site.minutes", n=minutes)
    if hours < 24:
        return t("site.hours", h=hours, m=minutes % 60)
    return t("site.days", n=days, h=hours % 24)


environment().filters.update(iso=iso, utc=utc, local=local)
