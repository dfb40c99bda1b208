"""The lobby shakes hands with everybody at once, and says whom it turned away."""

import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from dicom_node.core.tls import TLSFiles, outgoing_context
from dicom_node.receive import visitor
from dicom_node.receive.lobby import LobbyLimits
from dicom_node.receive.turned_away import TurnedAway
from tests.certificates import SERVER_ONLY, Authority, Wanted
from tests.integration.receive.node import until
from tests.unit.receive.lobbies import REQUEST, SOON, Trust, closed, make_trust, running


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    """Return an authority and whom it trusts."""
    return make_trust(tmp_path_factory.mktemp("ca"))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_over_tls_the_certificate_is_told_and_what_follows_stays(
    trust: Trust, version: ssl.TLSVersion
) -> None:
    client = trust.context(trust.caller)
    client.minimum_version = client.maximum_version = version
    with running(trust.server) as node, node.secured(client) as peer:
        peer.sendall(REQUEST + b"what follows in the same record")
        visit = node.next()
        with visit.connection as connection:
            assert visit.request == REQUEST
            assert visit.tls_version == version.name.replace("_", ".")
            assert visit.certificate_subject == r"C=DE,O=Smith\, Jones,CN=ct1"
            assert connection.recv(4) == b"what"
            connection.sendall(b"answer")
            assert peer.recv(6) == b"answer"


def test_a_resumed_session_of_tls_1_2_is_of_the_same_caller(trust: Trust) -> None:
    client = trust.context(trust.caller)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with running(trust.server) as node:
        session = None
        for reused in (False, True):
            with client.wrap_socket(
                node.connect(), server_hostname="localhost", session=session
            ) as peer:
                peer.sendall(REQUEST)
                visit = node.next()
                visit.connection.close()
                session = peer.session
                assert peer.session_reused is reused
                assert visit.certificate_subject == r"C=DE,O=Smith\, Jones,CN=ct1"


def test_sessions_of_tls_1_3_are_never_resumed(trust: Trust) -> None:
    client = trust.context(trust.caller)
    with running(trust.server) as node, node.secured(client) as peer:
        peer.sendall(REQUEST)
        with node.next().connection as connection:
            connection.sendall(b"answer")
            assert peer.recv(6) == b"answer"
        assert peer.session is not None
        assert not peer.session.has_ticket


def test_a_request_in_many_tls_records_is_put_together(trust: Trust) -> None:
    with running(trust.server) as node, node.secured(trust.client) as peer:
        for start in range(0, len(REQUEST), 7):
            peer.sendall(REQUEST[start : start + 7])
        visit = node.next()
        visit.connection.close()
        assert visit.request == REQUEST


def test_a_hundred_silent_tls_peers_cost_no_thread_and_delay_nobody(
    trust: Trust,
) -> None:
    with running(trust.server, limits=LobbyLimits(seconds=30)) as node:
        threads = threading.active_count()
        silent = [node.connect(source=f"127.0.0.{1 + i % 50}") for i in range(100)]
        for number, peer in enumerate(silent):
            if number % 2:
                peer.sendall(b"\x16\x03\x01\x02\x00\x01")  # half a ClientHello
        until(lambda: node.lobby.waiting == 100)
        assert node.seconds_to_serve(trust.client) < SOON
        assert node.seconds_to_serve(trust.client, source="127.0.0.99") < SOON
        assert threading.active_count() == threads
        for peer in silent:
            peer.close()


@pytest.mark.parametrize(
    ("said", "reason"),
    [(b"", visitor.SILENT), (b"\x16\x03\x01\x02\x00\x01", visitor.SLOW_HANDSHAKE)],
)
def test_a_handshake_that_does_not_end_goes_at_the_deadline(
    trust: Trust, said: bytes, reason: str
) -> None:
    limits = LobbyLimits(seconds=0.3)
    with running(trust.server, limits=limits) as node, node.connect() as peer:
        peer.sendall(said)
        assert closed(peer)
        assert node.lobby.turned_away == {reason: 1}


