"""Callers of the TLS port that say nothing, half of it, or something else."""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.attacks.attack import Plan, attack
from tests.attacks.conftest import SHORT, warm_up
from tests.attacks.peer import ACCEPTED, CLOSED, Offer, Peer
from tests.attacks.receiver import MIB, Receiver, running_receiver
from tests.certificates import Authority, Wanted

SERVED = "good peer served in < 1 s on both ports, no thread or descriptor left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured:
    """A receiver with a TLS port, and how its callers prove who they are."""

    receiver: Receiver
    port: int
    context: ssl.SSLContext

    def call(self, source: str = "127.0.0.2") -> str:
        """Ask for an association over TLS; return the kind of the answer."""
        with secured(self, Peer(self.port, source=source)) as peer:
            return peer.associate().kind


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A receiver that listens with TLS beside the port without."""
    authority = Authority(tmp_path_factory.mktemp("ca"))
    node = authority.issue("node")
    caller = authority.issue("caller", Wanted(subject=(("CN", "ct1"),)))
    table = (
        f'[tls]\nport = 0\ncertificate = "{node.certificate}"\n'
        f'private_key = "{node.key}"\nca = "{authority.certificate}"\n'
    )
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.load_cert_chain(caller.certificate, caller.key)
    folder = tmp_path_factory.mktemp("node")
    with running_receiver(folder, SHORT, extra=table) as receiver:
        found = Secured(receiver=receiver, port=receiver.tls_port(), context=context)
        assert found.call() == ACCEPTED
        warm_up(receiver)
        yield found


def secured(tls: Secured, peer: Peer) -> Peer:
    """Shake hands on a peer's connection."""
    peer.connection = tls.context.wrap_socket(
        peer.connection, server_hostname="localhost"
    )
    return peer


def client_hello(tls: Secured) -> bytes:
    """Return the first bytes of a TLS client."""
    leaving = ssl.MemoryBIO()
    client = tls.context.wrap_bio(ssl.MemoryBIO(), leaving, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return leaving.read()


def test_b15_silent_callers_of_the_tls_port_lock_nobody_out(tls: Secured) -> None:
    plan = Plan(
        id="B15",
        attack="TLS port, silent TCP peers",
        how="1, then 60 that say nothing, begin or finish a handshake and stop there",
        expected=SERVED,
        peak_bytes=24 * MIB,
    )
    hello = client_hello(tls)
    with attack(tls.receiver, plan) as seen, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(Peer(tls.port))]
        assert tls.call() == ACCEPTED
        for number in range(59):
            peer = stack.enter_context(Peer(tls.port))
            if number % 4 == 3:
                secured(tls, peer)
            else:
                peer.send(hello[: (0, 3, len(hello))[number % 4]])
            silent.append(peer)
        assert tls.call() == ACCEPTED
        seen.saw(f"all closed within {closed_or_alert(silent):.1f} s")


def closed_or_alert(peers: list[Peer]) -> float:
    """Return after how long the last was closed, whatever TLS said before."""
    begun = time.monotonic()
    for peer in peers:
        read_to_the_end(peer)
    return time.monotonic() - begun


def test_b15_what_is_no_handshake_ends_the_connection(tls: Secured) -> None:
    plan = Plan(
        id="B15b",
        attack="TLS port, no handshake: DICOM, HTTP, noise, records of 0 and 64 KiB",
        how="each twice, the second time followed by the end of the connection",
        expected="closed within 3 s, no exception",
        peak_bytes=16 * MIB,
    )
    hello = client_hello(tls)
    openings = (
        Offer().encode(),
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(range(256)) * 64,
        b"\x16\x03\x01\xff\xff" + b"\1" * 65535,
        b"\x16\x03\x01\0\0" * 1000,
        hello[:-10],
        hello[:5] + hello[9:],
        hello + b"\x17\x03\x03\xff\xff",
        hello * 50,
        b"\x80\x2e\1\0\2",
        b"",
    )
    with attack(tls.receiver, plan) as seen:
        for content in openings:
            for finish in (False, True):
                with Peer(tls.port) as peer:
                    peer.send(content)
                    if finish:
                        peer.finish()
                    read_to_the_end(peer)
        assert tls.call() == ACCEPTED
        seen.saw(f"{2 * len(openings)} closed")


def read_to_the_end(peer: Peer) -> None:
    """Read until the connection is closed; TimeoutError if it is not."""
    with contextlib.suppress(ConnectionError):
        while peer.connection.recv(1 << 16):
            pass


def test_b15_a_reset_behind_the_first_bytes_leaves_the_port_open(
    tls: Secured,
) -> None:
    """Python closes such a socket itself when it is wrapped for TLS."""
    hello = client_hello(tls)
    for number in range(50):
        peer = Peer(tls.port)
        peer.send(hello[: 1 + number])
        peer.reset()
        assert tls.call() == ACCEPTED
    with Peer(tls.receiver.port) as peer:
        assert peer.established().echo() == 0


def test_b15_a_handshake_cut_anywhere_leaves_nothing(tls: Secured) -> None:
    plan = Plan(
        id="B15c",
        attack="TLS handshakes and sessions that are cut",
        how="200, before, within and after the handshake, half of them by a reset",
        expected=SERVED,
        peak_bytes=24 * MIB,
    )
    hello, request = client_hello(tls), Offer().encode()
    with attack(tls.receiver, plan) as seen:
        for number in range(200):
            peer = Peer(tls.port)
            if number % 3 == 0:
                peer.send(hello[: 1 + number])
            else:
                secured(tls, peer).send(request[: None if number % 3 == 1 else 100])
            if number % 2:
                peer.reset()
            else:
                peer.close()
        seen.saw("200 cut")


def test_tls_on_the_port_without_is_closed(tls: Secured) -> None:
    with Peer(tls.receiver.port) as peer:
        peer.send(client_hello(tls))
        assert peer.answer().kind == CLOSED


def test_bytes_behind_a_turned_away_handshake_hold_nobody_up(tls: Secured) -> None:
    plan = Plan(
        id="B15d",
        attack="a caller without a certificate that goes on sending",
        how="TLS 1.3 handshake, then 64 MiB of application data",
        expected="closed, good peer served in < 1 s",
        peak_bytes=24 * MIB,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    block = bytes(MIB)
    with attack(tls.receiver, plan) as seen, Peer(tls.port) as peer:
        taken = 0
        with contextlib.suppress(OSError):  # the alert, or the connection is gone
            peer.connection = context.wrap_socket(peer.connection)
            while taken < 64:
                peer.connection.sendall(block)
                taken += 1
        with contextlib.suppress(OSError):
            peer.connection.shutdown(socket.SHUT_WR)
        assert taken < 64
        seen.saw(f"{taken} MiB taken")
