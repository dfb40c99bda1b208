"""Whom to call, and where the user says so."""

from dataclasses import dataclass

from config.destinations import DestinationTable
from dicom_node.core.errors import UsageError
from dicom_node.core.tls import TLSFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """An application entity to call.

    Args:
        timeout_seconds: longest wait for the connection, for the answer to the
            association request and for each answer after it.
        name: of the destination in the configuration, "" for the command line.
        tls: the files to speak TLS with; without it the connection is plain.

    Raises:
        UsageError: a title or the port cannot be used.
    """

    host: str
    port: int
    called_ae_title: str
    calling_ae_title: str
    timeout_seconds: float = 60.0
    name: str = ""
    tls: TLSFiles | None = None

    def __post_init__(self) -> None:
        for title in (self.called_ae_title, self.calling_ae_title):
            text = title.strip()
            plain = text.isascii() and text.isprintable() and "\\" not in text
            if not 1 <= len(text) <= 16 or not plain:
                raise UsageError(
                    "an AE title takes 1 to 16 characters of ASCII without "
                    "backslash: give another one"
                )
        if not self.host or not 1 <= self.port <= 65535:
            raise UsageError("a peer is HOST:PORT with a port from 1 to 65535")

    def __str__(self) -> str:
        address = f"[{self.host}]" if ":" in self.host else self.host
        who = f"destination '{self.name}'" if self.name else "the peer"
        return f"{who} ({self.called_ae_title} at {address}:{self.port})"

    def setting(self, key: str) -> str:
        """Say where the user changes a setting: configuration or command line."""
        if self.name:
            return f"{key} of destination '{self.name}'"
        options = {"ae_title": "called", "host and port": "to", "private_key": "key"}
        return f"--{options.get(key, key)}"


def peer_of(settings: DestinationTable, calling_ae_title: str) -> Peer:
    """Return whom to call for a destination of kind "dicom"."""
    tls = TLSFiles(
        ca=settings.ca,
        certificate=settings.certificate,
        private_key=settings.private_key,
        where=f"destination '{settings.name}'",
    )
    return Peer(
        host=settings.host,
        port=settings.port,
        called_ae_title=settings.ae_title,
        calling_ae_title=calling_ae_title,
        timeout_seconds=settings.timeout_seconds,
        name=settings.name,
        tls=tls if settings.tls else None,
    )
