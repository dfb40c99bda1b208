"""Whether a request that changes something comes from a page of this site."""

import hashlib
import hmac
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.requests import Request

FIELD = "csrf"
HEADER = "x-csrf-token"


def csrf_token(cookie: str) -> str:
    """Return what the forms of this cookie's holder carry.

    Who can plant a page elsewhere cannot read the cookie, and so not make this.
    """
    return hmac.new(cookie.encode(), b"dicom-node csrf", hashlib.sha256).hexdigest()


def has_token(cookie: str, shown: str) -> bool:
    """Say whether the token that was shown belongs to the cookie."""
    return bool(cookie) and hmac.compare_digest(
        csrf_token(cookie).encode(), shown.encode("utf-8", "replace")
    )


def is_same_origin(request: Request, names: Collection[str]) -> bool:
    """Say whether the browser says that a page of this site sent the request.

    A program that is no browser says nothing, which counts as yes: it has no cookie
    that somebody else's page could make it send.

    Args:
        names: by which a proxy's clients call the site.

    Source: Fetch (Sec-Fetch-Site), RFC 6454 (Origin).
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    if site not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
        host = (parts.hostname or "").lower()
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not host:
        return False
    return parts.netloc == request.headers.get("host", "") or host in names
