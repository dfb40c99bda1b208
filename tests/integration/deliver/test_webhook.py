"""Webhooks: signed as documented, and repeated until they are acknowledged."""

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config.destinations import DestinationTable
from dicom_node.core.clock import Clock
from dicom_node.core.errors import ConfigError, DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.types import ReportFile
from dicom_node.deliver.webhook import WebhookDestination, sign
from dicom_node.store.files import FileStore
from dicom_node.worklist.webhook import WebhookWriter
from tests.integration.deliver.http_service import (
    Asked,
    Behaviour,
    answer,
    raw,
    running_service,
)
from tests.unit.worklist import results
from tests.unit.worklist.results import finding, prediction, stat

KEY = "0123456789abcdef"
DOCUMENT = Path(__file__).parents[3] / "docs" / "webhook.md"
Verify = Callable[[bytes, str, bytes], bool]


@dataclass(frozen=True, slots=True)
class Stopped:
    """A clock that stands."""

    at: datetime

    def now(self) -> datetime:
        """Return always the same."""
        return self.at


@pytest.fixture
def verify() -> Verify:
    """Return what the manual tells receivers to do."""
    (block,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    names: dict[str, Any] = {}
    exec(block, names)  # noqa: S102 - our own manual
    found: Verify = names["verify"]
    return found


@pytest.fixture
def message(tmp_path: Path) -> ReportFile:
    (tmp_path / "reports").mkdir()
    store = FileStore(tmp_path / "reports", min_free_bytes=0)
    made = WebhookWriter(destinations={}, reports=store).write(
        results.result([], prediction(finding()), suggestion=stat()),
        destination="hook",
        earlier=None,
    )
    assert made is not None
    report = replace(made[0], file_key=store.put(made[1]))
    return ReportFile(report=report, path=store.path(report.file_key))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "hook.secret"
    path.write_text(f"{KEY}\n")
    path.chmod(0o600)
    return path


def hook(url: str, key_file: Path, clock: Clock | None = None) -> WebhookDestination:
    table = DestinationTable(
        name="hook", kind="webhook", url=url, secret_file=key_file, timeout_seconds=5.0
    )
    return WebhookDestination(table, clock=clock)


def signature_of(asked: Asked) -> str:
    headers = {name.lower(): value for name, value in asked.headers.items()}
    return headers["x-signature"]


def send(file: ReportFile, key_file: Path, *behaviours: Behaviour) -> list[Asked]:
    """Send an event, and return what came."""
    with running_service(*behaviours) as service:
        hook(service.url, key_file).send([file], chosen=None, on_chosen=lambda _: None)
        return service.asked


def test_an_event_verifies_as_the_manual_says(
    message: ReportFile, key_file: Path, verify: Verify
) -> None:
    (asked,) = send(message, key_file, answer(204))
    assert asked.body == message.path.read_bytes()
    shown = signature_of(asked)
    assert verify(KEY.encode(), shown, asked.body)
    assert not verify(KEY.encode(), shown, asked.body + b" ")
    assert not verify(b"another-key-0000", shown, asked.body)
    assert not verify(KEY.encode(), re.sub("t=[0-9]", "t=9", shown), asked.body)
    assert not verify(KEY.encode(), "", asked.body)
    headers = {name.lower(): value for name, value in asked.headers.items()}
    assert headers["idempotency-key"] == json.loads(asked.body)["id"]
    assert headers["idempotency-key"] == message.report.sop_instance_uid


def test_an_old_event_does_not_verify(
    message: ReportFile, key_file: Path, verify: Verify
) -> None:
    with running_service(answer(200)) as service:
        old = Stopped(datetime(2020, 1, 1, tzinfo=UTC))
        hook(service.url, key_file, old).send(
            [message], chosen=None, on_chosen=lambda _: None
        )
        (asked,) = service.asked
    assert signature_of(asked).startswith("t=1577836800,")
    assert not verify(KEY.encode(), signature_of(asked), asked.body)


def test_a_signature_is_the_one_that_openssl_makes() -> None:
    made = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", "Jefe", "-r"],
        input=b"17.what do ya want",
        capture_output=True,
        check=True,
    )
    expected = made.stdout.decode().split()[0]
    assert sign(b"Jefe", 17, body=b"what do ya want") == f"t=17,v1={expected}"


