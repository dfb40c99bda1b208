"""The worklist proxy over TLS: with readers, and with the hospital's worklist."""

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import evt

from config.proxy import ProxyTable
from dicom_node.core.errors import ConfigError
from dicom_node.core.tls import TLSFiles
from dicom_node.proxying import port_tls
from dicom_node.receive.tls import ServerTLS, subject_of
from dicom_node.worklist.proxy_callers import ProxyCaller, Refusal
from dicom_node.worklist.proxy_messages import UpstreamError
from dicom_node.worklist.proxy_upstream import UpstreamPeer, connect
from tests.certificates import Authority, Pair, Wanted
from tests.integration.worklist.stations import (
    Answer,
    ask,
    hospital,
    item,
    let_in,
    question,
    running_proxy,
)
from tests.peers import free_port, run_tool, wait_until

KEYS = ("RequestedProcedurePriority", "RequestedProcedureComments")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """An authority and whom it knows."""

    authority: Authority
    proxy: Pair
    reader: Pair
    worklist: Pair

    def port(self, **changes: object) -> dict[str, Any]:
        """Return the settings of the proxy's own port."""
        return {
            "tls": True,
            "certificate": self.proxy.certificate,
            "private_key": self.proxy.key,
            "ca": self.authority.certificate,
            **changes,
        }

    def upstream(self, **changes: object) -> dict[str, Any]:
        """Return the settings of the way to the hospital's worklist."""
        return {
            "upstream_tls": True,
            "upstream_ca": self.authority.certificate,
            "upstream_certificate": self.proxy.certificate,
            "upstream_private_key": self.proxy.key,
            **changes,
        }


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    """Return certificates for everybody."""
    authority = Authority(tmp_path / "ca")
    proxy, reader, worklist = (
        authority.issue(name, Wanted(subject=(("CN", name),)))
        for name in ("proxy", "reader", "worklist")
    )
    return Keys(authority=authority, proxy=proxy, reader=reader, worklist=worklist)


def one_order(_event: evt.Event) -> Iterator[Answer]:
    """Answer with one order."""
    yield 0xFF00, item()
    yield 0x0000, None


