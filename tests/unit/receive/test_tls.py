"""The TLS of a port: profile, files, renewal, and how a subject is written."""

import logging
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from dicom_node.core.errors import ConfigError
from dicom_node.core.tls import TLSFiles, expiries, outgoing_context
from dicom_node.receive.tls import ServerTLS, write_subject
from tests.certificates import Authority, Pair, Wanted, new_key, write_key


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def files(authority: Authority, pair: Pair) -> TLSFiles:
    return TLSFiles(
        ca=authority.certificate, certificate=pair.certificate, private_key=pair.key
    )


@contextmanager
def handshake(
    tls: ServerTLS, client: ssl.SSLContext
) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    """Connect a client with the port's TLS in memory; give (server, client)."""
    left, right = socket.socketpair()
    server = tls.wrap(left)
    caller = client.wrap_socket(
        right, server_hostname="localhost", do_handshake_on_connect=False
    )
    server.setblocking(False)
    caller.setblocking(False)
    with server, caller:
        done = {"server": False, "caller": False}
        for _ in range(20):
            for name, side in (("server", server), ("caller", caller)):
                try:
                    side.do_handshake()
                    done[name] = True
                except ssl.SSLWantReadError:
                    continue
            if all(done.values()):
                break
        assert all(done.values())
        yield server, caller


def client_context(authority: Authority, pair: Pair) -> ssl.SSLContext:
    return outgoing_context(files(authority, pair))


def shown_certificate(tls: ServerTLS, client: ssl.SSLContext) -> bytes:
    with handshake(tls, client) as (_, caller):
        certificate = caller.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


def test_tls_1_3_is_preferred_and_1_2_is_spoken(authority: Authority) -> None:
    tls = ServerTLS(files(authority, authority.issue("node")))
    client = client_context(authority, authority.issue("ct1"))
    with handshake(tls, client) as (server, _):
        assert server.version() == "TLSv1.3"
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with handshake(tls, client) as (server, _):
        assert server.version() == "TLSv1.2"
        cipher = server.cipher()
        assert cipher is not None
        assert cipher[0].startswith("ECDHE-")
        assert server.compression() is None


def test_only_suites_with_forward_secrecy_and_aead_are_offered(
    authority: Authority,
) -> None:
    client = client_context(authority, authority.issue("ct1"))
    for suite in client.get_ciphers():
        assert suite["aead"], suite["name"]
        assert suite["name"].startswith(("TLS_", "ECDHE-", "DHE-")), suite["name"]


@pytest.mark.parametrize(
    "suite",
    ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA"],
)
def test_suites_without_forward_secrecy_or_aead_are_refused(
    authority: Authority, suite: str
) -> None:
    tls = ServerTLS(files(authority, authority.issue("node")))
    client = client_context(authority, authority.issue("ct1"))
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(suite)
    with pytest.raises(ssl.SSLError), handshake(tls, client):
        pass


def test_changed_files_serve_new_connections_and_old_ones_go_on(
    authority: Authority,
) -> None:
    node = authority.issue("node")
    tls = ServerTLS(files(authority, node))
    client = client_context(authority, authority.issue("ct1"))
    before = shown_certificate(tls, client)
    with handshake(tls, client) as (server, caller):
        authority.issue("node")
        tls.reload()
        tls.look()
        after = shown_certificate(tls, client)
        caller.sendall(b"still here")
        assert server.recv(64) == b"still here"
    assert before != after
    assert x509.load_der_x509_certificate(after) == x509.load_pem_x509_certificate(
        node.certificate.read_bytes()
    )


