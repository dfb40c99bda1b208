"""A stored file tells all that its row did."""

import zlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dicom_node.core.errors import CannotUnderstand, StoreError
from dicom_node.part10.digest import dataset_digest, name_digest
from dicom_node.part10.head import file_head
from dicom_node.receive.foreign import read_instance
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.stored import read_stored
from tests.unit.receive.build import DEFLATED, EXPLICIT, encode, image, scan_bytes

CT = "1.2.840.10008.5.1.4.1.1.2"
SENT = encode(image(Modality="CT", PatientAge="054Y"))
LIMITS = ScanLimits()


def store(folder: Path, sent: bytes = SENT, syntax: str = EXPLICIT) -> tuple[str, Path]:
    head = file_head(
        CT, "1.2.3.4", transfer_syntax_uid=syntax, source_ae_title="SCANNER"
    )
    key = name_digest(head, dataset_digest(sent).digest()) + "ab" * 16
    path = folder / f"{key}.dcm"
    path.write_bytes(head + sent)
    return key, path


def test_a_file_gives_back_what_was_received(tmp_path: Path) -> None:
    key, path = store(tmp_path)
    before = datetime.now(UTC)
    found = read_stored(key, path, called_ae_title="AINODE", limits=LIMITS)
    scanned = scan_bytes(SENT)
    assert found.sop_class_uid == scanned.sop_class_uid == CT
    assert found.sop_instance_uid == scanned.sop_instance_uid
    assert found.study_instance_uid == scanned.study_instance_uid
    assert found.series_instance_uid == scanned.series_instance_uid
    assert found.header == scanned.header
    assert found.transfer_syntax_uid == EXPLICIT
    assert (found.calling_ae_title, found.called_ae_title) == ("SCANNER", "AINODE")
    assert found.file_key == key
    assert found.size_bytes == len(SENT)
    assert found.dataset_digest == dataset_digest(SENT).hexdigest()
    assert abs((found.received_at - before).total_seconds()) < 60


def test_a_large_image_and_a_deflated_one_are_read_as_well(tmp_path: Path) -> None:
    large = encode(image(Rows=400, Columns=400, PixelData=bytes(320_000)))
    packer = zlib.compressobj(wbits=-15)
    deflated = packer.compress(large) + packer.flush()
    for sent, syntax in ((large, EXPLICIT), (deflated, DEFLATED)):
        key, path = store(tmp_path, sent, syntax)
        found = read_stored(key, path, called_ae_title="A", limits=LIMITS)
        assert (found.header.rows, found.size_bytes) == (400, len(sent))


@pytest.mark.parametrize("position", [3, 170, -1])
def test_a_changed_bit_is_found(tmp_path: Path, position: int) -> None:
    key, path = store(tmp_path)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with pytest.raises(CannotUnderstand):
        read_stored(key, path, called_ae_title="X", limits=LIMITS)


def test_what_the_scan_would_refuse_is_not_adopted(tmp_path: Path) -> None:
    key, path = store(tmp_path, encode(image(PixelData=bytes(46))))
    with pytest.raises(CannotUnderstand, match="shorter"):
        read_stored(key, path, called_ae_title="X", limits=LIMITS)


def test_a_file_that_cannot_be_read_is_a_store_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone"):
        with pytest.raises(StoreError):
            read_stored("0" * 64, path, called_ae_title="X", limits=LIMITS)


def test_a_users_file_is_read_as_the_receiver_would_receive_it(tmp_path: Path) -> None:
    _, path = store(tmp_path)
    found = read_instance(path, LIMITS)
    assert found.header == scan_bytes(SENT).header
    assert found.sop_instance_uid == "1.2.3.4"
    assert (found.file_key, found.size_bytes) == ("", len(SENT))


@pytest.mark.parametrize(
    "content", [b"", b"text", bytes(128) + b"DICM", bytes(128) + b"DICM" + bytes(50)]
)
def test_a_users_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(CannotUnderstand):
        read_instance(path, LIMITS)
    with pytest.raises(CannotUnderstand):
        read_instance(tmp_path / "gone", LIMITS)
