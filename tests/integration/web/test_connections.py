"""Nobody can hold the site's connections."""

import contextlib
import socket
import threading
import time

import pytest

from dicom_node.web.connections import ConnectionLimits
from tests.integration.web.site import Shown, Site, serving
from tests.peers import wait_until

SHORT = Shown(limits=ConnectionLimits(request_seconds=0.4, connections=8))


def _ended(connection: socket.socket) -> bool:
    """Wait for the end of the connection, or fail by its timeout."""
    try:
        while connection.recv(4096):
            continue
    except ConnectionError:
        pass
    return True


@pytest.mark.parametrize(
    "said", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"]
)
def test_a_request_that_never_becomes_whole_loses_its_connection(said: bytes) -> None:
    with serving(SHORT) as site, site.connect() as connection:
        connection.sendall(said)
        began = time.monotonic()
        assert _ended(connection)
        assert time.monotonic() - began < 5


def test_a_byte_at_a_time_buys_no_time() -> None:
    with serving(SHORT) as site, site.connect() as connection:
        began = time.monotonic()
        connection.sendall(b"GET /healthz HTTP/1.1\r\nX: ")

        def refused() -> bool:
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"a")
                return False
            return True

        wait_until(refused, what="the connection ends", seconds=10)
        assert time.monotonic() - began < 5


def test_an_idle_connection_ends_after_its_answer() -> None:
    with serving(SHORT) as site, site.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"alive" in connection.makefile("rb").read()  # to its end


def test_an_answer_that_takes_longer_than_a_request_may_is_sent() -> None:
    begun, ready = threading.Event(), threading.Event()

    def slow(_backlog: object) -> bytes:
        begun.set()
        ready.wait(20)
        return b"slowly made"

    shown = Shown(metrics=slow, limits=SHORT.limits)
    with serving(shown) as site, site.connect() as asked:
        asked.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert begun.wait(20)
        with site.connect() as later:
            later.sendall(b"GET /healthz HT")
            assert _ended(later)  # began after the request that is being answered
        ready.set()
        assert asked.makefile("rb").read().endswith(b"slowly made")


def test_an_answer_that_never_comes_loses_its_connection() -> None:
    ready = threading.Event()

    def stuck(_backlog: object) -> bytes:
        ready.wait(20)
        return b""

    limits = ConnectionLimits(request_seconds=20, answer_seconds=0.4)
    with serving(Shown(metrics=stuck, limits=limits)) as site:
        with site.connect() as asked:
            asked.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            began = time.monotonic()
            assert _ended(asked)
            assert time.monotonic() - began < 5
        ready.set()


def test_a_hundred_half_requests_leave_room_for_a_monitor() -> None:
    patient = Shown(limits=ConnectionLimits(request_seconds=20, connections=8))
    with serving(patient) as site, contextlib.ExitStack() as held:
        for _ in range(100):
            connection = held.enter_context(site.connect())
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        began = time.monotonic()
        assert site.get("/healthz").status == 200
        assert time.monotonic() - began < 2


def test_the_end_of_the_site_waits_for_nobody() -> None:
    with contextlib.ExitStack() as held:
        with serving(Shown()) as site:
            connection = held.enter_context(site.connect())
            connection.sendall(b"GET /healthz HTTP/1.1\r\n")
            began = time.monotonic()
        assert time.monotonic() - began < 5
    assert not _answers(site)


def _answers(site: Site) -> bool:
    with contextlib.suppress(OSError):
        return site.get("/healthz").status == 200
    return False