def test_a_change_is_noticed_without_a_signal_but_not_looked_for_all_the_time(
    authority: Authority,
) -> None:
    chosen = files(authority, authority.issue("node"))
    often, seldom = ServerTLS(chosen, look_seconds=0), ServerTLS(chosen, look_seconds=9)
    client = client_context(authority, authority.issue("ct1"))
    before = shown_certificate(often, client)
    seldom.look()
    authority.issue("node")
    for tls in (often, seldom):
        tls.look()
    assert shown_certificate(often, client) != before
    assert shown_certificate(seldom, client) == before


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("text", "tls: certificate and private_key have to be PEM files of a pair"),
        ("gone", "tls: private_key cannot be read (No such file or directory)"),
        ("other key", "tls: private_key is not the key of certificate"),
        ("open key", "tls: private_key is readable by others"),
        ("empty", "tls: certificate and private_key have to be PEM files of a pair"),
        ("empty ca", "tls: ca holds no certificate in PEM"),
    ],
)
def test_broken_files_leave_the_last_good_ones_and_the_log_says_why(
    authority: Authority, caplog: pytest.LogCaptureFixture, fault: str, reason: str
) -> None:
    node = authority.issue("node")
    tls = ServerTLS(files(authority, node), look_seconds=0)
    client = client_context(authority, authority.issue("ct1"))
    before = shown_certificate(tls, client)
    good_ca = authority.certificate.read_bytes()
    if fault == "text":
        node.certificate.write_text("no PEM")
    elif fault == "gone":
        node.key.unlink()
    elif fault == "other key":
        write_key(node.key, new_key())
    elif fault == "open key":
        node.key.chmod(0o644)
        os.utime(node.key)
    elif fault == "empty ca":
        authority.certificate.write_bytes(b"")
    else:
        node.certificate.write_bytes(b"")
    with caplog.at_level(logging.ERROR, "dicom_node.receive"):
        tls.look()
        tls.look()
    messages = [item.message for item in caplog.records]
    assert messages == ["TLS files cannot be used, the last good ones stay"]
    assert [vars(item).get("reason") for item in caplog.records] == [reason]
    assert shown_certificate(tls, client) == before
    authority.certificate.write_bytes(good_ca)
    authority.issue("node")
    tls.look()
    assert shown_certificate(tls, client) != before, "a good file is taken again"


@pytest.mark.parametrize(
    ("days", "event"),
    [
        (400, None),
        (29, "TLS certificate expires soon"),
        (-2, "TLS certificate has expired"),
    ],
)
def test_a_month_before_its_end_a_certificate_is_warned_of(
    authority: Authority,
    caplog: pytest.LogCaptureFixture,
    days: float,
    event: str | None,
) -> None:
    chosen = files(authority, authority.issue("node", Wanted(days=days)))
    tls = ServerTLS(chosen, look_seconds=0)
    with caplog.at_level(logging.WARNING, "dicom_node.receive"):
        tls.look()
        tls.look()
    assert [item.message for item in caplog.records] == ([event] if event else [])


def test_the_end_of_a_certificate_is_read_as_another_reader_reads_it(
    authority: Authority,
) -> None:
    for days in (1, 400, 20000, 60000):  # UTCTime, and GeneralizedTime from 2050 on
        pair = authority.issue("node", Wanted(days=days))
        other = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
        assert expiries(pair.certificate, "x") == (other.not_valid_after_utc,)
    chain = pair.certificate.read_bytes() + authority.certificate.read_bytes()
    pair.certificate.write_bytes(b"# a comment\n" + chain)
    assert len(expiries(pair.certificate, "x")) == 2


def test_the_first_of_a_chain_that_expires_counts(authority: Authority) -> None:
    node = authority.issue("node", Wanted(days=5))
    chain = node.certificate.read_bytes() + authority.certificate.read_bytes()
    node.certificate.write_bytes(chain)
    left = ServerTLS(files(authority, node)).expires - datetime.now(UTC)
    assert timedelta(days=4) < left < timedelta(days=6)


def _refused(chosen: TLSFiles, *, client_required: bool = True) -> str:
    with pytest.raises(ConfigError) as caught:
        ServerTLS(chosen, client_required=client_required)
    return str(caught.value)


