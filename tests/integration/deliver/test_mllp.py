"""HL7 over MLLP to a receiver that answers, and to receivers that do not."""

import socket
import ssl
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from config.destinations import DestinationTable
from db.summary import describe_status
from dicom_node.core.errors import DeliveryError
from dicom_node.core.ids import SeriesInstanceUID, SOPClassUID, SOPInstanceUID
from dicom_node.core.states import Proof, ReportKind
from dicom_node.core.types import Report, ReportFile
from dicom_node.deliver.mllp import HL7Destination
from tests.certificates import Authority
from tests.integration.deliver.mllp import (
    CR,
    FS,
    VT,
    Behaviour,
    Receiver,
    acknowledge,
    answering,
    framed,
    receiving,
)

CONTROL_ID = SOPInstanceUID("ABCDEFGHIJKLMNOPQRST")
MESSAGE = (
    "MSH|^~\\&|AINODE|RAD|RIS|HOSP|20261122173224+0000||ORU^R01^ORU_R01"
    f"|{CONTROL_ID}|P|2.5.1||||||UNICODE UTF-8\r"
    "PID|1||1CT1^^^HOSP^MR||홍^길동||19800102|F\r"
    "OBR|1||ACC-1|25045-6^CT unspecified body region^LN\r"
    "OBX|1|HD|113014^DICOM Study^DCM||1.2.3||||||P\r"
).encode()


def _file(folder: Path, content: bytes = MESSAGE) -> ReportFile:
    path = folder / "message"
    path.write_bytes(content)
    report = Report(
        sop_class_uid=SOPClassUID(""),
        sop_instance_uid=CONTROL_ID,
        series_instance_uid=SeriesInstanceUID(""),
        file_key="message",
        sha256=sha256(content).hexdigest(),
        kind=ReportKind.HL7,
        destination="ris",
    )
    return ReportFile(report=report, path=path)


def _destination(port: int, **settings: Any) -> HL7Destination:
    given = {"ack_seconds": 10.0, "timeout_seconds": 10.0, **settings}
    table = DestinationTable(
        name="ris", kind="hl7", host="127.0.0.1", port=port, **given
    )
    return HL7Destination(table)


def _refusal(
    destination: HL7Destination, file: ReportFile, within: float = 5.0
) -> DeliveryError:
    """Send a message that is not taken; return why, within so many seconds."""
    began = time.monotonic()
    with pytest.raises(DeliveryError) as refused:
        destination.send([file], chosen=None, on_chosen=lambda uid: None)
    assert time.monotonic() - began < within
    return refused.value


@pytest.mark.parametrize("code", ["AA", "CA"])
def test_a_message_is_done_when_it_is_accepted(tmp_path: Path, code: str) -> None:
    chosen: list[str] = []
    with receiving(answering(code)) as receiver:
        destination = _destination(receiver.port)
        sent = destination.send([_file(tmp_path)], chosen=None, on_chosen=chosen.append)
        assert receiver.messages == [MESSAGE]
    assert sent.sop_instance_uid == CONTROL_ID
    assert sent.proof is Proof.SENT
    assert describe_status(sent.status, ReportKind.HL7) == code
    assert chosen == [CONTROL_ID]


@pytest.mark.parametrize(
    ("code", "retryable"), [("AE", True), ("CE", True), ("AR", False), ("CR", False)]
)
def test_an_error_is_tried_again_and_a_rejection_is_parked(
    tmp_path: Path, code: str, retryable: bool
) -> None:
    with receiving(answering(code)) as receiver:
        error = _refusal(_destination(receiver.port), _file(tmp_path))
    assert error.retryable is retryable
    assert describe_status(error.status, ReportKind.HL7) == code
    assert code in str(error)


@pytest.mark.parametrize(
    "segment",
    [
        "MSA|AR|{id}|Doe unknown\rERR||PID^1^3|204^Unknown key identifier^HL70357|E",
        "MSA|AR|{id}|Doe unknown\rERR|PID^1^3^204&Unknown key identifier&HL70357",
        "MSA|AR|{id}|Doe unknown|||204^Unknown key identifier^HL70357",
    ],
)
def test_a_refusal_names_the_error_and_never_quotes_the_receiver(
    tmp_path: Path, segment: str
) -> None:
    def answer(connection: socket.socket, message: bytes) -> None:
        text = segment.format(id=CONTROL_ID)
        connection.sendall(framed(f"MSH|^~\\&|RIS\r{text}\r".encode()))

    with receiving(answer) as receiver:
        error = _refusal(_destination(receiver.port), _file(tmp_path))
    assert "204 unknown key identifier" in str(error)
    assert "Doe" not in str(error)


