"""The pages, served in a thread of the test with contents of its own."""

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from db.queries import Backlog
from dicom_node.core.errors import DatabaseError
from dicom_node.listening import listen
from dicom_node.web.checks import Look
from dicom_node.web.connections import ConnectionLimits
from dicom_node.web.pages import Contents, build_pages
from dicom_node.web.server import page_place, serve_pages
from dicom_node.web.token import Token
from tests.peers import accepts, wait_until

METRICS = b"# EOF\n"


def good() -> str:
    """Pass a check."""
    return "answers"


def no_backlog() -> Backlog:
    """Be a database that is down."""
    raise DatabaseError("down")


def show(_found: Backlog | None) -> bytes:
    """Be the metrics."""
    return METRICS


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a page answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the document."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where it listens."""

    port: int

    def get(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask for one page on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            return Answer(
                status=response.status,
                headers={name.lower(): value for name, value in response.getheaders()},
                body=response.read(),
            )
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """Open a TCP connection that says nothing yet."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a test's pages show."""

    checks: Mapping[str, Look] = field(default_factory=lambda: {"database": good})
    backlog: Callable[[], Backlog] = no_backlog
    metrics: Callable[[Backlog | None], bytes] = show
    token: Token | None = None
    is_open: bool = True
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)


@contextmanager
def serving(shown: Shown) -> Iterator[Site]:
    """Serve until the block ends."""
    pages = build_pages(
        Contents(
            checks=shown.checks,
            backlog=shown.backlog,
            metrics=shown.metrics,
            metrics_type="text/plain",
            token=shown.token,
            is_open=shown.is_open,
        )
    )
    listener = listen(page_place("127.0.0.1", 0))
    port = int(listener.getsockname()[1])
    stop = threading.Event()
    thread = threading.Thread(
        target=serve_pages,
        args=(pages, listener),
        kwargs={"stopped": stop.is_set, "limits": shown.limits},
    )
    thread.start()
    try:
        wait_until(lambda: accepts(port), what="the site listens", seconds=20)
        yield Site(port=port)
    finally:
        stop.set()
        thread.join(20)
