"""The lobby holds everybody who has not asked yet, at nobody's cost."""

import socket
import time
from contextlib import suppress
from queue import Queue
from threading import Event

import pytest

from dicom_node.receive import visitor
from dicom_node.receive.lobby import (
    TOO_MANY_WAIT,
    TOO_MUCH_HELD,
    Listener,
    Lobby,
    LobbyLimits,
    Visit,
)
from tests.integration.receive.node import until
from tests.unit.receive.lobbies import REQUEST, SOON, closed, running


@pytest.mark.parametrize("step", [1, 5, 6, 7, 1000])
def test_a_request_in_pieces_is_handed_on_whole_and_what_follows_stays(
    step: int,
) -> None:
    with running() as node, node.connect() as peer:
        for start in range(0, len(REQUEST), step):
            peer.sendall(REQUEST[start : start + step])
        peer.sendall(b"what follows")
        visit = node.next()
        with visit.connection as connection:
            assert visit.request == REQUEST
            assert (visit.tls_version, visit.certificate_subject) == ("", "")
            assert visit.address == "127.0.0.1"
            assert connection.gettimeout() is None, "blocking again"
            assert connection.recv(4, socket.MSG_WAITALL) == b"what"


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"])
@pytest.mark.parametrize("said", [b"", b"\1\0\0", REQUEST[:-1]])
def test_many_half_open_connections_of_one_address_delay_nobody(
    source: str, said: bytes
) -> None:
    with running(limits=LobbyLimits(seconds=30)) as node:
        crowd = [node.connect() for _ in range(150)]
        for peer in crowd:
            with suppress(ConnectionError):  # an evicted one
                peer.sendall(said)
        assert node.seconds_to_serve(source=source) < SOON
        assert node.lobby.waiting <= 64
        assert node.lobby.turned_away[TOO_MANY_WAIT] >= 150 - 64
        for peer in crowd:
            peer.close()


def test_a_full_lobby_sends_the_biggest_crowd_home_first() -> None:
    limits = LobbyLimits(seconds=30, connections=6, connections_per_address=5)
    with running(limits=limits) as node:
        patient = node.connect(source="127.0.0.2")
        patient.sendall(REQUEST[:20])
        until(lambda: node.lobby.waiting == 1)
        crowd = [node.connect() for _ in range(5)]
        until(lambda: node.lobby.waiting == 6)
        late = node.connect(source="127.0.0.3")
        assert closed(crowd[0])
        patient.sendall(REQUEST[20:])
        visit = node.next()
        visit.connection.close()
        assert visit.address == "127.0.0.2"
        for peer in (patient, late, *crowd):
            peer.close()


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", visitor.SILENT),
        (b"\1", visitor.NOT_WHOLE),
        (REQUEST[:-1], visitor.NOT_WHOLE),
    ],
)
def test_who_is_silent_or_slow_goes_at_the_deadline(said: bytes, reason: str) -> None:
    with running(limits=LobbyLimits(seconds=0.3)) as node, node.connect() as peer:
        peer.sendall(said)
        began = time.monotonic()
        assert closed(peer)
        assert time.monotonic() - began < 2
        assert node.lobby.turned_away == {reason: 1}


def test_who_sends_byte_by_byte_goes_at_the_deadline_all_the_same() -> None:
    with running(limits=LobbyLimits(seconds=0.5)) as node, node.connect() as peer:
        began, sent = time.monotonic(), 0
        peer.settimeout(0.1)
        with suppress(ConnectionError):
            while time.monotonic() - began < 5:
                peer.sendall(REQUEST[sent : sent + 1])
                sent += 1
                with suppress(TimeoutError):
                    if peer.recv(1) == b"":
                        break
        assert time.monotonic() - began < 3
        assert node.lobby.turned_away == {visitor.NOT_WHOLE: 1}


def test_a_request_that_claims_too_much_is_closed_at_once() -> None:
    with running() as node, node.connect() as peer:
        peer.sendall(b"\1\0\x7f\xff\xff\xff")
        assert closed(peer)
        assert node.lobby.turned_away == {visitor.TOO_LONG: 1}


def test_an_address_is_told_of_once_and_counted_always() -> None:
    with running() as node:
        for number in range(5):
            with node.connect(source=f"127.0.0.{1 + number // 4}") as peer:
                peer.sendall(b"\x16")
                assert closed(peer)
        until(lambda: len(node.told) == 2)
        assert {item.address for item in node.told} == {"127.0.0.1", "127.0.0.2"}
        assert node.lobby.turned_away == {visitor.TLS_ON_PLAIN: 5}


def test_two_lobbies_share_a_socket() -> None:
    visits: Queue[Visit] = Queue()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        lobbies = [
            Lobby([Listener(listener.dup())], visits.put, limits=LobbyLimits(seconds=5))
            for _ in range(2)
        ]
        for lobby in lobbies:
            lobby.start()
        address = listener.getsockname()
        for _ in range(50):
            with socket.create_connection(address, timeout=5) as peer:
                peer.sendall(REQUEST)
                visits.get(timeout=5).connection.close()
        for lobby in lobbies:
            lobby.close()
    assert visits.empty()


def test_a_closed_lobby_sends_everybody_home() -> None:
    with running() as node:
        peer = node.connect()
        until(lambda: node.lobby.waiting == 1)
        node.lobby.close()
        assert closed(peer)
        peer.close()
        with pytest.raises(ConnectionError):
            node.connect()


def test_large_requests_that_never_end_are_bounded_in_memory() -> None:
    limits = LobbyLimits(seconds=30, connections_per_address=100)
    with running(limits=limits) as node:
        claim = b"\1\0" + (256 * 1024 - 6).to_bytes(4, "big")
        crowd = [node.connect(source="127.0.0.5") for _ in range(50)]
        for peer in crowd:
            with suppress(ConnectionError):
                peer.sendall(claim + bytes(250 * 1024))
        # 8 MiB hold 33 of them.
        until(lambda: node.lobby.turned_away.get(TOO_MUCH_HELD, 0) >= 50 - 33)
        assert node.seconds_to_serve() < SOON
        for peer in crowd:
            peer.close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_an_ipv4_caller_of_an_ipv6_socket_is_known_by_its_ipv4_address() -> None:
    visits: Queue[Visit] = Queue()
    listener = socket.create_server(
        ("::", 0), family=socket.AF_INET6, dualstack_ipv6=True
    )
    port = listener.getsockname()[1]
    lobby = Lobby([Listener(listener)], visits.put, limits=LobbyLimits(seconds=5))
    lobby.start()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
        peer.sendall(REQUEST)
        visit = visits.get(timeout=5)
        visit.connection.close()
    lobby.close()
    assert visit.address == "127.0.0.1"


def test_a_lobby_that_is_stuck_is_not_alive_until_it_turns_again() -> None:
    released = Event()

    def stuck(visit: Visit) -> None:
        visit.connection.close()
        released.wait(30)

    limits = LobbyLimits(seconds=5, silent_seconds=1.0)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    lobby = Lobby([Listener(listener)], stuck, limits=limits)
    lobby.start()
    assert lobby.alive
    with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
        peer.sendall(REQUEST)
        until(lambda: not lobby.alive)
    released.set()
    until(lambda: lobby.alive)
    lobby.close()
    assert not lobby.alive
