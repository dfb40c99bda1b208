"""Peers that answer as a test wants, and reports to send them."""

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE

from dicom_node.core.ids import SeriesInstanceUID, SOPClassUID, SOPInstanceUID
from dicom_node.core.types import Report, ReportFile
from dicom_node.deliver.choose import SR_CLASS_UIDS

VERIFICATION = "1.2.840.10008.1.1"
COMPREHENSIVE_3D = SR_CLASS_UIDS["comprehensive3d"]
COMPREHENSIVE = SR_CLASS_UIDS["comprehensive"]
ENHANCED = SR_CLASS_UIDS["enhanced"]


@dataclass(slots=True)
class Received:
    """What a peer has got: SOP Instance UID, transfer syntax and encoded data set."""

    uids: list[str] = field(default_factory=list)
    syntaxes: list[str] = field(default_factory=list)
    encoded: list[bytes] = field(default_factory=list)
    callers: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Behaviour:
    """How a peer answers. `statuses` are used up one by one, the last one stays."""

    classes: Sequence[str] = (COMPREHENSIVE_3D, COMPREHENSIVE, ENHANCED)
    syntaxes: Sequence[str] = (str(ExplicitVRLittleEndian), "1.2.840.10008.1.2")
    statuses: Sequence[int] = (0x0000,)
    drop_before_status: bool = False
    hang_until: threading.Event | None = None
    ae_title: str = "PACS"
    check_called: bool = False
    allowed_callers: Sequence[str] = ()


@contextmanager
def running_peer(behaviour: Behaviour) -> Iterator[tuple[int, Received]]:
    """Run a pynetdicom storage SCP on a free port; give its port and what it got."""
    received = Received()

    def on_store(event: evt.Event) -> int:
        request = event.request
        assert isinstance(request, C_STORE)
        assert request.DataSet is not None
        received.uids.append(str(request.AffectedSOPInstanceUID))
        received.syntaxes.append(str(event.context.transfer_syntax))
        received.encoded.append(request.DataSet.getvalue())
        received.callers.append(str(event.assoc.requestor.ae_title))
        if behaviour.hang_until is not None:
            behaviour.hang_until.wait(30)
        if behaviour.drop_before_status:
            wrapped = event.assoc.dul.socket
            assert wrapped is not None
            assert wrapped.socket is not None
            wrapped.socket.shutdown(socket.SHUT_RDWR)
        turn = min(len(received.uids), len(behaviour.statuses)) - 1
        return behaviour.statuses[turn]

    entity = AE(ae_title=behaviour.ae_title)
    entity.require_called_aet = behaviour.check_called
    entity.require_calling_aet = list(behaviour.allowed_callers)
    entity.add_supported_context(VERIFICATION)
    for sop_class in behaviour.classes:
        entity.add_supported_context(sop_class, list(behaviour.syntaxes))
    server = entity.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, on_store)]
    )
    assert server is not None
    try:
        yield server.server_address[1], received
    finally:
        if behaviour.hang_until is not None:
            behaviour.hang_until.set()
        server.shutdown()


@contextmanager
def raw_peer(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """Run a TCP server that treats its connections one by one; give its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                talk(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def reject(result: int, source: int, diagnostic: int) -> bytes:
    """Return an A-ASSOCIATE-RJ PDU. Source: PS3.8 9.3.4."""
    return bytes([0x03, 0, 0, 0, 0, 4, 0, result, source, diagnostic])


def make_report(folder: Path, sop_class: str = COMPREHENSIVE_3D) -> ReportFile:
    """Write a small SR object and describe it."""
    dataset = Dataset()
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "김^희중"
    dataset.PatientID = "SYNTHETIC"
    dataset.Modality = "SR"
    item = Dataset()
    item.ValueType = "TEXT"
    item.TextValue = "소견 없음"
    dataset.ValueType = "CONTAINER"
    dataset.ContentSequence = [item]
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    path = folder / f"report-{sop_class.rsplit('.', 1)[-1]}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    report = Report(
        sop_class_uid=SOPClassUID(sop_class),
        sop_instance_uid=SOPInstanceUID(str(dataset.SOPInstanceUID)),
        series_instance_uid=SeriesInstanceUID(str(dataset.SeriesInstanceUID)),
        file_key=path.name,
        sha256=sha256(path.read_bytes()).hexdigest(),
    )
    return ReportFile(report=report, path=path)


def decode(encoded: bytes, *, implicit: bool) -> Dataset:
    """Read an encoded data set."""
    return read_dataset(
        BytesIO(encoded), is_implicit_VR=implicit, is_little_endian=True
    )


def data_set_bytes(path: Path) -> bytes:
    """Return the bytes after the file meta information of a Part 10 file."""
    content = path.read_bytes()
    length = int(dcmread(path, stop_before_pixels=True).file_meta[0x00020000].value)
    return content[128 + 4 + 12 + length :]
