"""What an archive commits to, over an association that it opens."""

import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RJ

import db.commitments
import db.schema
from config.settings import Settings
from dicom_node import app
from dicom_node.core.errors import DatabaseError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.proof import CommitmentAnswer
from dicom_node.deliver.commitment import request_commitment
from dicom_node.deliver.peer import Peer as Archive
from dicom_node.receive.admission import Peer
from dicom_node.receive.options import ReceiveOptions
from dicom_node.receive.slots import Slots
from tests.conformance.wire.events import (
    COMMITMENT,
    INSTANCE,
    ROLE_SCP,
    TRANSACTION,
    Event,
    event_offer,
    information,
)
from tests.conformance.wire.pdu import message
from tests.integration.db.samples import (
    SENT,
    after,
    claim_delivery,
    queue_delivery,
)
from tests.integration.deliver.peers import make_report
from tests.integration.receive.node import Node, running_node, until
from tests.integration.receive.wire import RawPeer
from tests.orthanc import OrthancSettings, running_orthanc
from tests.peers import Address

RELEASE = bytes((5, 0, 0, 0, 0, 4, 0, 0, 0, 0))


def archive(
    port: int,
    *,
    calling: str = "PACS",
    called: str = "AINODE",
    handlers: Sequence[evt.EventHandlerType] = (),
) -> Association:
    """Open an association as an archive does that reports (PS3.4 J.3.3)."""
    entity = AE(ae_title=calling)
    entity.add_requested_context(COMMITMENT)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    roles = [build_role(COMMITMENT, scu_role=False, scp_role=True)]
    return entity.associate(
        "127.0.0.1",
        port,
        ae_title=called,
        ext_neg=[*roles],
        evt_handlers=list(handlers),
    )


def rejection(port: int, **titles: str) -> tuple[int | None, int | None, int | None]:
    """Return result, source and reason of the PDU that turns an archive away.

    The PDU itself: at times pynetdicom calls a rejection an abort.
    """
    heard: list[A_ASSOCIATE_RJ] = []
    handlers = [(evt.EVT_PDU_RECV, lambda event: heard.append(event.pdu))]
    archive(
        port,
        calling=titles.get("calling", "PACS"),
        called=titles.get("called", "AINODE"),
        handlers=handlers,
    )
    (pdu,) = heard
    return pdu.result, pdu.source, pdu.reason_diagnostic


def report(association: Association, transaction: str, *uids: str) -> int:
    """Report these as committed and return the status."""
    event = Dataset()
    event.TransactionUID = transaction
    event.ReferencedSOPSequence = []
    for uid in uids:
        item = Dataset()
        item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.34"
        item.ReferencedSOPInstanceUID = uid
        event.ReferencedSOPSequence.append(item)
    status, _ = association.send_n_event_report(event, 1, COMMITMENT, INSTANCE)
    return int(status.Status)


def raw_status(node: Node, dataset: bytes, *, size: int = 16378) -> int | None:
    """Return the status of an event with this data set; None if there is none."""
    peer = RawPeer.connect(node.port)
    peer.connection.sendall(event_offer(ROLE_SCP).encode())
    assert peer.read()[0] == 2
    peer.connection.sendall(message(1, Event().encode(), dataset, size=size))
    return peer.status()


