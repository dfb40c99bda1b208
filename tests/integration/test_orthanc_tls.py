"""Orthanc over TLS, both ways: studies in, reports out."""

from pathlib import Path

from pydicom.data import get_testdata_file

from config.destinations import DestinationTable
from dicom_node.core.tls import TLSFiles
from dicom_node.deliver.store_scu import DicomDestination
from dicom_node.receive.admission import Peer
from dicom_node.receive.tls import ServerTLS
from tests.certificates import Authority, Wanted
from tests.integration.deliver.peers import make_report
from tests.integration.receive.node import running_node, until
from tests.orthanc import OrthancSettings, running_orthanc
from tests.peers import Address

CT_FILE = Path(str(get_testdata_file("CT_small.dcm")))


def test_orthanc_sends_and_receives_over_mutual_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    ours, theirs = (
        authority.issue(name, Wanted(subject=(("CN", name),)))
        for name in ("node", "orthanc")
    )
    files = TLSFiles(
        ca=authority.certificate, certificate=ours.certificate, private_key=ours.key
    )
    peers = (Peer("ORTHANC", certificate_subject="CN=orthanc"),)
    with running_node(
        tmp_path / "in", plain=False, tls=ServerTLS(files), peers=peers
    ) as node:
        settings = OrthancSettings(
            modalities=(("ainode", Address(port=node.port)),),
            tls=(theirs.certificate, theirs.key, authority.certificate),
        )
        with running_orthanc(tmp_path / "orthanc", settings) as orthanc:
            orthanc.upload(CT_FILE)
            (instance,) = orthanc.rest("/instances")
            orthanc.rest(
                "/modalities/ainode/store", method="POST", body=instance.encode()
            )
            until(lambda: bool(node.associations))
            assert node.associations[0].instances == 1
            assert node.associations[0].certificate_subject == "CN=orthanc"

            table = DestinationTable(
                name="pacs",
                ae_title="ORTHANC",
                host="127.0.0.1",
                port=orthanc.address.port,
                tls=True,
                ca=authority.certificate,
                certificate=ours.certificate,
                private_key=ours.key,
            )
            sent = DicomDestination(table, "AINODE").send(
                [make_report(tmp_path)], chosen=None, on_chosen=lambda uid: None
            )
            assert sent.status == 0
            assert len(orthanc.reports()) == 1
