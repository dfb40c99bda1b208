"""Reports to a PACS that behaves, and to PACS that do not."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pynetdicom import build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at run time

from config.destinations import DestinationTable
from dicom_node.core.errors import DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.types import ReportFile, Sent
from dicom_node.deliver.association import associate
from dicom_node.deliver.peer import Peer
from dicom_node.deliver.store_scu import DicomDestination
from tests.integration.deliver.peers import (
    COMPREHENSIVE,
    COMPREHENSIVE_3D,
    ENHANCED,
    Behaviour,
    data_set_bytes,
    decode,
    make_report,
    raw_peer,
    reject,
    running_peer,
)
from tests.orthanc import Orthanc
from tests.peers import StoreScp, free_port

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


def _destination(port: int, **settings: object) -> DicomDestination:
    table = DestinationTable.model_validate(
        {
            "name": "pacs",
            "ae_title": "PACS",
            "host": "127.0.0.1",
            "port": port,
            "timeout_seconds": 10,
            **settings,
        }
    )
    return DicomDestination(table, "AINODE")


def _send(
    destination: DicomDestination,
    *reports: ReportFile,
    chosen: SOPInstanceUID | None = None,
) -> tuple[Sent, list[SOPInstanceUID]]:
    pinned: list[SOPInstanceUID] = []
    return destination.send(reports, chosen=chosen, on_chosen=pinned.append), pinned


def _fail(destination: DicomDestination, *reports: ReportFile) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        _send(destination, *reports)
    return caught.value


@pytest.fixture
def report(tmp_path: Path) -> ReportFile:
    return make_report(tmp_path)


def test_a_report_arrives_in_the_bytes_on_disk(report: ReportFile) -> None:
    with running_peer(Behaviour()) as (port, received):
        sent, pinned = _send(_destination(port), report)

    uid = report.report.sop_instance_uid
    assert sent == Sent(status=0x0000, sop_instance_uid=uid)
    assert pinned == [uid]
    assert received.uids == [uid]
    assert received.encoded == [data_set_bytes(report.path)]
    assert received.callers == ["AINODE"]


def test_the_best_class_that_the_pacs_accepts_is_sent(tmp_path: Path) -> None:
    reports = [make_report(tmp_path, c) for c in (ENHANCED, COMPREHENSIVE)]
    best = make_report(tmp_path, COMPREHENSIVE_3D)

    with running_peer(Behaviour(classes=[COMPREHENSIVE, ENHANCED])) as (port, _):
        sent, _ = _send(_destination(port), best, *reports)

    assert sent.sop_instance_uid == reports[1].report.sop_instance_uid


def test_the_report_chosen_before_is_sent_again(tmp_path: Path) -> None:
    best, chosen = make_report(tmp_path), make_report(tmp_path, COMPREHENSIVE)

    with running_peer(Behaviour()) as (port, received):
        _send(_destination(port), best, chosen, chosen=chosen.report.sop_instance_uid)

    assert received.uids == [chosen.report.sop_instance_uid]


def test_a_peer_of_implicit_vr_only_gets_the_same_object_in_it(
    report: ReportFile,
) -> None:
    with running_peer(Behaviour(syntaxes=[IMPLICIT])) as (port, received):
        sent, _ = _send(_destination(port), report)

    dataset = decode(received.encoded[0], implicit=True)
    assert received.syntaxes == [IMPLICIT]
    assert dataset.SOPInstanceUID == sent.sop_instance_uid == received.uids[0]
    assert str(dataset.PatientName) == "김^희중"
    assert dataset.ContentSequence[0].TextValue == "소견 없음"


def test_a_warning_counts_as_stored_and_is_kept(report: ReportFile) -> None:
    with running_peer(Behaviour(statuses=[0xB000])) as (port, _):
        sent, _ = _send(_destination(port), report)

    assert sent.status == 0xB000


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(0xA700, True), (0xA900, False), (0xC000, False), (0x0122, False)],
)
def test_a_failure_says_its_status_and_whether_to_try_again(
    report: ReportFile, status: int, retryable: bool
) -> None:
    with running_peer(Behaviour(statuses=[status])) as (port, _):
        error = _fail(_destination(port), report)

    assert (error.status, error.retryable) == (status, retryable)
    assert f"0x{status:04X}" in str(error)
    assert report.report.sop_instance_uid not in str(error)


def test_a_peer_that_drops_before_the_status_is_tried_again_with_the_same_uid(
    report: ReportFile,
) -> None:
    with running_peer(Behaviour(drop_before_status=True)) as (port, received):
        started = time.monotonic()
        error = _fail(_destination(port), report)
        assert time.monotonic() - started < 5

    assert error.retryable
    assert error.status is None
    with running_peer(Behaviour()) as (port, again):
        _send(_destination(port), report)
    assert received.uids == again.uids


def test_a_peer_that_never_answers_is_left_after_the_timeout(
    report: ReportFile,
) -> None:
    with running_peer(Behaviour(hang_until=threading.Event())) as (port, _):
        started = time.monotonic()
        error = _fail(_destination(port, timeout_seconds=0.5), report)
        waited = time.monotonic() - started

    assert error.retryable
    assert "timeout_seconds of destination 'pacs'" in str(error)
    assert waited < 5


@pytest.mark.parametrize(
    "beginning", [b"", b"\x02\x00\x00\x00\xff", b"\x02\x00\x00\x01"]
)
def test_a_peer_that_falls_silent_in_the_association_answer_is_left(
    report: ReportFile, beginning: bytes
) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(beginning)
        while connection.recv(65536):
            pass

    with raw_peer(talk) as port:
        started = time.monotonic()
        error = _fail(_destination(port, timeout_seconds=0.3), report)

    assert error.retryable
    assert time.monotonic() - started < 8


def test_a_closed_port_is_tried_again(report: ReportFile) -> None:
    port = free_port()

    error = _fail(_destination(port), report)

    assert error.retryable
    assert f"127.0.0.1:{port}" in str(error)
    assert "nothing listens there" in str(error)


def test_a_host_without_address_is_tried_again(report: ReportFile) -> None:
    error = _fail(_destination(104, host="pacs.invalid"), report)

    assert error.retryable
    assert "host and port of destination 'pacs'" in str(error)


def test_a_wrong_called_ae_title_is_named_and_tried_again(report: ReportFile) -> None:
    with running_peer(Behaviour(ae_title="OTHER", check_called=True)) as (port, _):
        error = _fail(_destination(port), report)

    assert error.retryable
    assert "called AE title is not recognised" in str(error)
    assert "ae_title of destination 'pacs'" in str(error)


def test_an_unknown_calling_ae_title_is_named_and_tried_again(
    report: ReportFile,
) -> None:
    with running_peer(Behaviour(allowed_callers=["CT1"])) as (port, _):
        error = _fail(_destination(port), report)

    assert error.retryable
    assert "'AINODE'" in str(error)


@pytest.mark.parametrize(
    ("answer", "retryable"),
    [
        (reject(2, 3, 2), True),  # transient, local limit exceeded
        (reject(2, 3, 1), True),  # transient, congestion
        (reject(1, 1, 2), False),  # permanent, application context not supported
        (reject(1, 2, 2), False),  # permanent, protocol version not supported
        (bytes([0x07, 0, 0, 0, 0, 4, 0, 0, 2, 0]), True),  # A-ABORT
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", True),
        (b"", True),
    ],
)
def test_every_way_to_refuse_an_association_is_an_error_of_one_sentence(
    report: ReportFile, answer: bytes, retryable: bool
) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)
        if answer:  # after a rejection the requestor closes (PS3.8 9.2.3)
            with contextlib.suppress(OSError):
                connection.recv(65536)

    with raw_peer(talk) as port:
        error = _fail(_destination(port), report)

    assert error.retryable is retryable
    assert str(error).startswith("destination 'pacs' (PACS at 127.0.0.1:")
    assert "\n" not in str(error)


def test_a_rejection_is_told_as_one_however_fast_it_came(report: ReportFile) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(reject(1, 1, 2))
        with contextlib.suppress(OSError):
            connection.recv(65536)

    with raw_peer(talk) as port, _busy_threads(3):
        told = {str(_fail(_destination(port), report)) for _ in range(60)}

    (reason,) = told
    assert "refuses the association" in reason
    assert "application context" in reason


@pytest.mark.timeout(30)
def test_an_association_whose_thread_has_ended_is_left_at_once() -> None:
    with running_peer(Behaviour()) as (port, _):
        peer = Peer(
            name="pacs", host="127.0.0.1", port=port,
            called_ae_title="PACS", calling_ae_title="AINODE", timeout_seconds=10,
        )  # fmt: skip
        with associate(peer, [build_context(Verification)]) as link:
            assert link.echo() == 0
            link.association._kill = True  # as when the peer aborts just now
            link.association.join(10)
            assert link.association.is_established


@contextlib.contextmanager
def _busy_threads(count: int) -> Iterator[None]:
    """Take turns at the interpreter's lock, as the threads of a busy node do."""
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            sum(range(1000))

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_no_accepted_sr_class_is_a_failure_that_says_what_to_change(
    report: ReportFile,
) -> None:
    with running_peer(Behaviour(classes=["1.2.840.10008.5.1.4.1.1.2"])) as (port, _):
        error = _fail(_destination(port), report)
        with pytest.raises(DeliveryError, match="accepts none of the SR classes"):
            _destination(port).check()

    assert not error.retryable
    assert "sr_classes of destination 'pacs'" in str(error)


