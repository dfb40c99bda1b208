"""The page's certificate is renewed without a restart."""

import socket
import ssl
import threading
from pathlib import Path

from config.web import WebTable
from dicom_node.core.tls import TLSFiles
from dicom_node.web.https import Https
from tests.certificates import Authority, Pair


class Seconds:
    """A stop watch that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _https(pair: Pair, seconds: Seconds) -> Https:
    files = TLSFiles(certificate=pair.certificate, private_key=pair.key, where="web")
    return Https(files, monotonic=seconds)


def _shown(https: Https) -> bytes:
    """Return the certificate that a browser is shown."""
    ours, theirs = socket.socketpair()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE

    def serve() -> None:
        https.context.wrap_socket(ours, server_side=True).close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(theirs) as connection:
            return connection.getpeercert(binary_form=True) or b""
    finally:
        thread.join(10)


def test_a_renewed_certificate_is_shown_to_whoever_connects_next(
    tmp_path: Path,
) -> None:
    authority, seconds = Authority(tmp_path), Seconds()
    https = _https(authority.issue("page"), seconds)
    first = _shown(https)
    authority.issue("page")
    https.look()  # too soon to look
    assert _shown(https) == first
    seconds.now += 10
    https.look()
    assert _shown(https) != first


def test_files_that_do_not_fit_leave_the_last_good_certificate(
    tmp_path: Path,
) -> None:
    authority, seconds = Authority(tmp_path), Seconds()
    pair = authority.issue("page")
    https = _https(pair, seconds)
    first = _shown(https)
    other = authority.issue("other")
    pair.certificate.write_bytes(other.certificate.read_bytes())
    seconds.now += 10
    https.look()
    assert _shown(https) == first
    pair.certificate.unlink()
    seconds.now += 10
    https.look()
    assert _shown(https) == first
    authority.issue("page")
    seconds.now += 10
    https.look()
    assert _shown(https) != first


def test_without_a_certificate_the_port_speaks_http() -> None:
    assert Https.of(WebTable()) is None