def _wait_until_closed(connection: socket.socket) -> None:
    while connection.recv(4096):
        pass


def _silence(connection: socket.socket, message: bytes) -> None:
    _wait_until_closed(connection)


def _garbage(connection: socket.socket, message: bytes) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + framed(b"no message"))
    _wait_until_closed(connection)


def _another(connection: socket.socket, message: bytes) -> None:
    connection.sendall(framed(acknowledge(message, control_id="SOMEBODY-ELSE")))
    _wait_until_closed(connection)


def _half(connection: socket.socket, message: bytes) -> None:
    connection.sendall(VT + acknowledge(message))  # no FS: it is not whole
    _wait_until_closed(connection)


def _without_code(connection: socket.socket, message: bytes) -> None:
    connection.sendall(framed(acknowledge(message, code="ZZ")))
    _wait_until_closed(connection)


def _endless(connection: socket.socket, message: bytes) -> None:
    while True:
        connection.sendall(b"x" * 65536)


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (_silence, "did not acknowledge the message within 0.3 s"),
        (_garbage, "answered for another message, or with no HL7 acknowledgement,"),
        (_another, "answered for another message, or with no HL7 acknowledgement,"),
        (_half, "did not finish an acknowledgement in an MLLP frame"),
        (_without_code, "answered for another message, or with no HL7 acknowledgement"),
        (_endless, "did not finish an acknowledgement in an MLLP frame"),
    ],
)
def test_what_is_no_acknowledgement_ends_in_time_and_is_tried_again(
    tmp_path: Path, behave: Behaviour, said: str
) -> None:
    with receiving(behave) as receiver:
        destination = _destination(receiver.port, ack_seconds=0.3)
        error = _refusal(destination, _file(tmp_path))
    assert error.retryable
    assert said in str(error)


def test_an_answer_that_drips_is_not_waited_for_any_longer(tmp_path: Path) -> None:
    def drip(connection: socket.socket, message: bytes) -> None:
        answer = framed(acknowledge(message) * 1000)
        for place in range(len(answer)):
            connection.sendall(answer[place : place + 1])
            receiver.closing.wait(0.02)

    with receiving(drip) as receiver:
        destination = _destination(receiver.port, ack_seconds=0.3)
        assert _refusal(destination, _file(tmp_path), within=3.0).retryable


def _close(connection: socket.socket, message: bytes) -> None:
    pass


def _close_in_the_middle(connection: socket.socket, message: bytes) -> None:
    connection.sendall(VT + acknowledge(message)[:20])


@pytest.mark.parametrize("behave", [_close, _close_in_the_middle])
def test_a_connection_that_ends_too_early_is_tried_again(
    tmp_path: Path, behave: Behaviour
) -> None:
    with receiving(behave) as receiver:
        error = _refusal(_destination(receiver.port), _file(tmp_path))
    assert error.retryable
    assert "broke the connection off" in str(error)


def test_a_late_answer_for_another_message_does_not_hide_ours(tmp_path: Path) -> None:
    def both(connection: socket.socket, message: bytes) -> None:
        connection.sendall(framed(acknowledge(message, "AR", control_id="EARLIER")))
        connection.sendall(b"\r\n" + VT + acknowledge(message) + FS)

    with receiving(both) as receiver:
        destination = _destination(receiver.port)
        file = _file(tmp_path)
        sent = destination.send([file], chosen=None, on_chosen=lambda uid: None)
    assert sent.sop_instance_uid == CONTROL_ID


def test_a_receiver_that_does_not_read_ends_in_time(tmp_path: Path) -> None:
    notes = b"NTE|1|L|" + b"x" * (8 << 20) + CR
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        destination = _destination(port, ack_seconds=0.3)
        error = _refusal(destination, _file(tmp_path, MESSAGE + notes))
    assert error.retryable