def test_a_repeat_has_the_same_key_and_the_same_body(
    message: ReportFile, key_file: Path
) -> None:
    with running_service(answer(503), answer(200)) as service:
        destination = hook(service.url, key_file)
        with pytest.raises(DeliveryError) as caught:
            destination.send([message], chosen=None, on_chosen=lambda _: None)
        assert caught.value.retryable
        sent = destination.send([message], chosen=None, on_chosen=lambda _: None)
        first, second = service.asked
    assert sent.status == 200
    assert first.body == second.body
    keys = {
        value
        for asked in (first, second)
        for name, value in asked.headers.items()
        if name.lower() == "idempotency-key"
    }
    assert keys == {message.report.sop_instance_uid}


@pytest.mark.parametrize(
    ("status", "retryable"),
    [(400, False), (401, True), (404, True), (409, True), (422, False), (429, True)],
)
def test_what_is_refused_is_tried_again_where_that_may_help(
    message: ReportFile, key_file: Path, status: int, retryable: bool
) -> None:
    with pytest.raises(DeliveryError, match=f"HTTP {status}") as caught:
        send(message, key_file, answer(status, b"Doe^Jane"))
    assert caught.value.retryable is retryable
    assert "Doe" not in str(caught.value)


@pytest.mark.parametrize(
    "torn",
    [b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Le"],
)
def test_a_success_that_is_cut_off_in_its_headers_is_tried_again(
    message: ReportFile, key_file: Path, torn: bytes
) -> None:
    with pytest.raises(DeliveryError, match="broke off") as caught:
        send(message, key_file, raw(torn))
    assert caught.value.retryable


def test_a_success_whose_body_is_cut_off_is_one(
    message: ReportFile, key_file: Path
) -> None:
    head = b"HTTP/1.1 200 OK\r\n"
    for body in (b"\r\n", b"Content-Length: 9\r\n\r\nno"):
        assert len(send(message, key_file, raw(head + body))) == 1


def test_a_redirect_does_not_take_the_event_elsewhere(
    message: ReportFile, key_file: Path
) -> None:
    with running_service(answer(200)) as elsewhere:
        moved = answer(307, headers=[f"Location: {elsewhere.url}"])
        with pytest.raises(DeliveryError, match="not followed"):
            send(message, key_file, moved)
        assert elsewhere.asked == []


def test_a_check_connects_and_posts_nothing(key_file: Path) -> None:
    with running_service(answer(200)) as service:
        hook(service.url, key_file).check()
        assert service.asked == []
    with pytest.raises(DeliveryError, match="nothing listens there"):
        hook(service.url, key_file).check()


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (f"{KEY}\n", 0o644, "chmod 600"),
        ("short", 0o600, "at least 16"),
        ("", 0o600, "empty"),
        (None, 0o600, "secret_file"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named_and_tried_again(
    message: ReportFile, tmp_path: Path, content: str | None, mode: int, words: str
) -> None:
    path = tmp_path / "bad.secret"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises(DeliveryError, match=words) as caught:
        send(message, path, answer(200))
    assert caught.value.retryable
    assert KEY not in str(caught.value)


def test_only_the_event_that_was_chosen_is_sent(
    message: ReportFile, key_file: Path
) -> None:
    destination = hook("http://127.0.0.1:9/", key_file)
    with pytest.raises(DeliveryError, match="replay"):
        destination.send(
            [message], chosen=SOPInstanceUID("another"), on_chosen=lambda _: None
        )


def test_a_webhook_without_a_secret_is_a_fault_of_the_configuration() -> None:
    table = DestinationTable(name="ehr", kind="fhir", url="http://127.0.0.1:9/")
    with pytest.raises(ConfigError, match="needs secret_file"):
        WebhookDestination(table)
