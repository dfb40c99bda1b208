"""What is refused is told with its study, so that nobody has to read a log."""

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from dicom_node.core.errors import OutOfResources
from dicom_node.core.refusal import TOLD_PER_ASSOCIATION, RefusedInstance
from dicom_node.core.types import ReceivedInstance
from tests.integration.receive.node import Node, dataset_bytes, running_node, until
from tests.integration.receive.test_store import bundled, send, send_raw
from tests.integration.receive.wire import STORE_RQ, RawPeer, command, message

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
RESERVE = 1 << 62


def _sample() -> Dataset:
    dataset = dcmread(bundled("CT_small.dcm"))
    dataset.AccessionNumber = "A-4711"
    return dataset


def _told(node: Node, count: int = 1) -> list[RefusedInstance]:
    until(lambda: len(node.refused) >= count)
    return node.refused


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT])
def test_a_refused_instance_is_told_with_its_study_in_both_kinds_of_elements(
    tmp_path: Path, syntax: str
) -> None:
    dataset = _sample()
    dataset.Rows = 4000
    with running_node(tmp_path) as node:
        assert send(node, dataset, syntax) == 0xC000
        (told,) = _told(node)
    assert told.reason == "Pixel Data is shorter than the header says"
    assert (told.calling_ae_title, told.called_ae_title) == ("PYNETDICOM", "AINODE")
    assert (told.peer_address, told.status) == ("127.0.0.1", 0xC000)
    assert told.sop_class_uid == dataset.SOPClassUID
    assert told.transfer_syntax_uid == syntax
    assert told.sop_instance_uid == dataset.SOPInstanceUID
    assert told.study_instance_uid == dataset.StudyInstanceUID
    assert told.accession_number == "A-4711"
    assert told.size_bytes > 32_000


def test_an_accession_number_is_read_in_its_character_set(tmp_path: Path) -> None:
    dataset = _sample()
    dataset.SpecificCharacterSet, dataset.AccessionNumber = "ISO_IR 192", "접수-1"
    dataset.Rows = 0
    with running_node(tmp_path) as node:
        assert send(node, dataset, EXPLICIT) == 0xC000
        assert _told(node)[0].accession_number == "접수-1"


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_bigendian.dcm"])
def test_a_data_set_that_is_cut_off_still_names_its_study(
    tmp_path: Path, name: str
) -> None:
    path = bundled(name)
    sent, _ = dataset_bytes(path)
    dataset = dcmread(path)
    with running_node(tmp_path) as node:
        assert send_raw(node, sent[:-1000], dataset) == 0xC000
        (told,) = _told(node)
    assert told.study_instance_uid == dataset.StudyInstanceUID


def test_what_a_full_disk_refuses_names_its_study(tmp_path: Path) -> None:
    dataset = _sample()
    with running_node(tmp_path, min_free_bytes=RESERVE) as node:
        assert send(node, dataset, EXPLICIT) == 0xA700
        (told,) = _told(node)
    assert told.status == 0xA700
    assert told.study_instance_uid == dataset.StudyInstanceUID


def test_what_the_database_refuses_is_told_with_its_own_reason(tmp_path: Path) -> None:
    def refuse(_: ReceivedInstance) -> None:
        raise OutOfResources("full")

    with running_node(tmp_path) as node:
        node.fault = refuse
        assert send(node, _sample(), EXPLICIT) == 0xA700
        assert _told(node)[0].reason == "full"
        assert len(node.refused) == 1


def test_an_identifier_that_is_none_is_not_kept(tmp_path: Path) -> None:
    sent, syntax = dataset_bytes(bundled("CT_small.dcm"))
    sop_class = str(_sample().SOPClassUID)
    with running_node(tmp_path) as node:
        peer = RawPeer.connect(node.port)
        peer.associate({1: (sop_class, syntax)})
        head = command(STORE_RQ, sop_class=sop_class, instance="Doe^Jane", dataset=True)
        peer.connection.sendall(message(1, head, sent))
        assert peer.status() == 0xC000
        (told,) = _told(node)
    assert told.sop_instance_uid == ""
    assert told.reason == "Affected SOP Instance UID is not a UID"


def test_an_association_is_told_of_so_often_and_then_counted(tmp_path: Path) -> None:
    sop_class, count = str(_sample().SOPClassUID), TOLD_PER_ASSOCIATION + 5
    with running_node(tmp_path) as node:
        peer = RawPeer.connect(node.port)
        peer.associate({1: (sop_class, EXPLICIT)})
        head = command(STORE_RQ, sop_class=sop_class, instance="1.2.3", dataset=True)
        for _ in range(count):
            peer.connection.sendall(message(1, head, b"rubbish"))
            assert peer.status() == 0xC000
        peer.close()
        until(lambda: bool(node.associations))
        assert len(_told(node, TOLD_PER_ASSOCIATION)) == TOLD_PER_ASSOCIATION
        assert node.associations[0].refused_instances == count


def test_what_is_accepted_is_not_told(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        assert send(node, _sample(), EXPLICIT) == 0
        until(lambda: bool(node.associations))
        assert node.refused == []
