"""TLS as dcmtk, openssl and pynetdicom speak it to the port."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # pynetdicom makes these names at import
    CTImageStorage,
    Verification,
)

from dicom_node.core.tls import TLSFiles, outgoing_context
from dicom_node.receive.admission import Peer
from dicom_node.receive.tls import ServerTLS
from tests.certificates import Authority, Pair, Wanted
from tests.integration.receive.node import Node, running_node, until
from tests.peers import require_tool, run_tool

CT_FILE = Path(str(get_testdata_file("CT_small.dcm")))
SUBJECT = (("C", "DE"), ("O", "Hospital"), ("CN", "ct1"))
WRITTEN = "C=DE,O=Hospital,CN=ct1"


@dataclass(frozen=True)
class Secured:
    """A node that listens with TLS, and a caller whom it trusts."""

    node: Node
    tls: ServerTLS
    authority: Authority
    caller: Pair

    def dcmtk(
        self, program: str, *options: str, file: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a dcmtk SCU against the node."""
        to = ("-aec", "AINODE", "-aet", "CT1", "127.0.0.1", str(self.node.port))
        files = (file,) if file else ()
        return run_tool(program, *options, *to, *files, seconds=30)

    def with_certificate(self, pair: Pair) -> tuple[str, ...]:
        """Return dcmtk's options to call with a certificate."""
        ca = str(self.authority.certificate)
        return ("+tls", str(pair.key), str(pair.certificate), "+cf", ca)

    def openssl(self, *options: str, typed: str = "") -> str:
        """Run `openssl s_client` to its end; return all it prints."""
        caller, ca = self.caller, self.authority.certificate
        done = subprocess.run(
            [
                str(require_tool("openssl")), "s_client",
                "-connect", f"127.0.0.1:{self.node.port}",
                "-CAfile", str(ca), "-cert", str(caller.certificate),
                "-key", str(caller.key), *options,
            ],
            input=typed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", timeout=30, check=False,
        )  # fmt: skip
        return done.stdout

    @contextmanager
    def association(
        self,
        identity: UserIdentityNegotiation | None = None,
        *,
        certificate: Pair | None = None,
    ) -> Iterator[Association]:
        """Call with pynetdicom, as CT1."""
        pair = certificate or self.caller
        context = outgoing_context(
            TLSFiles(
                ca=self.authority.certificate,
                certificate=pair.certificate,
                private_key=pair.key,
            )
        )
        entity = AE(ae_title="CT1")
        entity.add_requested_context(Verification)
        entity.add_requested_context(CTImageStorage)
        association = entity.associate(
            "127.0.0.1", self.node.port, ae_title="AINODE",
            ext_neg=[identity] if identity else None,
            tls_args=(context, "localhost"),
        )  # fmt: skip
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def ended(self, count: int = 1) -> None:
        """Wait for so many records."""
        until(lambda: len(self.node.associations) >= count)


@contextmanager
def secured(folder: Path, *, peers: tuple[Peer, ...] = ()) -> Iterator[Secured]:
    authority = Authority(folder / "ca")
    node_pair = authority.issue("node")
    caller = authority.issue("ct1", Wanted(subject=SUBJECT))
    tls = ServerTLS(
        TLSFiles(
            ca=authority.certificate,
            certificate=node_pair.certificate,
            private_key=node_pair.key,
        )
    )
    with running_node(folder / "in", plain=False, tls=tls, peers=peers) as node:
        yield Secured(node, tls, authority, caller)


@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])
def test_dcmtk_stores_over_tls_in_each_bcp_195_profile(
    tmp_path: Path, profile: str
) -> None:
    with secured(tmp_path) as port:
        options = (*port.with_certificate(port.caller), profile)
        sent = port.dcmtk("storescu", *options, file=CT_FILE)
        assert sent.returncode == 0, sent.stdout
        port.ended()
        (record,) = port.node.associations
        assert record.accepted
        assert record.instances == 1
        assert record.tls_version in ("TLSv1.2", "TLSv1.3")
        assert record.certificate_subject == WRITTEN
        assert len(port.node.files()) == 1


def test_dcmtk_without_the_right_certificate_or_without_tls_is_refused(
    tmp_path: Path,
) -> None:
    with secured(tmp_path) as port:
        ca = str(port.authority.certificate)
        other = Authority(tmp_path / "other", "Other CA")
        expired = port.authority.issue("old", Wanted(days=-1))
        tried = (
            ("+tla", "+cf", ca),
            (),
            port.with_certificate(other.issue("ct1")),
            port.with_certificate(expired),
        )
        for options in tried:
            assert port.dcmtk("echoscu", *options).returncode != 0
        port.ended(4)
        reasons = {record.reason for record in port.node.associations}
        assert reasons == {
            "the caller sent no TLS certificate",
            "DICOM without TLS on the TLS port",
            "the caller's TLS certificate is not signed by tls.ca",
            "the caller's TLS certificate has expired",
        }
        assert not any(record.accepted for record in port.node.associations)
        assert (
            port.dcmtk("echoscu", *port.with_certificate(port.caller)).returncode == 0
        )


