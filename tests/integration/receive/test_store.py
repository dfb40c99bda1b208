"""C-ECHO and C-STORE by real peers, in every transfer syntax."""

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID, generate_uid
from pynetdicom import AE, build_context, evt
from pynetdicom.pdu import A_ASSOCIATE_RJ

from dicom_node.core.errors import ConfigError, DatabaseError, OutOfResources
from dicom_node.core.states import Receipt
from dicom_node.core.types import ReceivedInstance
from dicom_node.receive.acceptor import Acceptor
from dicom_node.receive.admission import Peer
from dicom_node.receive.options import ReceiveOptions
from tests.integration.receive.node import (
    Node,
    dataset_bytes,
    running_node,
    until,
)
from tests.integration.receive.wire import STORE_RQ, RawPeer, command, message
from tests.peers import Address, echoscu, run_tool, shared_data

# storescu's option that proposes the file's own transfer syntax
PROPOSE = {
    "1.2.840.10008.1.2": "-xi",
    "1.2.840.10008.1.2.1": "-xe",
    "1.2.840.10008.1.2.2": "-xb",
    "1.2.840.10008.1.2.1.99": "-xd",
    "1.2.840.10008.1.2.4.50": "-xy",
    "1.2.840.10008.1.2.4.51": "-xx",
    "1.2.840.10008.1.2.4.70": "-xs",
    "1.2.840.10008.1.2.4.80": "-xt",
    "1.2.840.10008.1.2.4.81": "-xu",
    "1.2.840.10008.1.2.4.90": "-xv",
    "1.2.840.10008.1.2.4.91": "-xw",
    "1.2.840.10008.1.2.5": "-xr",
}
BUNDLED = (
    "rtdose.dcm",
    "CT_small.dcm",
    "MR_small_bigendian.dcm",
    "image_dfl.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "JPEG-lossy.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "JPEG2000.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_RLE.dcm",
    "reportsi.dcm",
    "test-SR.dcm",
    "rtplan.dcm",
    "waveform_ecg.dcm",
)


def bundled(name: str) -> Path:
    found = get_testdata_file(name)
    assert found, f"pydicom bundles {name}"
    return Path(str(found))


def send(node: Node, dataset: Dataset, transfer_syntax: str) -> int:
    """Store with pynetdicom; -1 when the context is not accepted."""
    ae = AE()
    ae.requested_contexts = [build_context(dataset.SOPClassUID, transfer_syntax)]
    association = ae.associate("127.0.0.1", node.port, ae_title="AINODE")
    if not association.is_established:  # it gives up when no context is accepted
        return -1
    try:
        return int(association.send_c_store(dataset).Status)
    finally:
        association.release()


