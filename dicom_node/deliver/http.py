"""One request to an HTTP service: bounded in time and size, explained in words.

Plain http.client: a client library would follow redirects with the credentials, take
proxies from the environment and choose its own TLS.
"""

import http.client
import io
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from dicom_node.core.errors import ConfigError, DeliveryError
from dicom_node.deliver.http_call import Call
from dicom_node.deliver.http_peer import HttpPeer as HttpPeer
from dicom_node.deliver.http_peer import authorization

_MAX_ANSWER_BYTES: Final = 1 << 20
_RETRY_AFTER_MOST_SECONDS: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What is asked.

    Args:
        path: behind that of the peer's URL, with its query.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAnswer:
    """What was answered.

    Args:
        headers: by their names in lower case.
        body: empty if it is longer than the limit, or was cut off.
        whole: it came to an end that its length or its last chunk marks. Otherwise
            the connection may have been lost within the body.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    whole: bool = True

    @property
    def ok(self) -> bool:
        """Whether it is a success (RFC 9110 15.3)."""
        return 200 <= self.status < 300

    @property
    def content_type(self) -> str:
        """The media type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def retry_after_seconds(self, now: datetime | None = None) -> float | None:
        """Return how long to leave the service alone, at most an hour (RFC 9110)."""
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            seconds = float(text[:9])
        else:
            try:
                at = parsedate_to_datetime(text)
            except ValueError:
                return None
            at = at if at.tzinfo else at.replace(tzinfo=UTC)
            seconds = (at - (now or datetime.now(UTC))).total_seconds()
        return min(max(seconds, 0.0), _RETRY_AFTER_MOST_SECONDS)


class _Lines(io.BufferedReader):
    """Notes whether a line ended with the connection."""

    torn = False

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        whole = line.endswith(b"\n") or len(line) == size
        self.torn = self.torn or not whole
        return line


class _Response(http.client.HTTPResponse):
    """Notes what http.client takes for the end of the headers: a lost connection.

    Args:
        torn: the connection ended within the status line or the headers.
    """

    torn = False

    def begin(self) -> None:
        """Read the status line and the headers."""
        self.fp = lines = _Lines(self.fp.detach())
        super().begin()
        self.torn = lines.torn


def exchange(peer: HttpPeer, request: HttpRequest) -> HttpAnswer:
    """Send a request and return its answer, whatever its status.

    Redirects are not followed: they would take the credentials to another address.

    Raises:
        DeliveryError: there is no answer, or half a head of one; the sentence says why
            and what to do.
    """
    headers = {
        "User-Agent": "dicom-node",
        "Connection": "close",
        **request.headers,
        **authorization(peer),
    }
    call = Call(peer, size_bytes=len(request.body))
    with _explained(call, peer):
        return _talk(call, peer, request, headers)


def reach(peer: HttpPeer) -> None:
    """Connect, shake hands where the URL is https, and say nothing.

    Raises:
        DeliveryError: nobody listens there, or not with the TLS that it has to be.
    """
    authorization(peer)  # a secret that cannot be read is as bad
    call = Call(peer, size_bytes=0)
    with _explained(call, peer):
        call.connect()


@contextmanager
def _explained(call: Call, peer: HttpPeer) -> Iterator[None]:
    """Bound what is done with a call, and say why it failed."""
    try:
        with call.bounded():
            yield
    except ConfigError as error:
        raise DeliveryError(
            f"{peer} cannot be called: {error}", retryable=True
        ) from None
    except socket.gaierror:
        text = f"has no address: check {peer.setting('url')} and the name service"
        raise DeliveryError(f"{peer} {text}", retryable=True) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DeliveryError(f"{peer} {call.explain(error)}", retryable=True) from None


def _talk(
    call: Call, peer: HttpPeer, request: HttpRequest, headers: Mapping[str, str]
) -> HttpAnswer:
    parts = urlsplit(peer.url)
    connection = http.client.HTTPConnection(parts.hostname or "", call.port)
    connection.response_class = _Response
    connection.default_port = 443 if peer.secure else 80
    connection.sock = call.connect()
    path = parts.path.rstrip("/") + request.path
    try:
        try:
            connection.request(
                request.method, path or "/", request.body or None, dict(headers)
            )
        except (BrokenPipeError, ConnectionResetError):
            if call.late:
                raise
            # It may have answered before it had read all: 413, 401.
        response = connection.getresponse()
        if isinstance(response, _Response) and response.torn:
            response.close()
            raise DeliveryError(
                f"{peer} broke off in the middle of its answer: see its log",
                retryable=True,
            )
        return _receive(response)
    finally:
        connection.close()


def _receive(response: http.client.HTTPResponse) -> HttpAnswer:
    """Read the answer up to the limit; a body that is cut off has a status too."""
    claimed = response.length
    whole = response.chunked or claimed is not None
    try:
        body = response.read(_MAX_ANSWER_BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError):
        body, whole = b"", False
    if len(body) > _MAX_ANSWER_BYTES or claimed not in (None, len(body)):
        body, whole = b"", False
    return HttpAnswer(
        status=response.status,
        headers={name.lower(): value for name, value in response.getheaders()},
        body=body,
        whole=whole,
    )