@pytest.mark.parametrize(
    ("options", "protocol"),
    [
        (("-tls1_3",), "TLSv1.3"),
        (("-tls1_2",), "TLSv1.2"),
        ((), "TLSv1.3"),
        (("-tls1_1", "-cipher", "ALL@SECLEVEL=0"), None),
        (("-tls1", "-cipher", "ALL@SECLEVEL=0"), None),
        (("-tls1_2", "-cipher", "AES256-GCM-SHA384"), None),
        (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA384"), None),
        (("-tls1_2", "-cipher", "ECDHE-ECDSA-NULL-SHA@SECLEVEL=0"), None),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_openssl_gets_tls_1_2_or_1_3_with_suites_of_bcp_195(
    tmp_path: Path, options: tuple[str, ...], protocol: str | None
) -> None:
    with secured(tmp_path) as port:
        said = port.openssl(*options)
        if protocol is None:
            assert "Cipher is (NONE)" in said
        else:
            assert "Verify return code: 0 (ok)" in said
            assert f"New, {protocol}" in said
            assert "Compression: NONE" in said


def test_renegotiation_is_refused(tmp_path: Path) -> None:
    with secured(tmp_path) as port:
        said = port.openssl("-tls1_2", typed="R\n")
        assert "RENEGOTIATING" in said
        assert "no renegotiation" in said.lower()


def test_a_renewed_certificate_is_served_while_associations_go_on(
    tmp_path: Path,
) -> None:
    with secured(tmp_path) as port, port.association() as running:
        assert running.send_c_echo().Status == 0
        port.authority.issue("node", Wanted(subject=(("CN", "renewed"),)))
        port.tls.reload()
        until(lambda: "CN = renewed" in port.openssl("-brief"))
        assert running.send_c_echo().Status == 0
        assert running.send_c_store(_image()).Status == 0


def test_a_caller_is_known_by_its_certificate(tmp_path: Path) -> None:
    peers = (Peer("CT1", "127.0.0.0/8", certificate_subject="CN=ct1,*"),)
    with secured(tmp_path, peers=peers) as port:
        with port.association() as association:
            assert association.is_established
        stranger = port.authority.issue("ct2", Wanted(subject=(("CN", "ct2"),)))
        with port.association(certificate=stranger) as association:
            assert association.is_rejected
        port.ended(2)
        assert [record.reason for record in port.node.associations] == [
            "released",
            "calling AE title not recognized: not with this TLS certificate",
        ]


def identity(
    kind: int, username: str, passcode: str = "", *, positive: bool = True
) -> UserIdentityNegotiation:
    item = UserIdentityNegotiation()
    item.user_identity_type = kind
    item.primary_field = username.encode()
    if passcode:
        item.secondary_field = passcode.encode()
    item.positive_response_requested = positive
    return item


@pytest.fixture
def identified(tmp_path: Path) -> Iterator[Secured]:
    """A node of which CT1 has to say who it is."""
    passcode = tmp_path / "passcode"
    passcode.touch(mode=0o600)
    passcode.write_text("open sesame\n")
    peers = (Peer("CT1", username="ct1", passcode_file=passcode),)
    with secured(tmp_path, peers=peers) as port:
        yield port


@pytest.mark.parametrize("positive", [True, False])
def test_the_right_identity_is_accepted_and_confirmed_when_asked(
    identified: Secured, positive: bool
) -> None:
    right = identity(2, "ct1", "open sesame", positive=positive)
    with identified.association(right) as association:
        assert association.is_established
        answer = association.acceptor.user_identity
        assert (answer is not None) is positive
        assert association.send_c_store(_image()).Status == 0


@pytest.mark.parametrize(
    "wrong",
    [
        identity(2, "ct1", "wrong"),
        identity(2, "ct2", "open sesame"),
        identity(1, "ct1"),
        identity(3, "open sesame"),
        None,
    ],
    ids=["passcode", "username", "no passcode", "another type", "none"],
)
def test_a_wrong_or_absent_identity_is_rejected(
    identified: Secured, wrong: UserIdentityNegotiation | None
) -> None:
    with identified.association(wrong) as association:
        assert association.is_rejected
        answer = association.acceptor.primitive
        assert answer is not None
        codes = (answer.result, answer.result_source, answer.diagnostic)
        assert codes == (2, 2, 1)
    identified.ended()
    assert identified.node.associations[0].reason == "user identity not accepted"


def test_an_identity_is_not_taken_without_tls(tmp_path: Path) -> None:
    passcode = tmp_path / "passcode"
    passcode.touch(mode=0o600)
    passcode.write_text("open sesame\n")
    peers = (Peer("CT1", username="ct1", passcode_file=passcode),)
    with running_node(tmp_path / "in", peers=peers) as node:
        entity = AE(ae_title="CT1")
        entity.add_requested_context(Verification)
        association = entity.associate(
            "127.0.0.1", node.port, ae_title="AINODE",
            ext_neg=[identity(2, "ct1", "open sesame")],
        )  # fmt: skip
        assert association.is_rejected
        until(lambda: bool(node.associations))
        assert node.associations[0].reason.endswith("not without TLS")


def _image() -> Dataset:
    return dcmread(CT_FILE)
