"""A stored file tells all that its row did."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from dicom_node.core.clock import SystemClock
from dicom_node.core.errors import CannotUnderstand, StoreError
from dicom_node.core.ids import InstanceId, StudyId
from dicom_node.core.states import Receipt
from dicom_node.core.types import ReceivedInstance, Recorded
from dicom_node.receive.handlers import StoreHandler, StoreRequest
from dicom_node.receive.part10 import IMPLEMENTATION_CLASS_UID
from dicom_node.receive.scan import ScanLimits
from dicom_node.receive.stored import read_stored
from dicom_node.store.files import FileStore
from tests.unit.receive.build import EXPLICIT, encode, image

CT = "1.2.840.10008.5.1.4.1.1.2"
REQUEST = StoreRequest(
    calling_ae_title="SCANNER",
    called_ae_title="AINODE",
    peer_address="127.0.0.1",
    abstract_syntax=CT,
    transfer_syntax_uid=EXPLICIT,
    affected_sop_class_uid=CT,
    affected_sop_instance_uid="1.2.3.4",
    dataset=encode(image(Modality="CT", PatientAge="054Y")),
)


def receive(
    store: FileStore, request: StoreRequest = REQUEST, *, kept_as: str = ""
) -> tuple[int, list[ReceivedInstance]]:
    seen: list[ReceivedInstance] = []

    def record(received: ReceivedInstance) -> Recorded:
        seen.append(received)
        return Recorded(
            receipt=Receipt.NEW,
            study_id=StudyId(1),
            instance_id=InstanceId(1),
            revision=1,
            file_key=kept_as or received.file_key,
        )

    handler = StoreHandler(store, record, limits=ScanLimits(), clock=SystemClock())
    return handler.handle(request), seen


def test_the_file_gives_back_what_was_received(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    status, (received,) = receive(store)
    assert status == 0
    path = store.path(received.file_key)
    again = read_stored(
        received.file_key, path, called_ae_title="AINODE", limits=ScanLimits()
    )
    assert again == replace(received, peer_address="", received_at=again.received_at)


def test_pydicom_reads_our_file_meta(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    _, (received,) = receive(store)
    dataset = dcmread(store.path(received.file_key))
    meta = dataset.file_meta
    assert meta.MediaStorageSOPClassUID == dataset.SOPClassUID
    assert meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert meta.TransferSyntaxUID == EXPLICIT
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.SourceApplicationEntityTitle == "SCANNER"
    assert dataset.preamble == bytes(128)
    assert len(IMPLEMENTATION_CLASS_UID) <= 64


def test_a_changed_bit_is_found(tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    _, (received,) = receive(store)
    path = store.path(received.file_key)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CannotUnderstand, match="stored under its key"):
        read_stored(received.file_key, path, called_ae_title="X", limits=ScanLimits())


def test_a_file_that_cannot_be_read_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        read_stored("0" * 64, tmp_path, called_ae_title="X", limits=ScanLimits())


def test_bytes_that_are_kept_under_another_key_are_not_kept_twice(
    tmp_path: Path,
) -> None:
    store = FileStore(tmp_path)
    _, (first,) = receive(store)
    status, _ = receive(
        store, replace(REQUEST, calling_ae_title="OTHER"), kept_as=first.file_key
    )
    assert status == 0
    assert [path.stem for path in tmp_path.rglob("*.dcm")] == [first.file_key]


def test_a_full_disk_is_told_before_the_data_set_comes(tmp_path: Path) -> None:
    handler = StoreHandler(
        FileStore(tmp_path, min_free_bytes=1 << 62),
        lambda _: pytest.fail("recorded"),
        limits=ScanLimits(),
        clock=SystemClock(),
    )
    refusal = handler.refusal(CT, CT)
    assert refusal is not None
    assert refusal.status == 0xA700
    assert handler.handle(replace(REQUEST, dataset=b"", refusal=refusal)) == 0xA700
