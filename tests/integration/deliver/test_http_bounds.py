"""HTTP services: every wait ends, and secrets and objects go to the right one alone."""

import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from dicom_node.core.errors import DeliveryError
from dicom_node.core.types import ReportFile
from tests.certificates import Authority, Wanted
from tests.integration.deliver.http_service import Asked, answer, raw, running_service
from tests.integration.deliver.peers import make_report
from tests.integration.deliver.stow import destination, report_of_size, send


@pytest.fixture
def report(tmp_path: Path) -> ReportFile:
    return make_report(tmp_path)


def test_a_redirect_takes_no_credentials_with_it(
    tmp_path: Path, report: ReportFile
) -> None:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("secret")
    with running_service(answer(200)) as other:
        away = answer(307, headers=[f"Location: {other.url}/studies"])
        with running_service(away) as service:
            to = destination(service.url, token_file=token)
            with pytest.raises(DeliveryError, match="not followed"):
                send(to, [report])
        assert other.asked == []


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 2"])
def test_a_service_that_goes_silent_is_given_up(
    report: ReportFile, begun: bytes
) -> None:
    done = threading.Event()

    def stall(connection: socket.socket, _: Asked) -> None:
        connection.sendall(begun)
        done.wait(30)

    with running_service(stall) as service:
        started = time.monotonic()
        to = destination(service.url, timeout_seconds=0.5)
        with pytest.raises(DeliveryError, match="no answer within") as caught:
            send(to, [report])
        seconds = time.monotonic() - started
        done.set()
    assert caught.value.retryable
    assert seconds < 5


def test_a_service_that_drips_its_answer_is_given_up(report: ReportFile) -> None:
    """Each byte comes in time; the answer does not."""
    done = threading.Event()

    def drip(connection: socket.socket, _: Asked) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n")
        while not done.wait(0.1):
            connection.sendall(b" ")

    with running_service(drip) as service:
        started = time.monotonic()
        to = destination(service.url, timeout_seconds=0.5)
        with pytest.raises(DeliveryError) as caught:
            send(to, [report])
        seconds = time.monotonic() - started
        done.set()
    assert caught.value.retryable
    assert seconds < 6


def test_a_service_that_does_not_read_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        started = time.monotonic()
        to = destination(url, timeout_seconds=0.5)
        with pytest.raises(DeliveryError, match="no answer within") as caught:
            send(to, [report_of_size(tmp_path, 16 << 20)])
    assert caught.value.retryable
    assert time.monotonic() - started < 25  # 0.5 s, and 16 MB at 1 MB/s


def _server(authority: Authority, *, ca: Path | None, hosts: str) -> ssl.SSLContext:
    pair = authority.issue("archive", Wanted(hosts=(hosts,)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if ca is not None:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_it_is_sent_over_tls_with_a_certificate_on_both_sides(
    tmp_path: Path, report: ReportFile
) -> None:
    authority = Authority(tmp_path / "ca")
    own = authority.issue("node")
    context = _server(authority, ca=authority.certificate, hosts="127.0.0.1")
    with running_service(answer(200), tls=context) as service:
        url = service.url.replace("http:", "https:")
        to = destination(
            url,
            ca=authority.certificate,
            certificate=own.certificate,
            private_key=own.key,
        )
        assert send(to, [report]).status == 200
        assert report.path.read_bytes() in service.asked[0].body

        without = destination(url, ca=authority.certificate)
        with pytest.raises(DeliveryError) as caught:
            send(without, [report])
    assert caught.value.retryable
    assert len(service.asked) == 1


def test_it_is_sent_to_nobody_whose_certificate_is_another(
    tmp_path: Path, report: ReportFile
) -> None:
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    for issuer, hosts, text in (
        (stranger, "127.0.0.1", "ca of destination 'vna'"),
        (authority, "archive.example", "not made for this host"),
    ):
        context = _server(issuer, ca=None, hosts=hosts)
        with running_service(answer(200), tls=context) as service:
            url = service.url.replace("http:", "https:")
            to = destination(url, ca=authority.certificate)
            with pytest.raises(DeliveryError, match=text) as caught:
                send(to, [report])
        assert caught.value.retryable
        assert service.asked == []


def test_https_to_a_service_without_it_is_explained(report: ReportFile) -> None:
    with running_service(raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as service:
        to = destination(service.url.replace("http:", "https:"), timeout_seconds=1)
        with pytest.raises(DeliveryError, match="TLS") as caught:
            send(to, [report])
    assert caught.value.retryable
