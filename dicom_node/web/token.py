"""The bearer token that a monitor shows (RFC 6750)."""

import hmac
import os
import stat
from pathlib import Path
from typing import Final

from dicom_node.core.errors import ConfigError

_SHORTEST: Final = 16
_SCHEME: Final = "bearer"


class Token:
    """A token in a file, which is read again each time: it can be exchanged.

    Raises:
        ConfigError: the file cannot be used; the text says why, never what it holds.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read()

    def matches(self, authorization: str) -> bool:
        """Say whether this is the value of an Authorization header that may pass."""
        scheme, _, shown = authorization.strip().partition(" ")
        if scheme.lower() != _SCHEME:
            return False
        try:
            expected = self._read()
        except ConfigError:
            return False
        return hmac.compare_digest(expected, shown.strip().encode())

    def _read(self) -> bytes:
        try:
            with self._file.open("rb") as opened:
                mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
                content = opened.read(4096).strip()
        except OSError as error:
            raise ConfigError(
                f"web.token_file cannot be read ({error.strerror}): write a token of "
                f"at least {_SHORTEST} characters into {self._file}"
            ) from None
        if mode & 0o077:
            raise ConfigError(
                f"others may read web.token_file (mode {mode:04o}): "
                f"chmod 600 {self._file}"
            )
        if len(content) < _SHORTEST or not content.isascii() or b" " in content:
            raise ConfigError(
                f"web.token_file needs one word of at least {_SHORTEST} ASCII "
                "characters: openssl rand -hex 32 writes one"
            )
        return content