def test_a_report_is_recorded_before_it_is_answered(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        seen: list[bool] = []
        entered, leave = threading.Event(), threading.Event()

        def answer(_: CommitmentAnswer) -> bool:
            entered.set()
            leave.wait(10)
            seen.append(True)
            return True

        node.answer = answer
        association = archive(node.port)
        assert association.is_established
        statuses: list[int] = []
        thread = threading.Thread(
            target=lambda: statuses.append(report(association, TRANSACTION, "1.2.3"))
        )
        thread.start()
        assert entered.wait(10)
        assert statuses == []
        leave.set()
        thread.join(20)
        association.release()

    assert (statuses, seen) == ([0x0000], [True])
    (heard,) = node.reports
    assert heard == CommitmentAnswer(
        transaction_uid=TRANSACTION, committed=frozenset({"1.2.3"}), failed={}
    )


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (DatabaseError("the database is locked"), 0x0213),
        (RuntimeError("a name of a patient"), 0x0110),
        (None, 0x0115),
    ],
)
def test_what_cannot_be_recorded_is_no_success_and_may_be_sent_again(
    tmp_path: Path,
    fault: Exception | None,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(_: CommitmentAnswer) -> bool:
        if fault is not None:
            raise fault
        return False

    with running_node(tmp_path) as node:
        node.answer = answer
        association = archive(node.port)
        assert report(association, TRANSACTION, "1.2.3") == status
        node.answer = lambda _: True
        assert report(association, TRANSACTION, "1.2.3") == 0x0000
        association.release()
    assert "patient" not in caplog.text
    assert TRANSACTION not in caplog.text


def test_only_those_may_report_that_may_call(tmp_path: Path) -> None:
    with running_node(tmp_path, peers=(Peer("PACS", "127.0.0.1"),)) as node:
        assert rejection(node.port, calling="OTHER") == (1, 1, 3)
        assert rejection(node.port, called="OTHER") == (1, 1, 7)
        association = archive(node.port)
        assert report(association, TRANSACTION, "1.2.3") == 0x0000
        association.release()


def test_a_called_title_with_few_classes_takes_reports_too(tmp_path: Path) -> None:
    few = {"AINODE": frozenset({"1.2.840.10008.5.1.4.1.1.2"})}
    with running_node(tmp_path, sop_classes=few) as node:
        association = archive(node.port)
        assert report(association, TRANSACTION, "1.2.3") == 0x0000
        association.release()


def test_a_report_longer_than_the_limit_is_refused_and_ended(tmp_path: Path) -> None:
    many = [f"1.2.826.0.1.3680043.10.{number}" for number in range(5000)]
    with running_node(tmp_path) as node:
        assert raw_status(node, information(TRANSACTION, committed=many)) == 0x0213
        until(lambda: len(node.associations) == 1)
    assert "longer than the limit" in node.associations[0].reason
    assert node.reports == []


def test_a_report_on_a_thousand_objects_is_taken(tmp_path: Path) -> None:
    many = [f"1.2.826.0.1.3680043.10.{number}" for number in range(1000)]
    with running_node(tmp_path) as node:
        assert raw_status(node, information(TRANSACTION, committed=many)) == 0
    assert node.reports[0].committed == frozenset(many)


def _nested(depth: int) -> bytes:
    """Return sequences in sequences without length, in implicit VR."""
    opened = b"\x08\0\x99\x11\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    closed = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return opened * depth + closed * depth


BOMBS = {
    "sequences in sequences": _nested(5000),
    "sequences that do not end": _nested(5000)[: 5000 * 16],
    "empty elements": b"".join(
        b"\x09\0" + n.to_bytes(2, "little") + bytes(4) for n in range(0x1001, 0x7000)
    ),
    "a length that leaves the data set": b"\x08\0\x95\x11\xff\xff\xff\x7f1.2",
    "the same element twice": b"\x08\0\x95\x11\x04\0\0\x001.2\0" * 2,
}


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_report_that_cannot_be_one_is_refused_and_the_association_goes_on(
    tmp_path: Path, bomb: str
) -> None:
    with running_node(tmp_path) as node:
        peer = RawPeer.connect(node.port)
        peer.connection.sendall(event_offer(ROLE_SCP).encode())
        assert peer.read()[0] == 2
        peer.connection.sendall(message(1, Event().encode(), BOMBS[bomb]))
        assert peer.status() in (0x0212, 0x0115)
        good = information(TRANSACTION, committed=["1.2.3"])
        peer.connection.sendall(message(1, Event().encode(), good))
        assert peer.status() == 0
        peer.connection.sendall(RELEASE)
        assert peer.read()[0] == 6
    assert len(node.reports) == 1


def test_a_report_leaves_no_file_and_no_count_of_instances(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        association = archive(node.port)
        report(association, TRANSACTION, "1.2.3")
        association.release()
        until(lambda: len(node.associations) == 1)
        assert node.files() == []
    (record,) = node.associations
    assert (record.accepted, record.reason) == (True, "released")
    assert (record.instances, record.refused_instances) == (0, 0)
    assert record.refused_contexts == ()


def test_a_delivery_that_waits_is_settled_by_the_report(tmp_path: Path) -> None:
    """The whole way: association, N-EVENT-REPORT, row, and the delivery may go on."""
    url = f"sqlite:///{tmp_path / 'node.db'}"
    settings = Settings.model_validate(
        {"node": {"data_dir": tmp_path}, "database": {"url": url}}
    )
    db.schema.create_if_new(url)
    with closing(db.schema.open_checked(url)) as database:
        queue_delivery(database)
        delivery = claim_delivery(database, at=10)
        db.commitments.request(database, delivery, TRANSACTION, now=after(11))
        acceptor = app.build_acceptor(
            settings,
            database,
            options=replace(ReceiveOptions(), port=0),
            slots=Slots(4, 4),
            metrics=app.receive_metrics(settings),
        )
        _, port = acceptor.start()
        try:
            association = archive(port)
            assert report(association, "2.25.1", SENT.sop_instance_uid) == 0x0115
            assert not db.commitments.is_answered(database, TRANSACTION)
            assert report(association, TRANSACTION, SENT.sop_instance_uid) == 0x0000
            assert db.commitments.is_answered(database, TRANSACTION)
            assert report(association, TRANSACTION, SENT.sop_instance_uid) == 0x0000
            association.release()
        finally:
            acceptor.drain(5)


def test_orthanc_reports_to_us_what_it_has_and_what_it_has_not(tmp_path: Path) -> None:
    stored = make_report(tmp_path)
    with running_node(tmp_path / "node") as node:
        modality = Address(port=node.port, ae_title="AINODE")
        settings = OrthancSettings(modalities=[("node", modality)])
        with running_orthanc(tmp_path / "orthanc", settings) as orthanc:
            orthanc.upload(stored.path)
            peer = Archive(
                host="127.0.0.1",
                port=orthanc.address.port,
                called_ae_title=orthanc.address.ae_title,
                calling_ae_title="AINODE",
            )
            missing = replace(stored.report, sop_instance_uid=SOPInstanceUID("1.2.3.4"))
            for number, one in enumerate((stored.report, missing), start=1):
                request_commitment(
                    peer,
                    one,
                    f"2.25.{number}",
                    on_answer=lambda _: False,
                    answered=lambda: False,
                )
            until(lambda: len(node.reports) == 2, seconds=30)

    heard = {item.transaction_uid: item for item in node.reports}
    uid = str(stored.report.sop_instance_uid)
    assert heard["2.25.1"].committed == frozenset({uid})
    assert heard["2.25.1"].failed == {}
    assert heard["2.25.2"].committed == frozenset()
    assert heard["2.25.2"].failed == {"1.2.3.4": 0x0112}  # no such object instance
