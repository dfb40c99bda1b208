"""Reports over TLS: to the right peer only, and never for ever."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.destinations import DestinationTable
from dicom_node.cli import main
from dicom_node.core.errors import DeliveryError
from dicom_node.deliver.store_scu import DicomDestination
from tests.certificates import Authority, Pair, Wanted
from tests.integration.deliver.peers import data_set_bytes, make_report, raw_peer
from tests.peers import StoreScp, free_port, running_storescp


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


def _tls(authority: Authority, pair: Pair | None) -> dict[str, object]:
    files = {"certificate": pair.certificate, "private_key": pair.key} if pair else {}
    return {"tls": True, "ca": authority.certificate, **files}


def _destination(port: int, **settings: object) -> DicomDestination:
    table = DestinationTable.model_validate(
        {
            "name": "pacs",
            "ae_title": "PACS",
            "host": "127.0.0.1",
            "port": port,
            "timeout_seconds": 10,
            **settings,
        }
    )
    return DicomDestination(table, "AINODE")


def _fault(destination: DicomDestination) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        destination.check()
    return caught.value


@contextmanager
def _pacs(
    folder: Path, authority: Authority, pair: Pair, *options: str
) -> Iterator[StoreScp]:
    """Run dcmtk's storescp with TLS; callers need a certificate of the authority."""
    secured = ("+tls", str(pair.key), str(pair.certificate))
    trusted = ("+cf", str(authority.certificate), "+xa", *options)
    with running_storescp(
        folder, ae_title="PACS", options=(*secured, *trusted)
    ) as running:
        yield running


def test_a_report_arrives_over_mutual_tls_in_the_bytes_on_disk(
    tmp_path: Path, authority: Authority
) -> None:
    report = make_report(tmp_path)
    with _pacs(tmp_path / "pacs", authority, authority.issue("pacs")) as pacs:
        tls = _tls(authority, authority.issue("node"))
        destination = _destination(pacs.address.port, **tls)
        chosen: list[object] = []
        sent = destination.send([report], chosen=None, on_chosen=chosen.append)
        assert sent.status == 0
        (file,) = pacs.files()
        assert data_set_bytes(file) == data_set_bytes(report.path)


def test_a_pacs_that_wants_a_certificate_and_gets_none_is_explained(
    tmp_path: Path, authority: Authority
) -> None:
    with _pacs(tmp_path / "pacs", authority, authority.issue("pacs")) as pacs:
        fault = _fault(_destination(pacs.address.port, **_tls(authority, None)))
    assert "does not accept this node's TLS certificate" in str(fault)
    assert "certificate of destination 'pacs'" in str(fault)
    assert fault.retryable


@dataclass(frozen=True)
class Case:
    """A certificate of the PACS that must not be taken."""

    wanted: Wanted
    said: str


@pytest.mark.parametrize(
    "case",
    [
        Case(Wanted(hosts=("pacs.example", "127.0.0.2")), "not made for this host"),
        Case(Wanted(days=-1), "has expired"),
    ],
    ids=["another host", "expired"],
)
def test_a_pacs_whose_certificate_is_not_right_gets_nothing(
    tmp_path: Path, authority: Authority, case: Case
) -> None:
    pair = authority.issue("pacs", case.wanted)
    with _server(pair) as port:
        fault = _fault(_destination(port, **_tls(authority, None)))
    assert case.said in str(fault)


def test_a_pacs_of_another_authority_gets_nothing(
    tmp_path: Path, authority: Authority
) -> None:
    pair = Authority(tmp_path / "other", "Other CA").issue("pacs")
    with _server(pair) as port:
        fault = _fault(_destination(port, **_tls(authority, None)))
        system = _fault(_destination(port, tls=True))
    for item in (fault, system):
        assert "not signed by an authority this node trusts" in str(item)
        assert "check ca of destination 'pacs'" in str(item)


def test_a_pacs_of_tls_1_1_gets_nothing(tmp_path: Path, authority: Authority) -> None:
    def old(context: ssl.SSLContext) -> None:
        context.set_ciphers("ALL@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1

    with _server(authority.issue("pacs"), old) as port:
        fault = _fault(_destination(port, **_tls(authority, None)))
    assert "BCP 195" in str(fault)


@contextmanager
def _server(
    pair: Pair, prepare: Callable[[ssl.SSLContext], None] = lambda context: None
) -> Iterator[int]:
    """Run a server that shakes hands and then says nothing; give its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    prepare(context)

    def talk(connection: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as c:
            c.recv(1)

    with raw_peer(talk) as port:
        yield port


@pytest.mark.parametrize("drip", [False, True], ids=["silent", "a byte at a time"])
def test_a_server_that_never_ends_its_handshake_is_given_up(
    authority: Authority, drip: bool
) -> None:
    done = threading.Event()

    def talk(connection: socket.socket) -> None:
        record = b"\x16\x03\x03\x40\x00" + bytes(1000)
        for position in range(len(record)):
            if done.wait(0.2):
                return
            with suppress(OSError):
                connection.sendall(record[position : position + 1] if drip else b"")

    with raw_peer(talk) as port:
        began = time.monotonic()
        tls = _tls(authority, None)
        fault = _fault(_destination(port, timeout_seconds=0.5, **tls))
        seconds = time.monotonic() - began
        done.set()
    assert seconds < 6
    assert "did not finish the TLS handshake within 0.5 s" in str(fault)


def test_a_plain_pacs_is_not_talked_to_in_tls(
    authority: Authority, storescp: StoreScp
) -> None:
    port = storescp.address.port
    fault = _fault(_destination(port, **_tls(authority, None)))
    text = str(fault)
    assert "does not speak TLS there" in text or "ended the TLS handshake" in text


def test_nobody_there_is_said_as_without_tls(authority: Authority) -> None:
    fault = _fault(_destination(free_port(), **_tls(authority, None)))
    assert "nothing listens there" in str(fault)


def test_a_renewed_certificate_is_used_by_the_next_association(
    tmp_path: Path, authority: Authority
) -> None:
    node = authority.issue("node", Wanted(days=-1))
    with _pacs(tmp_path / "pacs", authority, authority.issue("pacs")) as pacs:
        destination = _destination(pacs.address.port, **_tls(authority, node))
        assert "does not accept this node's" in str(_fault(destination))
        authority.issue("node")
        destination.check()


def test_a_key_that_others_may_read_is_not_used(authority: Authority) -> None:
    node = authority.issue("node")
    node.key.chmod(0o644)
    fault = _fault(_destination(free_port(), **_tls(authority, node)))
    assert f"chmod 600 {node.key}" in str(fault)


def test_echo_and_send_speak_tls_from_the_command_line(
    tmp_path: Path, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    node, report = authority.issue("node"), make_report(tmp_path)
    (tmp_path / "node.toml").touch()
    config = f"--config={tmp_path / 'node.toml'}"
    with _pacs(tmp_path / "pacs", authority, authority.issue("pacs")) as pacs:
        to = f"--to=127.0.0.1:{pacs.address.port}"
        ca = f"--ca={authority.certificate}"
        ours = (f"--certificate={node.certificate}", f"--key={node.key}")
        assert main(["echo", config, to, "--tls", ca, *ours]) == 0
        assert main(["send", config, to, "--tls", ca, *ours, str(report.path)]) == 0
        assert len(pacs.files()) == 1
        capsys.readouterr()
        assert main(["echo", config, to, "--tls", ca]) == 1
        assert "--certificate" in capsys.readouterr().err
        assert main(["echo", config, to]) == 1
        assert main(["echo", config, to, ca, f"--certificate={node.certificate}"]) == 2
