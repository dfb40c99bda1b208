"""A refusal leaves before the data set has come to its end; real senders bear it."""

import socket
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pynetdicom import AE

from tests.conformance.wire.answers import read_pdu, statuses
from tests.conformance.wire.datasets import new_uid
from tests.conformance.wire.pdu import (
    ASSOCIATE_AC,
    COMMAND,
    LAST,
    P_DATA,
    RELEASE_RQ,
    Offer,
    Store,
    echo,
    message,
    pdu,
    pdv,
)
from tests.conformance.wire.requestor import settle
from tests.integration.receive.node import Node, running_node, until
from tests.orthanc import OrthancSettings, running_orthanc
from tests.peers import Address, dcmsend, storescu

OUT_OF_RESOURCES = 0xA700
SIDE = 2048


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """An acceptor whose disk never has enough free space."""
    folder = tmp_path_factory.mktemp("full")
    with running_node(folder, min_free_bytes=1 << 60) as running:
        yield running


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 8 MiB, which no buffer between two sockets takes."""
    dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
    dataset.Rows = dataset.Columns = SIDE
    dataset.PixelData = bytes(2 * SIDE * SIDE)
    path = tmp_path_factory.mktemp("large") / "large.dcm"
    dataset.save_as(path)
    return path


def ended(node: Node, before: int) -> str:
    """Return how the association that came after so many others ended."""
    until(lambda: len(node.ends) > before)
    return node.ends[before]


def test_the_answer_is_there_before_the_data_set_is(full: Node) -> None:
    with socket.create_connection(("127.0.0.1", full.port), 20) as connection:
        connection.sendall(Offer().encode())
        assert read_pdu(connection).kind == ASSOCIATE_AC
        command = Store(sop_instance_uid=new_uid()).encode()
        connection.sendall(pdu(P_DATA, pdv(3, COMMAND | LAST, command)))
        connection.sendall(pdu(P_DATA, pdv(3, 0, bytes(1000))))
        assert statuses([read_pdu(connection)]) == [OUT_OF_RESOURCES]
        connection.sendall(pdu(P_DATA, pdv(3, 0, bytes(1000))))
        connection.sendall(pdu(P_DATA, pdv(3, LAST, bytes(1000))))
        connection.sendall(message(1, echo(2)) + RELEASE_RQ)
        assert statuses([read_pdu(connection)]) == [0]
        assert read_pdu(connection).kind == 6
    assert full.files() == []


def test_storescu_hears_of_every_file_and_releases(full: Node, large: Path) -> None:
    before = len(full.ends)
    sent = storescu(Address(port=full.port), [large, large], options=["-nh"])
    assert sent.stdout.count("Refused: OutOfResources") >= 2, sent.stdout
    assert ended(full, before) == "released"


def test_dcmsend_hears_of_every_file_and_releases(full: Node, large: Path) -> None:
    before = len(full.ends)
    sent = dcmsend(Address(port=full.port), [large])
    assert "A700" in sent.stdout.upper() or "OutOfResources" in sent.stdout
    assert ended(full, before) == "released"


def test_pynetdicom_hears_of_every_instance(full: Node, large: Path) -> None:
    dataset = dcmread(large)
    entity = AE()
    entity.add_requested_context(
        dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID
    )
    association = entity.associate("127.0.0.1", full.port, ae_title="AINODE")
    answers = []
    for _ in range(2):
        settle(association)
        answers.append(association.send_c_store(dataset).Status)
    association.release()
    assert answers == [OUT_OF_RESOURCES] * 2


def test_orthanc_says_which_status_it_heard(
    full: Node, large: Path, tmp_path: Path
) -> None:
    settings = OrthancSettings(modalities=[("full", Address(port=full.port))])
    with running_orthanc(tmp_path, settings) as orthanc:
        orthanc.upload(large)
        resources = orthanc.rest("/instances")
        with pytest.raises(urllib.error.HTTPError) as failure:
            orthanc.rest(
                "/modalities/full/store",
                method="POST",
                body={"Resources": resources, "Synchronous": True},
            )
        with failure.value as answer:
            assert b"DIMSE status 0xA700" in answer.read()