def test_a_key_that_others_may_read_is_refused_with_the_remedy(
    authority: Authority,
) -> None:
    node = authority.issue("node")
    for mode in (0o640, 0o604, 0o660):
        node.key.chmod(mode)
        assert f"chmod 600 {node.key}" in _refused(files(authority, node))


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(
    authority: Authority,
) -> None:
    node = authority.issue("node")
    write_key(node.key, new_key(), passphrase=b"secret")
    assert "passphrase" in _refused(files(authority, node))


def test_a_missing_or_wrong_file_is_named(authority: Authority, tmp_path: Path) -> None:
    node, text = authority.issue("node"), tmp_path / "text.pem"
    text.write_text("no PEM")
    good = files(authority, node)
    ca = authority.certificate
    cases = (
        (TLSFiles(), "certificate and private_key have to be named"),
        (TLSFiles(certificate=node.certificate, private_key=node.key), "client_cert"),
        (TLSFiles(ca=ca, certificate=node.certificate), "go together"),
        (
            TLSFiles(ca=text, certificate=node.certificate, private_key=node.key),
            "tls: ca: ",
        ),
        (
            TLSFiles(ca=ca, certificate=text, private_key=node.key),
            "have to be PEM files",
        ),
        (
            TLSFiles(
                ca=ca, certificate=node.certificate, private_key=tmp_path / "absent"
            ),
            "tls: private_key: ",
        ),
    )
    for chosen, named in cases:
        assert named in _refused(chosen)
    write_key(node.key, new_key())
    assert "not the key of certificate" in _refused(good)


def test_without_required_certificates_a_caller_may_come_without(
    authority: Authority,
) -> None:
    tls = ServerTLS(files(authority, authority.issue("node")), client_required=False)
    without = outgoing_context(TLSFiles(ca=authority.certificate))
    with handshake(tls, without) as (server, _):
        assert not server.getpeercert()
    shown = client_context(authority, authority.issue("ct1"))
    with handshake(tls, shown) as (server, _):
        assert server.getpeercert()


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        ((("commonName", "ct1"), ("organizationName", "H")), "CN=ct1,O=H"),
        ((("countryName", "DE"), ("stateOrProvinceName", "B")), "C=DE,ST=B"),
        ((("commonName", "a,O=b"),), r"CN=a\,O=b"),
        ((("commonName", 'a+"b\\;<>'),), r"CN=a\+\"b\\\;\<\>"),
        ((("commonName", "#a"),), r"CN=\#a"),
        ((("commonName", " a "),), r"CN=\ a\ "),
        ((("commonName", " "),), r"CN=\ "),
        ((("commonName", "a\0b\nc"),), r"CN=a\00b\0ac"),
        ((("commonName", "Žák"),), "CN=Žák"),
        ((("emailAddress", "a@b"), ("1.2.3.4", "x")), "emailAddress=a@b,1.2.3.4=x"),
        ((), ""),
        ((("commonName", "x" * 2000),), ""),
    ],
)
def test_a_subject_is_written_as_rfc_4514_does_in_the_certificates_order(
    subject: tuple[tuple[str, str], ...], text: str
) -> None:
    assert write_subject((pair,) for pair in subject) == text


def test_attributes_of_one_rdn_are_joined_with_a_plus() -> None:
    rdn = (("commonName", "ct1"), ("userId", "7"))
    assert write_subject((rdn, (("organizationName", "H"),))) == "CN=ct1+UID=7,O=H"


@pytest.mark.parametrize("value", ["a,O=b", ' #x+"\\;', "a\\", "x ", "a=b", "Ž, y"])
def test_a_written_subject_reads_back_as_the_same_one(value: str) -> None:
    text = write_subject(((("commonName", value),), (("organizationName", "H"),)))
    read = x509.Name.from_rfc4514_string(text)
    assert sorted(str(item.value) for item in read) == sorted([value, "H"])