def test_nothing_is_chosen_before_a_class_is_accepted(report: ReportFile) -> None:
    pinned: list[SOPInstanceUID] = []

    with (
        running_peer(Behaviour(classes=[])) as (port, _),
        pytest.raises(DeliveryError),
    ):
        _destination(port).send([report], chosen=None, on_chosen=pinned.append)

    assert pinned == []


def test_a_report_changed_on_disk_is_never_sent(report: ReportFile) -> None:
    report.path.write_bytes(report.path.read_bytes()[:-1] + b"x")

    with running_peer(Behaviour()) as (port, received):
        error = _fail(_destination(port), report)

    assert not error.retryable
    assert received.uids == []


def test_the_probe_says_what_is_accepted_and_what_goes_out() -> None:
    with running_peer(Behaviour(classes=[ENHANCED])) as (port, _):
        probe = _destination(port).probe()

    taken = [offer.what for offer in probe.offers if offer.syntaxes]
    assert taken == ["Enhanced SR Storage"]
    assert [offer.what for offer in probe.offers if offer.used] == taken
    assert probe.seconds > 0
    (fault,) = probe.faults
    assert "Secondary Capture Image Storage" in fault
    assert "take 'sc' out of objects of destination" in fault


def test_dcmtk_stores_the_report(storescp: StoreScp, report: ReportFile) -> None:
    destination = _destination(storescp.address.port)

    sent, _ = _send(destination, report)

    assert sent.status == 0x0000
    (file,) = storescp.files()
    assert data_set_bytes(file) == data_set_bytes(report.path)


def test_orthanc_stores_one_report_however_often_it_is_sent(
    orthanc: Orthanc, report: ReportFile
) -> None:
    destination = _destination(orthanc.address.port)

    destination.check()
    for _ in range(2):
        _send(destination, report)

    (stored,) = orthanc.reports()
    dataset = dcmread(BytesIO(orthanc.file(stored)))
    assert dataset.SOPInstanceUID == report.report.sop_instance_uid
