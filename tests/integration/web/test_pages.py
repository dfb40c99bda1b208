"""The pages of health and metrics, and what they do not do."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.core.errors import ConfigError, NodeError
from dicom_node.web.token import Token
from tests.integration.web.site import METRICS, Shown, Site, good, serving
from tests.peers import wait_until

TOKEN = "a-token-of-more-than-16-characters"  # noqa: S105 - the test's own


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with serving(Shown()) as running:
        yield running


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "web.token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    return file


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_health_says_that_the_process_lives(site: Site) -> None:
    answer = site.get("/healthz")
    assert (answer.status, answer.body) == (200, b"alive\n")
    assert site.get("/healthz", method="HEAD").status == 200


def test_a_node_whose_checks_are_all_good_is_ready(site: Site) -> None:
    answer = site.get("/readyz")
    assert answer.status == 200
    assert answer.json == {
        "ready": True,
        "checks": [{"what": "database", "good": True, "detail": "answers"}],
    }


def test_a_check_that_fails_is_named_with_its_remedy() -> None:
    def bad() -> str:
        raise NodeError("the disk is full: free some space")

    with serving(Shown(checks={"database": good, "disk": bad})) as site:
        answer = site.get("/readyz")
    assert answer.status == 503
    assert answer.json["ready"] is False
    assert answer.json["checks"][1] == {
        "what": "disk",
        "good": False,
        "detail": "the disk is full: free some space",
    }


def test_a_check_that_fails_unexpectedly_shows_nothing_of_its_error() -> None:
    def surprising() -> str:
        raise ValueError("Doe^Jane")

    with serving(Shown(checks={"database": surprising})) as site:
        answer = site.get("/readyz")
    assert answer.status == 503
    assert answer.json["checks"][0]["good"] is False
    assert b"Doe" not in answer.body


def test_a_check_that_hangs_is_bad_within_its_second_and_asked_once() -> None:
    released = threading.Event()
    asked: list[int] = []

    def hangs() -> str:
        asked.append(1)
        released.wait(30)
        return "answers"

    with serving(Shown(checks={"database": hangs})) as site:
        first, second = site.get("/readyz"), site.get("/readyz")
        assert site.get("/healthz").status == 200
        released.set()
        wait_until(lambda: site.get("/readyz").status == 200, what="ready again")
    assert (first.status, second.status) == (503, 503)
    assert "1 s" in first.json["checks"][0]["detail"]
    assert len(asked) <= 2


def test_metrics_are_shown_though_the_database_is_down(site: Site) -> None:
    answer = site.get("/metrics")
    assert (answer.status, answer.body) == (200, METRICS)


def test_metrics_that_cannot_be_read_are_unavailable() -> None:
    def broken(_found: object) -> bytes:
        raise OSError("Doe^Jane")

    with serving(Shown(metrics=broken)) as site:
        answer = site.get("/metrics")
        assert site.get("/healthz").status == 200
    assert answer.status == 503
    assert b"Doe" not in answer.body


def test_no_answer_names_the_server_or_may_be_kept(site: Site) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/absent"):
        headers = site.get(path).headers
        assert "server" not in headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none';")


@pytest.mark.parametrize(
    "path",
    ["/", "/healthz/", "/static/../healthz", "/..%2f..%2fetc/passwd", "/docs", "//x"],
)
def test_there_is_nothing_else(path: str, site: Site) -> None:
    answer = site.get(path, headers={"Host": "evil.example"})
    assert answer.status == 404
    assert "location" not in answer.headers
    assert b"evil" not in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "XX"])
def test_pages_can_only_be_read(method: str, site: Site) -> None:
    assert site.get("/healthz", method=method).status == 405


def test_without_the_token_only_health_is_open(token_file: Path) -> None:
    with serving(Shown(token=Token(token_file))) as site:
        assert site.get("/healthz").status == 200
        ready = site.get("/readyz")
        assert (ready.status, ready.json) == (200, {"ready": True})
        metrics = site.get("/metrics")
        assert metrics.status == 401
        assert metrics.headers["www-authenticate"].startswith("Bearer")
        assert METRICS not in metrics.body


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong-token-of-16-characters",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
    ],
)
def test_another_token_shows_nothing(header: str, token_file: Path) -> None:
    token = Token(token_file)
    assert not token.matches(header)
    assert token.matches(f"Bearer {TOKEN}")


def test_the_token_opens_metrics_and_details(token_file: Path) -> None:
    with serving(Shown(token=Token(token_file))) as site:
        assert site.get("/metrics", headers=_bearer(TOKEN)).status == 200
        assert "checks" in site.get("/readyz", headers=_bearer(TOKEN)).json


def test_a_token_can_be_exchanged_while_the_node_runs(token_file: Path) -> None:
    token = Token(token_file)
    token_file.write_text("another-token-of-16-characters")
    assert not token.matches(f"Bearer {TOKEN}")
    assert token.matches("bearer another-token-of-16-characters")
    token_file.unlink()
    assert not token.matches("bearer another-token-of-16-characters")


@pytest.mark.parametrize(
    ("content", "mode", "named"),
    [
        (TOKEN, 0o640, "chmod 600"),
        (TOKEN, 0o604, "chmod 600"),
        ("short", 0o600, "at least 16"),
        ("two words of more than sixteen", 0o600, "one word"),
        ("pässwörter-sind-nicht-ascii", 0o600, "ASCII"),
        ("", 0o600, "openssl rand"),
    ],
)
def test_a_token_file_that_cannot_be_used_is_refused(
    content: str, mode: int, named: str, tmp_path: Path
) -> None:
    file = tmp_path / "web.token"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(ConfigError) as refused:
        Token(file)
    assert named in str(refused.value)
    assert not content or content not in str(refused.value)


def test_an_absent_token_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"web\.token_file"):
        Token(tmp_path / "absent")


def _send(site: Site, content: bytes) -> bytes:
    with site.connect() as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").read()


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 4294967295\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
    ],
)
def test_a_request_body_is_refused_unread(head: bytes, site: Site) -> None:
    request = b"POST /healthz HTTP/1.1\r\nHost: x\r\n" + head + b"\r\nabc"
    answer = _send(site, request)
    assert b" 413 " in answer.splitlines()[0]
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"\x00\xff\x16\x03\x01" * 50 + b"\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ],
)
def test_broken_and_huge_requests_end_their_connection_alone(
    request_bytes: bytes, site: Site
) -> None:
    with site.connect() as connection:
        try:
            connection.sendall(request_bytes)
            first = connection.makefile("rb").readline()
        except ConnectionError:
            first = b""  # refused before it was whole
    assert first == b"" or first.split()[1] in {b"400", b"431"}
    assert site.get("/healthz").status == 200


def test_requests_that_follow_on_one_connection_are_each_answered(site: Site) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    last = request.replace(b"Host", b"Connection: close\r\nHost")
    assert _send(site, request * 3 + last).count(b"alive") == 4


def test_without_a_token_a_page_that_others_reach_shows_no_metrics() -> None:
    with serving(Shown(is_open=False)) as site:
        assert site.get("/metrics").status == 401
        assert site.get("/readyz").json == {"ready": True}
        assert site.get("/healthz").status == 200


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"])
def test_what_a_proxy_passes_on_is_not_from_this_machine(header: str) -> None:
    with serving(Shown()) as site:
        assert site.get("/metrics").status == 200
        assert site.get("/metrics", headers={header: "10.0.0.1"}).status == 401
