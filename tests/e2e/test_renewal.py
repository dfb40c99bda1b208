"""Certificates are renewed under receivers that run, with a signal and without."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # pynetdicom makes these names at import

from dicom_node.cli import main
from dicom_node.core.tls import TLSFiles, outgoing_context
from tests.certificates import Authority, Wanted
from tests.peers import ToolProcess, accepts, free_port, start_node, wait_until

PROCESSES = 2
IN_A_ROW = 8  # connections, so that each process is met


@dataclass
class Port:
    """The role `receive` with TLS alone, and the files that it was given."""

    tool: ToolProcess
    number: int
    authority: Authority
    configuration: Path

    def files(self) -> TLSFiles:
        """Return what a caller with a certificate has."""
        folder = self.authority.folder
        return TLSFiles(
            ca=self.authority.certificate,
            certificate=folder / "ct1.pem",
            private_key=folder / "ct1.key",
        )

    def shown(self) -> str:
        """Return the common name of the certificate that a connection shows."""
        context = outgoing_context(self.files())
        with (
            socket.create_connection(("127.0.0.1", self.number), timeout=10) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as connection,
        ):
            der = connection.getpeercert(binary_form=True)
        assert der is not None
        subject = x509.load_der_x509_certificate(der).subject
        return subject.rfc4514_string()

    def renewed(self, name: str) -> bool:
        return all(self.shown() == f"CN={name}" for _ in range(IN_A_ROW))


@contextmanager
def receiving(folder: Path) -> Iterator[Port]:
    authority = Authority(folder / "ca")
    authority.issue("node", Wanted(subject=(("CN", "first"),)))
    authority.issue("ct1", Wanted(subject=(("CN", "ct1"),)))
    number = free_port()
    configuration = folder / "node.toml"
    configuration.write_text(
        f'[node]\nplain = false\ndata_dir = "data"\n'
        f"[receive]\nprocesses = {PROCESSES}\nmin_free_bytes = 0\n"
        f'[tls]\nport = {number}\nca = "ca/ca.pem"\n'
        'certificate = "ca/node.pem"\nprivate_key = "ca/node.key"\n'
        '[[peers]]\nae_title = "CT1"\ncertificate_subject = "CN=ct1"\n'
    )
    role = ("receive", "--config", configuration)
    tool = start_node(role, log=folder / "receive.log")
    try:
        wait_until(lambda: accepts(number), what="the port listens")
        yield Port(tool, number, authority, configuration)
    finally:
        tool.stop(seconds=20)


def test_new_files_are_served_by_every_process_and_associations_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with receiving(tmp_path) as port:
        assert port.renewed("first")
        entity = AE(ae_title="CT1")
        entity.add_requested_context(Verification)
        running = entity.associate(
            "127.0.0.1", port.number, ae_title="AINODE",
            tls_args=(outgoing_context(port.files()), "localhost"),
        )  # fmt: skip
        assert running.send_c_echo().Status == 0

        port.authority.issue("node", Wanted(subject=(("CN", "second"),)))
        port.tool.process.send_signal(signal.SIGHUP)
        wait_until(lambda: port.renewed("second"), what="every process has read them")
        port.authority.issue("node", Wanted(subject=(("CN", "third"),)))
        wait_until(
            lambda: port.renewed("third"), what="they are found without a signal"
        )

        assert running.send_c_echo().Status == 0
        running.release()
        assert port.tool.stop(seconds=20) == 0
    arguments = ["show", "--config", str(port.configuration), "--associations"]
    assert main(arguments) == 0
    assert "CT1 at 127.0.0.1 calling AINODE over TLSv1.3 CN=ct1:" in (
        capsys.readouterr().out
    )