def test_plain_dicom_on_the_tls_port_is_closed_at_once(trust: Trust) -> None:
    with running(trust.server) as node:
        for said, reason in (
            (REQUEST, visitor.PLAIN_ON_TLS),
            (b"GET / HTTP/1.1\r\n\r\n", visitor.NOT_A_REQUEST),
        ):
            with node.connect() as peer:
                peer.sendall(said)
                began = time.monotonic()
                assert closed(peer)
                assert time.monotonic() - began < SOON
                assert node.lobby.turned_away[reason] == 1


def test_tls_on_the_plain_port_is_closed_at_once(trust: Trust) -> None:
    with running() as node, node.connect() as peer:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            trust.client.wrap_socket(peer, server_hostname="localhost")
        assert node.lobby.turned_away == {visitor.TLS_ON_PLAIN: 1}


def test_who_comes_and_goes_is_nobodys_business(trust: Trust) -> None:
    with running(trust.server) as node:
        for _ in range(20):
            node.connect().close()
        assert node.seconds_to_serve(trust.client) < SOON
        until(lambda: node.lobby.waiting == 0)
        assert node.lobby.turned_away == {}


REFUSED = (
    ("old", "the caller's TLS certificate has expired", "CERTIFICATE_EXPIRED"),
    ("server", "the caller's TLS certificate is not meant for clients", "CERTIFICATE"),
    ("none", "the caller sent no TLS certificate", "CERTIFICATE_REQUIRED"),
    ("other", "the caller's TLS certificate is not signed by tls.ca", "UNKNOWN_CA"),
    ("weak", "the caller's TLS certificate has a key that is too weak", "CERTIFICATE"),
)


@pytest.mark.parametrize(("who", "reason", "alert"), REFUSED)
def test_a_caller_without_the_right_certificate_is_told_so_and_recorded(
    trust: Trust, tmp_path: Path, who: str, reason: str, alert: str
) -> None:
    with running(trust.server) as node, node.connect() as raw:
        client = _stranger(trust, who, tmp_path)
        with pytest.raises(ssl.SSLError) as refused:
            _talk(client, raw)
        assert alert in str(refused.value.reason)
        until(lambda: bool(node.told))
        assert node.told == [TurnedAway(address="127.0.0.1", reason=reason, count=1)]
        assert node.visits.empty()


def _talk(client: ssl.SSLContext, raw: socket.socket) -> None:
    """Ask for an association; TLS 1.3 tells of a refusal only in the answer."""
    with client.wrap_socket(raw, server_hostname="localhost") as peer:
        peer.sendall(REQUEST)
        peer.recv(1)


def _stranger(trust: Trust, who: str, folder: Path) -> ssl.SSLContext:
    if who == "none":
        return trust.context(None)
    if who == "other":
        pair = Authority(folder / "other", "Other CA").issue("ct1")
        return trust.context(pair)
    wanted = {
        "old": Wanted(days=-1),
        "server": Wanted(usages=(SERVER_ONLY,)),
        "weak": Wanted(rsa_bits=1024),
    }[who]
    pair = trust.authority.issue(f"stranger-{who}", wanted)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.set_ciphers("DEFAULT@SECLEVEL=0")
    client.load_verify_locations(trust.authority.certificate)
    client.load_cert_chain(pair.certificate, pair.key)
    return client


def test_a_caller_of_tls_1_1_is_told_so(trust: Trust) -> None:
    client = trust.context(None)
    client.set_ciphers("ALL@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    with running(trust.server) as node, node.connect() as raw:
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            _talk(client, raw)
        until(lambda: bool(node.told))
        assert node.told[0].reason == "the caller's TLS is older than 1.2"


def test_a_caller_that_does_not_trust_the_node_is_recorded(
    trust: Trust, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other", "Other CA")
    client = outgoing_context(TLSFiles(ca=other.certificate))
    with running(trust.server) as node, node.connect() as raw:
        with pytest.raises(ssl.SSLCertVerificationError):
            _talk(client, raw)
        until(lambda: bool(node.told))
        assert node.told[0].reason == (
            "the caller does not accept the node's TLS certificate"
        )