def test_a_message_that_is_tried_again_has_the_same_id(tmp_path: Path) -> None:
    answers = iter([_silence, answering("AA")])

    def first_silent(connection: socket.socket, message: bytes) -> None:
        next(answers)(connection, message)

    with receiving(first_silent) as receiver:
        file = _file(tmp_path)
        impatient = _destination(receiver.port, ack_seconds=0.3)
        assert _refusal(impatient, file).retryable
        patient = _destination(receiver.port)
        patient.send([file], chosen=CONTROL_ID, on_chosen=lambda uid: None)
        assert receiver.messages == [MESSAGE, MESSAGE]


def test_nobody_there_is_tried_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    error = _refusal(_destination(port), _file(tmp_path))
    assert error.retryable
    with pytest.raises(DeliveryError):
        _destination(port).check()


@pytest.mark.parametrize(
    ("was", "lacks"),
    [(b"|ACC-1|", "Accession Number"), (b"|1CT1^^^HOSP^MR|", "Patient ID")],
)
def test_a_message_without_the_numbers_of_the_order_is_never_sent(
    tmp_path: Path, was: bytes, lacks: str
) -> None:
    with receiving(answering("AA")) as receiver:
        file = _file(tmp_path, MESSAGE.replace(was, b"||"))
        error = _refusal(_destination(receiver.port), file)
        assert receiver.messages == []
    assert not error.retryable
    assert "unmatched" in str(error)
    assert lacks in str(error)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no message",
        MESSAGE.replace(b"ABCDEF", b"UVWXYZ"),
        MESSAGE + b"NTE|1|L|\x1c\rMSH|\r",
    ],
)
def test_a_file_that_is_not_the_message_is_never_sent(
    tmp_path: Path, content: bytes
) -> None:
    with receiving(answering("AA")) as receiver:
        error = _refusal(_destination(receiver.port), _file(tmp_path, content))
        assert receiver.messages == []
    assert not error.retryable


def test_a_message_that_was_not_written_for_the_delivery_is_not_sent(
    tmp_path: Path,
) -> None:
    file = _file(tmp_path)
    other = replace(file.report, sop_instance_uid=SOPInstanceUID("OTHER"))
    with pytest.raises(DeliveryError) as refused:
        _destination(1).send(
            [ReportFile(report=other, path=file.path)],
            chosen=CONTROL_ID,
            on_chosen=lambda uid: None,
        )
    assert not refused.value.retryable


def _secured(authority: Authority, *, asks: bool = False) -> ssl.SSLContext:
    pair = authority.issue("receiver")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if asks:
        context.load_verify_locations(authority.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _send(receiver: Receiver, folder: Path, **settings: Any) -> None:
    destination = _destination(receiver.port, tls=True, **settings)
    destination.send([_file(folder)], chosen=None, on_chosen=lambda uid: None)


def test_a_message_goes_over_tls_with_certificates_on_both_sides(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path / "ca")
    own = authority.issue("node")
    with receiving(answering("AA"), _secured(authority, asks=True)) as receiver:
        _send(
            receiver,
            tmp_path,
            ca=authority.certificate,
            certificate=own.certificate,
            private_key=own.key,
        )
        assert receiver.messages == [MESSAGE]


def test_a_receiver_with_a_certificate_of_a_stranger_gets_nothing(
    tmp_path: Path,
) -> None:
    stranger = Authority(tmp_path / "stranger")
    trusted = Authority(tmp_path / "ca")
    with receiving(answering("AA"), _secured(stranger)) as receiver:
        with pytest.raises(DeliveryError) as refused:
            _send(receiver, tmp_path, ca=trusted.certificate)
        assert receiver.messages == []
    assert refused.value.retryable
    assert "ca of destination 'ris'" in str(refused.value)


def test_a_receiver_that_does_not_answer_the_handshake_ends_in_time(
    tmp_path: Path,
) -> None:
    authority = Authority(tmp_path / "ca")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        destination = _destination(
            silent.getsockname()[1],
            tls=True,
            ca=authority.certificate,
            timeout_seconds=0.3,
        )
        error = _refusal(destination, _file(tmp_path))
    assert error.retryable
    assert "TLS handshake" in str(error)


def test_check_asks_whether_somebody_listens() -> None:
    with receiving(answering("AA")) as receiver:
        _destination(receiver.port).check()
        assert receiver.messages == []