def serving(keys: Keys, *, client: bool = True) -> ssl.SSLContext:
    """Return the context of a hospital's worklist."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys.worklist.certificate, keys.worklist.key)
    context.load_verify_locations(keys.authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED if client else ssl.CERT_NONE
    return context


def _findscu(port: int, keys: Keys, *, own: bool = True) -> tuple[int, str]:
    """Ask with dcmtk over TLS."""
    tls = ["+tls", keys.reader.key, keys.reader.certificate] if own else ["+tla"]
    found = run_tool(
        *("findscu", "-v", "-W", "-aec", "AIWORKLIST", *tls),
        *("+cf", keys.authority.certificate, "-k", "AccessionNumber"),
        *(word for key in KEYS for word in ("-k", key)),
        *("localhost", str(port)),
    )
    return found.returncode, found.stdout


def test_findscu_asks_over_tls_and_is_known_by_its_certificate(keys: Keys) -> None:
    seen: list[ProxyCaller] = []
    subjects: list[str] = []

    def admit(caller: ProxyCaller) -> Refusal | None:
        seen.append(caller)
        subjects.append(subject_of(caller.connection) if caller.connection else "")
        return None

    table = ProxyTable.model_validate(keys.port())
    with (
        hospital(one_order) as port,
        running_proxy(port, admit, tls=port_tls(table)) as proxy,
    ):
        status, said = _findscu(proxy.port, keys)
    assert status == 0, said
    assert "STAT" in said
    assert subjects == ["CN=reader"]
    assert [caller.calling_ae_title for caller in seen] == ["FINDSCU"]


def test_a_reader_without_a_certificate_gets_nothing_unless_that_is_allowed(
    keys: Keys,
) -> None:
    strict = port_tls(ProxyTable.model_validate(keys.port()))
    lax = port_tls(
        ProxyTable.model_validate(keys.port(client_certificate="none", ca=None))
    )
    with hospital(one_order) as port:
        with running_proxy(port, tls=strict) as proxy:
            assert _findscu(proxy.port, keys, own=False)[0] != 0
            assert proxy.counted.queries == []
        with running_proxy(port, tls=lax) as proxy:
            status, said = _findscu(proxy.port, keys, own=False)
            assert status == 0, said
            assert "STAT" in said


def test_a_reader_without_tls_is_turned_away(keys: Keys) -> None:
    tls = port_tls(ProxyTable.model_validate(keys.port()))
    with hospital(one_order) as port, running_proxy(port, tls=tls) as proxy:
        assert ask(proxy.port, question(*KEYS)) == ([], None)


def test_one_who_never_shakes_hands_holds_up_nobody(keys: Keys) -> None:
    tls = port_tls(ProxyTable.model_validate(keys.port()))
    with hospital(one_order) as port, running_proxy(port, tls=tls) as proxy:
        silent = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(5)]
        try:
            assert _findscu(proxy.port, keys)[0] == 0
        finally:
            for connection in silent:
                connection.close()


def test_no_more_connections_wait_for_their_handshake_than_there_is_room_for(
    keys: Keys,
) -> None:
    tls = port_tls(ProxyTable.model_validate(keys.port()))
    with running_proxy(free_port(), tls=tls, max_associations=1) as proxy:
        silent = [
            socket.create_connection(("127.0.0.1", proxy.port), 10) for _ in range(11)
        ]
        try:
            # Ten may be in (two per association, and eight): the last is closed.
            assert silent[-1].recv(1) == b""
        finally:
            for connection in silent:
                connection.close()


def test_a_new_certificate_is_shown_without_a_restart(keys: Keys) -> None:
    files = TLSFiles(certificate=keys.proxy.certificate, private_key=keys.proxy.key)
    tls = ServerTLS(files, client_required=False, look_seconds=0.0)

    def shown(port: int) -> bytes:
        context = ssl.create_default_context(cafile=keys.authority.certificate)
        with (
            socket.create_connection(("127.0.0.1", port), 10) as connection,
            context.wrap_socket(connection, server_hostname="localhost") as secured,
        ):
            return secured.getpeercert(binary_form=True) or b""

    with hospital(one_order) as port, running_proxy(port, tls=tls) as proxy:
        before = shown(proxy.port)
        keys.authority.issue("proxy")
        wait_until(lambda: shown(proxy.port) != before, what="the new certificate")


@pytest.mark.parametrize("client", [True, False])
def test_the_hospital_is_asked_over_tls(keys: Keys, client: bool) -> None:
    def many(_event: evt.Event) -> Iterator[Answer]:
        for number in range(300):
            yield 0xFF00, item(f"A{number}", PatientComments="x" * 500)
        yield 0x0000, None

    own: dict[str, object] = {}
    if not client:
        own = {"upstream_certificate": None, "upstream_private_key": None}
    with (
        hospital(many, tls=serving(keys, client=client)) as port,
        running_proxy(port, **keys.upstream(**own), upstream_host="localhost") as proxy,
    ):
        answers, status = ask(proxy.port, question(*KEYS))
    assert status == 0x0000
    assert [one.AccessionNumber for one in answers] == [f"A{n}" for n in range(300)]
    assert answers[1].RequestedProcedurePriority == "STAT"


def _no_certificate(keys: Keys) -> dict[str, Any]:
    return keys.upstream(upstream_certificate=None, upstream_private_key=None)


def _stranger(keys: Keys) -> dict[str, Any]:
    other = Authority(keys.authority.folder / "other")
    return keys.upstream(upstream_ca=other.certificate)


def _broken_file(keys: Keys) -> dict[str, Any]:
    file = keys.authority.folder / "broken.pem"
    file.write_text("no certificate")
    return keys.upstream(upstream_ca=file)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (_no_certificate, "upstream_certificate|connection lost|closed"),
        (_stranger, "not signed by upstream_ca"),
        (_broken_file, "holds no certificate"),
    ],
)
def test_a_hospital_that_cannot_be_trusted_is_a_failure_that_says_why(
    keys: Keys, settings: Callable[[Keys], dict[str, Any]], words: str
) -> None:
    with hospital(one_order, tls=serving(keys)) as port:
        with running_proxy(port, **settings(keys)) as proxy:
            answers, status = ask(proxy.port, question(*KEYS))
        assert answers == []
        assert status == 0xA700
        table = ProxyTable.model_validate(
            {
                "upstream_host": "127.0.0.1",
                "upstream_port": port,
                "upstream_ae_title": "WORKLIST",
                **settings(keys),
            }
        )
        if settings is not _no_certificate:  # TLS 1.3 tells of it after the handshake
            with pytest.raises(UpstreamError, match=words):
                connect(UpstreamPeer.from_table(table, caller="READER"))


def test_a_hospital_without_tls_is_said_to_be_one(keys: Keys) -> None:
    with hospital(one_order) as port:
        table = ProxyTable.model_validate(
            {
                "upstream_host": "127.0.0.1",
                "upstream_port": port,
                "upstream_ae_title": "WORKLIST",
                "timeout_seconds": 2.0,
                **keys.upstream(),
            }
        )
        with pytest.raises(UpstreamError, match="upstream_"):
            connect(UpstreamPeer.from_table(table, caller="READER"))


def test_a_handshake_that_does_not_end_is_given_up(keys: Keys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        table = ProxyTable.model_validate(
            {
                "upstream_host": "127.0.0.1",
                "upstream_port": listener.getsockname()[1],
                "upstream_ae_title": "WORKLIST",
                "timeout_seconds": 0.3,
                **keys.upstream(),
            }
        )
        with pytest.raises(UpstreamError, match="took too long"):
            connect(UpstreamPeer.from_table(table, caller="READER"))


def test_files_that_do_not_fit_together_are_a_fault_of_the_configuration(
    keys: Keys,
) -> None:
    table = ProxyTable.model_validate(keys.port(private_key=keys.reader.key))
    with pytest.raises(ConfigError, match=r"worklist\.proxy: private_key"):
        port_tls(table)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"certificate": None}, "needs certificate and private_key"),
        ({"ca": None}, "needs ca"),
        ({"tls": False}, "need tls = true"),
        ({"upstream_ca": Path("x")}, "need upstream_tls"),
        ({"upstream_tls": True, "upstream_certificate": Path("x")}, "go together"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(
    keys: Keys, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        ProxyTable.model_validate(keys.port(**changes))


def test_the_datasets_are_the_same_over_tls_and_without(keys: Keys) -> None:
    tls = serving(keys)
    found: list[list[Dataset]] = []
    for context, settings in ((None, {}), (tls, keys.upstream())):
        with (
            hospital(one_order, tls=context) as port,
            running_proxy(port, let_in, **settings) as proxy,
        ):
            found.append(ask(proxy.port, question(*KEYS))[0])
    assert found[0] == found[1]
