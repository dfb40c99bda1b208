"""HTTP services: every answer is explained, every secret is one, every wait ends."""

import socket
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dicom_node.core.errors import DeliveryError
from dicom_node.core.types import ReportFile
from dicom_node.deliver.http import HttpAnswer
from tests.integration.deliver.http_service import answer, raw, running_service
from tests.integration.deliver.peers import make_report
from tests.integration.deliver.stow import (
    destination,
    fault_of,
    report_of_size,
    said,
    send,
)
from tests.peers import free_port


@pytest.fixture
def report(tmp_path: Path) -> ReportFile:
    return make_report(tmp_path)


def test_a_token_is_read_for_each_request_from_a_file_of_this_user_alone(
    tmp_path: Path, report: ReportFile
) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("eyJ0.abc-1~+/=\n")
    with running_service(answer(200)) as service:
        to = destination(service.url, token_file=token)
        send(to, [report])
        token.write_text("next")
        send(to, [report])
        for content, mode in (("two words", 0o600), ("", 0o600), ("open", 0o644)):
            token.write_text(content)
            token.chmod(mode)
            with pytest.raises(DeliveryError, match="token_file") as caught:
                send(to, [report])
            assert caught.value.retryable
        token.unlink()
        with pytest.raises(DeliveryError, match="token_file"):
            send(to, [report])

    told = [asked.headers["authorization"] for asked in service.asked]
    assert told == ["Bearer eyJ0.abc-1~+/=", "Bearer next"]


# Whether to try again, by HTTP status without a word (RFC 9110 15).
STATUSES = {
    301: True,
    307: True,
    400: False,
    401: True,
    403: True,
    404: True,
    406: False,
    409: False,
    413: False,
    415: False,
    422: False,
    429: True,
    500: True,
    501: False,
    502: True,
    503: True,
    504: True,
    507: True,
    599: True,
}


@pytest.mark.parametrize("status", STATUSES)
def test_a_status_says_whether_to_try_again(report: ReportFile, status: int) -> None:
    error = fault_of(
        report, answer(status, b"no", headers=["Location: http://127.0.0.1:1/"])
    )
    assert error.retryable is STATUSES[status]
    assert f"HTTP {status}" in str(error)
    assert error.status == status


BODIES = {
    "nothing": b"",
    "text": b"stored!",
    "JSON cut off": b'{"00081199": {"vr": "SQ", "Value": [{',
    "JSON of another kind": b'["a", 1, null, {"x": 1}]',
    "values of other kinds": b'{"00081199": 7, "00081198": {"Value": 3}}',
    "JSON nested without end": b"[" * 100_000,
    "XML cut off": b"<NativeDicomModel><DicomAttribute",
    "XML that grows": b'<!DOCTYPE a [<!ENTITY b "cccc">]><a>&b;&b;</a>',
    "no text at all": bytes(range(256)),
}
# Nothing in them speaks against the status: the others may be pages of a log-in.
TAKEN = ("nothing", "values of other kinds")


@pytest.mark.parametrize("body", BODIES)
def test_an_answer_that_cannot_be_read_has_its_status(
    report: ReportFile, body: str
) -> None:
    with running_service(
        answer(200, BODIES[body]), answer(503, BODIES[body])
    ) as service:
        if body in TAKEN:
            assert send(destination(service.url), [report]).status == 200
        else:
            with pytest.raises(DeliveryError) as foreign:
                send(destination(service.url), [report])
            assert (foreign.value.retryable, foreign.value.status) == (True, 200)
        with pytest.raises(DeliveryError) as caught:
            send(destination(service.url), [report])
    assert (caught.value.retryable, caught.value.status) == (True, 503)


def test_more_than_anybody_reads_says_nothing(report: ReportFile) -> None:
    uid = report.report.sop_instance_uid
    error = fault_of(report, answer(200, said(stored=[uid]) + b" " * (3 << 20)))
    assert error.retryable


def test_an_answer_that_ends_with_the_connection_has_to_name_the_object(
    report: ReportFile,
) -> None:
    """Nobody can tell it from one that was cut off within its headers."""
    uid = report.report.sop_instance_uid
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n"
    for torn in (head, head + b"\r\n", head[:30]):
        assert fault_of(report, raw(torn)).retryable
    with running_service(raw(head + b"\r\n" + said(stored=[uid]))) as service:
        assert send(destination(service.url), [report]).status == 200


def test_an_answer_before_the_request_was_read_is_heard(tmp_path: Path) -> None:
    report = report_of_size(tmp_path, 64 << 20)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(
                    b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"
                )

        thread = threading.Thread(target=refuse)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(DeliveryError) as caught:
            send(destination(url), [report])
        thread.join(10)
    # 413 where the kernel still gives it to us, a lost connection otherwise.
    assert caught.value.status in (413, None)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "closed the connection before it answered"),
        (b"HTTP/1.1 2", "does not speak HTTP there"),
        (b"220 mail.example ESMTP\r\n", "does not speak HTTP there"),
        (b"\x16\x03\x01\x00\x02\x01\x00", "does not speak HTTP there"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", "does not speak HTTP"),
    ],
)
def test_what_is_no_answer_is_explained_and_tried_again(
    report: ReportFile, content: bytes, text: str
) -> None:
    error = fault_of(report, raw(content))
    assert text in str(error)
    assert error.retryable
    assert error.status is None


def test_a_service_that_is_not_there_is_explained(report: ReportFile) -> None:
    for url in (f"http://127.0.0.1:{free_port()}", "http://nowhere.invalid"):
        with pytest.raises(DeliveryError, match="url of destination 'vna'") as caught:
            send(destination(url), [report])
        assert caught.value.retryable


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("999999999999", 3600.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("Sat, 01 Jan 2000 00:01:40 GMT", 100.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_seconds_and_as_a_date(
    value: str, seconds: float | None
) -> None:
    """The forms of RFC 9110 10.2.3."""
    now = datetime(2000, 1, 1, tzinfo=UTC)
    heard = HttpAnswer(status=429, headers={"retry-after": value})
    assert heard.retry_after_seconds(now) == seconds
