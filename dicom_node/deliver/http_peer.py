"""Which HTTP service to call, and with which credentials."""

import base64
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from config.destinations import DestinationTable
from dicom_node.core.errors import ConfigError, DeliveryError
from dicom_node.core.tls import TLSFiles, check_private

_MAX_SECRET_BYTES: Final = 16 * 1024
_TOKEN: Final = re.compile(r"[!-~]+")  # RFC 6750 2.1, and whatever else is visible


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpPeer:
    """An HTTP service to call.

    Args:
        url: https://host:port/path, without user, query and fragment.
        name: of the destination in the configuration.
        timeout_seconds: longest wait for the connection, the TLS handshake and each
            byte; the whole exchange may take as long, and its size at 1 MB/s.
        tls: the files to speak TLS with.
        token_file: holds a bearer token (RFC 6750).
        username: with the passcode in `passcode_file` (RFC 7617).
    """

    url: str
    name: str
    timeout_seconds: float = 60.0
    tls: TLSFiles = field(default_factory=TLSFiles)
    token_file: Path | None = None
    username: str = ""
    passcode_file: Path | None = None

    @classmethod
    def from_table(cls, table: DestinationTable) -> "HttpPeer":
        """Read a table of [[destinations]]."""
        return cls(
            url=table.url,
            name=table.name,
            timeout_seconds=table.timeout_seconds,
            tls=TLSFiles(
                ca=table.ca,
                certificate=table.certificate,
                private_key=table.private_key,
                where=f"destination '{table.name}'",
            ),
            token_file=table.token_file,
            username=table.username,
            passcode_file=table.passcode_file,
        )

    def __str__(self) -> str:
        return f"destination '{self.name}' ({self.url})"

    def setting(self, key: str) -> str:
        """Say where the user changes a setting."""
        return f"{key} of destination '{self.name}'"

    @property
    def secure(self) -> bool:
        """Whether it is called over TLS."""
        return urlsplit(self.url).scheme == "https"


def authorization(peer: HttpPeer) -> dict[str, str]:
    """Return the header with the credentials, which are read for each request.

    Raises:
        DeliveryError: a secret cannot be used; retryable, for it can be mended.
    """
    try:
        if peer.token_file is not None:
            token = read_secret(peer.token_file, peer.setting("token_file"))
            if not _TOKEN.fullmatch(token):
                raise ConfigError(
                    f"{peer.setting('token_file')} holds something else than a token: "
                    "one line of visible ASCII"
                )
            return {"Authorization": f"Bearer {token}"}
        if peer.passcode_file is not None:
            passcode = read_secret(peer.passcode_file, peer.setting("passcode_file"))
            pair = f"{peer.username}:{passcode}".encode()
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    except ConfigError as error:
        raise DeliveryError(
            f"{peer} cannot be called: {error}", retryable=True
        ) from None
    return {}


def read_secret(path: Path, setting: str) -> str:
    """Return a secret without the line's end; the file is this user's alone.

    Raises:
        ConfigError: it cannot be read, is too open, empty or no text.
    """
    check_private(path, setting)
    try:
        secret = path.read_bytes()[:_MAX_SECRET_BYTES].decode().strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{setting}: {path} cannot be read as text ({type(error).__name__})"
        ) from None
    if not secret:
        raise ConfigError(f"{setting}: {path} is empty: put the secret into it")
    return secret
