"""The cookie: a random text, kept in the database as its digest.

Everybody who opens a page gets one, and another at the login: what somebody may have
planted before is worth nothing after. Logged in is whose digest is in the table.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

_BYTES: Final = 32
_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_TOKEN_PREFIX: Final = "dn_"  # noqa: S105 - by which a leaked token is found


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """The cookie of this site.

    Args:
        secure: browsers send it over HTTPS only, and no other host can set it.
    """

    secure: bool

    @property
    def name(self) -> str:
        """Its name; browsers hold to what the prefix promises (RFC 6265bis 4.1.3)."""
        return "__Host-dicom-node" if self.secure else "dicom-node"

    def read(self, request: Request) -> str:
        """Return the cookie of a request, "" without one that can be ours."""
        text = request.cookies.get(self.name, "")
        return text if _TEXT.fullmatch(text) else ""

    def give(self, response: Response, text: str) -> None:
        """Send the cookie; it ends with the browser's session."""
        response.set_cookie(
            self.name,
            text,
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="strict",
        )

    def take(self, response: Response) -> None:
        """Make the browser forget it."""
        response.delete_cookie(
            self.name, path="/", secure=self.secure, httponly=True, samesite="strict"
        )


def new_cookie() -> str:
    """Return 256 random bits."""
    return secrets.token_urlsafe(_BYTES)


def new_api_token() -> str:
    """Return an API token."""
    return _TOKEN_PREFIX + secrets.token_urlsafe(_BYTES)


def digest(secret: str) -> str:
    """Return what is kept of a cookie or token: SHA-256, hex.

    Plain, without salt or work: 256 random bits cannot be guessed.
    """
    return hashlib.sha256(secret.encode()).hexdigest()