def test_an_echo_of_dcmtk_is_answered(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        assert echoscu(Address(port=node.port))


@pytest.mark.parametrize("name", BUNDLED)
def test_a_file_is_kept_byte_for_byte_in_its_own_transfer_syntax(
    tmp_path: Path, name: str
) -> None:
    _, transfer_syntax = dataset_bytes(bundled(name))
    with running_node(tmp_path) as node:
        option = ("-R", PROPOSE[transfer_syntax], "-aec", "AINODE")
        done = run_tool("storescu", *option, "127.0.0.1", str(node.port), bundled(name))
        assert done.returncode == 0, done.stdout
        until(lambda: bool(node.associations))
        (received,) = node.received
        (path,) = node.files()
        kept, kept_syntax = dataset_bytes(path)
        assert kept_syntax == transfer_syntax == received.transfer_syntax_uid
        # storescu re-encodes what is not compressed: lengths and padding may differ
        if transfer_syntax.startswith(("1.2.840.10008.1.2.4", "1.2.840.10008.1.2.5")):
            assert dcmread(path).PixelData == dcmread(bundled(name)).PixelData
        assert len(kept) == received.size_bytes
        assert dcmread(path).SOPInstanceUID == dcmread(bundled(name)).SOPInstanceUID
        assert node.associations[0].instances == 1


def test_the_bytes_on_disk_are_those_on_the_wire(tmp_path: Path) -> None:
    path = bundled("CT_small.dcm")
    sent, _ = dataset_bytes(path)
    with running_node(tmp_path) as node:
        assert send_raw(node, sent, dcmread(path)) == 0
        (kept,) = node.files()
        assert dataset_bytes(kept)[0] == sent
        assert kept.read_bytes()[:132] == bytes(128) + b"DICM"
        assert kept.stat().st_mode & 0o177 == 0


def send_raw(node: Node, sent: bytes, dataset: Dataset) -> int | None:
    peer = RawPeer.connect(node.port)
    sop_class = str(dataset.SOPClassUID)
    peer.associate({1: (sop_class, str(dataset.file_meta.TransferSyntaxUID))})
    head = command(
        STORE_RQ,
        sop_class=sop_class,
        instance=str(dataset.SOPInstanceUID),
        dataset=True,
    )
    peer.connection.sendall(message(1, head, sent))
    status = peer.status()
    peer.close()
    return status


@pytest.mark.parametrize("syntax", ["201", "202", "203"])
def test_htj2k_is_accepted(tmp_path: Path, syntax: str) -> None:
    dataset = dcmread(shared_data("dicom", "htj2k", "HTJ2K_08_RGB.dcm"))
    dataset.StudyInstanceUID = dataset.SeriesInstanceUID = generate_uid()
    transfer_syntax = f"1.2.840.10008.1.2.4.{syntax}"
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    with running_node(tmp_path) as node:
        assert send(node, dataset, transfer_syntax) == 0


@pytest.mark.parametrize("syntax", ["100", "110", "92", "93", "102"])
def test_what_cannot_be_decoded_is_not_accepted_and_told(
    tmp_path: Path, syntax: str
) -> None:
    dataset = dcmread(bundled("CT_small.dcm"))
    with running_node(tmp_path) as node:
        assert send(node, dataset, f"1.2.840.10008.1.2.4.{syntax}") == -1
        until(lambda: bool(node.associations))
        (context,) = node.associations[0].refused_contexts
        assert context.sop_class_uid == dataset.SOPClassUID
        assert context.transfer_syntax_uids == (f"1.2.840.10008.1.2.4.{syntax}",)
        assert context.reason == "transfer syntaxes not supported"


def test_a_private_storage_class_is_stored(tmp_path: Path) -> None:
    dataset = dcmread(bundled("CT_small.dcm"))
    dataset.SOPClassUID = UID("1.3.46.670589.5.0.99")
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    with running_node(tmp_path) as node:
        assert send(node, dataset, "1.2.840.10008.1.2.1") == 0


def test_a_query_class_is_refused(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        ae = AE()
        ae.requested_contexts = [build_context("1.2.840.10008.5.1.4.1.2.2.1")]
        ae.associate("127.0.0.1", node.port, ae_title="AINODE").release()
        until(lambda: bool(node.associations))
        (context,) = node.associations[0].refused_contexts
        assert context.reason == "abstract syntax not supported"


def test_a_wrong_called_ae_title_is_rejected_and_recorded(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        ae = AE(ae_title="CALLER")
        ae.requested_contexts = [build_context("1.2.840.10008.5.1.4.1.1.2")]
        # The PDU itself: at times pynetdicom calls a rejection an abort.
        heard: list[A_ASSOCIATE_RJ] = []
        ae.associate(
            "127.0.0.1",
            node.port,
            ae_title="OTHER",
            evt_handlers=[(evt.EVT_PDU_RECV, lambda event: heard.append(event.pdu))],
        )
        (pdu,) = heard
        assert (pdu.result, pdu.source, pdu.reason_diagnostic) == (1, 1, 7)
        until(lambda: bool(node.associations))
        (record,) = node.associations
        assert not record.accepted
        assert record.calling_ae_title == "CALLER"
        assert record.called_ae_title == "OTHER"
        assert record.refused_contexts[0].sop_class_uid == "1.2.840.10008.5.1.4.1.1.2"


@pytest.mark.parametrize(
    ("peers", "accepted"),
    [
        ((Peer("CALLER"),), True),
        ((Peer("CALLER", "127.0.0.1"),), True),
        ((Peer("CALLER", "localhost"),), True),
        ((Peer("CALLER", "192.0.2.1"),), False),
        ((Peer("SOMEBODY"),), False),
    ],
)
def test_only_listed_peers_may_call(
    tmp_path: Path, peers: tuple[Peer, ...], accepted: bool
) -> None:
    with running_node(tmp_path, peers=peers) as node:
        ae = AE(ae_title="CALLER")
        ae.requested_contexts = [build_context("1.2.840.10008.1.1")]
        heard: list[A_ASSOCIATE_RJ] = []
        association = ae.associate(
            "127.0.0.1",
            node.port,
            ae_title="AINODE",
            evt_handlers=[(evt.EVT_PDU_RECV, lambda event: heard.append(event.pdu))],
        )
        assert association.is_established is accepted
        if accepted:
            association.release()
        else:
            (pdu,) = heard
            assert (pdu.result, pdu.source, pdu.reason_diagnostic) == (1, 1, 3)
            until(lambda: bool(node.associations))
            reason = node.associations[0].reason
            assert reason.startswith("calling AE title not recognized")


def test_a_database_that_is_down_means_try_again_and_the_file_stays(
    tmp_path: Path,
) -> None:
    def down(_: ReceivedInstance) -> None:
        raise DatabaseError("locked")

    dataset = dcmread(bundled("CT_small.dcm"))
    with running_node(tmp_path) as node:
        node.fault = down
        assert send(node, dataset, "1.2.840.10008.1.2.1") == 0xA700
        assert len(node.files()) == 1, "the commit may have happened"


def test_a_refused_instance_leaves_no_file(tmp_path: Path) -> None:
    def refuse(_: ReceivedInstance) -> None:
        raise OutOfResources("full")

    dataset = dcmread(bundled("CT_small.dcm"))
    with running_node(tmp_path) as node:
        node.fault = refuse
        assert send(node, dataset, "1.2.840.10008.1.2.1") == 0xA700
        assert node.files() == []


def test_a_doubtful_file_without_a_row_goes_when_the_database_is_back(
    tmp_path: Path,
) -> None:
    def down(_: ReceivedInstance) -> None:
        raise DatabaseError("locked")

    dataset = dcmread(bundled("CT_small.dcm"))
    with running_node(tmp_path) as node:
        node.fault = down
        assert send(node, dataset, "1.2.840.10008.1.2.1") == 0xA700
        node.fault = None
        assert send(node, dataset, "1.2.840.10008.1.2.1") == 0
        (kept,) = node.files()
        assert kept.stem == node.received[-1].file_key


def test_a_full_disk_is_told_before_the_data_set_is_read_to_its_end(
    tmp_path: Path,
) -> None:
    path = bundled("CT_small.dcm")
    sent, syntax = dataset_bytes(path)
    dataset = dcmread(path)
    sop_class, instance = str(dataset.SOPClassUID), str(dataset.SOPInstanceUID)
    with running_node(tmp_path, min_free_bytes=1 << 62) as node:
        peer = RawPeer.connect(node.port)
        peer.associate({1: (sop_class, syntax)})
        head = command(STORE_RQ, sop_class=sop_class, instance=instance, dataset=True)
        whole = message(1, head, sent)
        peer.connection.sendall(whole[:-100])
        assert peer.status() == 0xA700
        peer.connection.sendall(whole[-100:] + whole)
        assert peer.status() == 0xA700
        assert node.files() == []


def test_a_disk_that_fails_is_told_from_one_that_is_low(tmp_path: Path) -> None:
    path = bundled("CT_small.dcm")
    sent, syntax = dataset_bytes(path)
    dataset = dcmread(path)
    sop_class, instance = str(dataset.SOPClassUID), str(dataset.SOPInstanceUID)
    head = command(STORE_RQ, sop_class=sop_class, instance=instance, dataset=True)
    whole = message(1, head, sent)
    with running_node(tmp_path) as node:
        peer = RawPeer.connect(node.port)
        peer.associate({1: (sop_class, syntax)})
        peer.connection.sendall(whole[:-100])
        until(lambda: len(node.files()) == 1)
        node.files()[0].unlink()  # what cannot be named has not been stored
        peer.connection.sendall(whole[-100:])
        assert peer.status() == 0xA700
        until(lambda: node.disk_failures == 1)
        peer.connection.sendall(whole)
        assert peer.status() == 0
    assert node.disk_failures == 1
    with running_node(tmp_path, min_free_bytes=1 << 62) as low:
        assert send(low, dataset, syntax) == 0xA700
    assert low.disk_failures == 0


def test_a_refused_repeat_leaves_the_acknowledged_file(tmp_path: Path) -> None:
    def refuse(_: ReceivedInstance) -> None:
        raise OutOfResources("full")

    dataset = dcmread(bundled("CT_small.dcm"))
    with running_node(tmp_path) as node:
        assert send(node, dataset, "1.2.840.10008.1.2.1") == 0
        node.fault = refuse
        assert send(node, dataset, "1.2.840.10008.1.2.1") == 0xA700
        assert len(node.files()) == 1


def test_an_unexpected_fault_is_a_processing_failure_without_its_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def burst(_: ReceivedInstance) -> None:
        raise RuntimeError("DOE^JOHN")

    dataset = dcmread(bundled("CT_small.dcm"))
    with caplog.at_level("DEBUG"), running_node(tmp_path) as node:
        node.fault = burst
        assert send(node, dataset, "1.2.840.10008.1.2.1") == 0x0110
        until(lambda: bool(node.associations))
    written = " ".join(str(record.__dict__) for record in caplog.records)
    assert "instance failed" in written
    assert "DOE^JOHN" not in written
    assert str(dataset.SOPInstanceUID) not in written
    assert str(dataset.StudyInstanceUID) not in written


def test_a_conflict_is_logged_as_a_warning_without_its_uids(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = dcmread(bundled("CT_small.dcm"))
    with caplog.at_level("INFO"), running_node(tmp_path) as node:
        node.receipt = Receipt.CONFLICT
        assert send(node, dataset, "1.2.840.10008.1.2.1") == 0
    (told,) = [line for line in caplog.records if "conflict" in str(line.msg)]
    assert told.levelname == "WARNING"
    assert str(dataset.SOPInstanceUID) not in str(told.__dict__)


def test_a_port_that_is_taken_names_the_remedy(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        second = Acceptor(ReceiveOptions(port=node.port), node.parts())
        with pytest.raises(ConfigError, match=r"taken.*node\.port"):
            second.start()
