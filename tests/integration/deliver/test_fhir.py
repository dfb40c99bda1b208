"""FHIR servers that take transactions, refuse them, or only seem to take them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from config.destinations import DestinationTable
from dicom_node.core.errors import DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.types import Report, ReportFile, Sent
from dicom_node.core.writing import Result
from dicom_node.deliver.fhir import FHIRDestination
from dicom_node.store.files import FileStore
from dicom_node.worklist.fhir import FHIRWriter
from tests.integration.deliver.fhir_server import (
    FHIRServer,
    outcome,
    response,
    said,
)
from tests.integration.deliver.http_service import (
    Behaviour,
    answer,
    raw,
    running_service,
)
from tests.unit.worklist import results
from tests.unit.worklist.results import (
    PNEUMONIA,
    finding,
    nothing,
    prediction,
    stat,
)

NAME = "Doe^Jane"
# ImagingStudy, Device, Observation, DiagnosticReport and Task.
ENTRIES = 5
DONE = "200 OK"


def table(url: str, **more: Any) -> DestinationTable:
    return DestinationTable(
        name="ehr", kind="fhir", url=url, timeout_seconds=5.0, **more
    )


def written(folder: Path, result: Result, earlier: Report | None = None) -> ReportFile:
    """Write a transaction as the node does."""
    (folder / "reports").mkdir(exist_ok=True)
    store = FileStore(folder / "reports", min_free_bytes=0)
    made = FHIRWriter(destinations={}, reports=store).write(
        result, destination="ehr", earlier=earlier
    )
    assert made is not None
    report = replace(made[0], file_key=store.put(made[1]))
    return ReportFile(report=report, path=store.path(report.file_key))


@pytest.fixture
def message(tmp_path: Path) -> ReportFile:
    image = results.image_file(tmp_path)
    return written(
        tmp_path, results.result([image], prediction(finding()), suggestion=stat())
    )


def send(file: ReportFile, *behaviours: Behaviour, **more: Any) -> Sent:
    """Send a message to a server that does this."""
    with running_service(*behaviours) as service:
        destination = FHIRDestination(table(service.url, **more))
        return destination.send([file], chosen=None, on_chosen=lambda _: None)


def fault_of(file: ReportFile, *behaviours: Behaviour) -> DeliveryError:
    """Return how sending fails."""
    with pytest.raises(DeliveryError) as caught:
        send(file, *behaviours)
    assert NAME not in str(caught.value)
    return caught.value


def test_a_message_that_is_sent_twice_changes_nothing(
    tmp_path: Path, message: ReportFile
) -> None:
    server = FHIRServer()
    pinned: list[SOPInstanceUID] = []
    token = tmp_path / "token"
    token.write_text("geheim-geheim\n")
    token.chmod(0o600)
    with running_service(server) as service:
        destination = FHIRDestination(table(service.url, token_file=token))
        for _ in range(2):
            sent = destination.send([message], chosen=None, on_chosen=pinned.append)
    assert sent == Sent(
        status=200, sop_instance_uid=message.report.sop_instance_uid, note=""
    )
    assert pinned == [message.report.sop_instance_uid] * 2
    assert len(server.kept) == ENTRIES
    assert set(server.versions.values()) == {1}
    (asked, _) = service.asked
    assert (asked.method, asked.path) == ("POST", "/dicom-web")
    headers = {name.lower(): value for name, value in asked.headers.items()}
    assert headers["authorization"] == "Bearer geheim-geheim"
    assert headers["content-type"].startswith("application/fhir+json")


def test_a_correction_and_a_withdrawal_change_what_is_there(tmp_path: Path) -> None:
    image = results.image_file(tmp_path)
    first = written(
        tmp_path,
        results.result([image], prediction(finding(), finding(PNEUMONIA))),
    )
    second = written(
        tmp_path,
        results.result([image], prediction(finding(probability=0.1)), revision=2),
        first.report,
    )
    third = written(
        tmp_path, results.result([image], nothing(), revision=3), second.report
    )
    server = FHIRServer()
    said_of: list[tuple[str, list[str]]] = []
    with running_service(server) as service:
        destination = FHIRDestination(table(service.url))
        for file in (first, second, third):
            destination.send([file], chosen=None, on_chosen=lambda _: None)
            (report,) = server.of_kind("DiagnosticReport")
            statuses = [one["status"] for one in server.of_kind("Observation")]
            said_of.append((report["status"], statuses))
    assert said_of == [
        ("preliminary", ["preliminary", "preliminary"]),
        ("preliminary", ["preliminary", "entered-in-error"]),
        ("entered-in-error", ["entered-in-error", "entered-in-error"]),
    ]


@pytest.mark.parametrize(
    ("failed", "retryable"),
    [
        ("400 Bad Request", False),
        ("422 Unprocessable Entity", False),
        ("412 Precondition Failed", False),
        ("409 Conflict", True),
        ("503 Service Unavailable", True),
        (None, False),
        ("nonsense", False),
    ],
)
def test_one_entry_that_failed_is_no_success(
    message: ReportFile, failed: str | None, retryable: bool
) -> None:
    statuses = [DONE] * (ENTRIES - 1) + [failed]
    error = fault_of(message, said(200, response(*statuses)))
    assert "1 of 5 resources" in str(error)
    assert error.retryable is retryable


def test_an_entry_without_an_answer_is_no_success(message: ReportFile) -> None:
    error = fault_of(message, said(200, response(*[DONE] * (ENTRIES - 1))))
    assert "4 of 5" in str(error)
    assert error.retryable


@pytest.mark.parametrize(
    ("behaviour", "retryable", "words"),
    [
        (said(400, outcome("invalid", text=NAME)), False, r"HTTP 400\) \[invalid\]"),
        (said(401, outcome("login")), True, "credentials"),
        (said(403, outcome("forbidden")), True, "let this node in"),
        (said(404, outcome("not-supported")), True, "base of a FHIR R4 server"),
        (said(409, outcome("conflict")), True, "HTTP 409"),
        (said(412, outcome("multiple-matches")), False, "several resources"),
        (said(422, outcome("business-rule")), False, "breaks a rule"),
        (said(429, outcome("throttled")), True, "fewer requests"),
        (said(500, outcome("exception", text=NAME)), True, r"\[exception\]"),
        (said(503, outcome(NAME)), True, "out of service"),
        (answer(404, b"<html>", content_type="text/html"), True, "check url"),
        (answer(302, headers=["Location: http://127.0.0.1:1/"]), True, "not followed"),
        (said(200, outcome("transient")), True, "success and an error"),
        (said(200, outcome("processing")), False, "success and an error"),
        (answer(200, b"<html>log in</html>"), True, "without FHIR JSON"),
        (answer(200, b"[" * 100_000), True, "without FHIR JSON"),
        (said(201, {"resourceType": "Bundle", "type": "transaction"}), False, "kept"),
        (said(200, {"resourceType": "Bundle", "type": "batch-response"}), False, "k"),
    ],
)
def test_what_is_not_taken_says_why_and_whether_to_try_again(
    message: ReportFile, behaviour: Behaviour, retryable: bool, words: str
) -> None:
    error = fault_of(message, behaviour)
    assert error.retryable is retryable
    with pytest.raises(DeliveryError, match=words):
        raise error


@pytest.mark.parametrize(
    "behaviour",
    [
        answer(200),
        answer(204),
        said(200, outcome("informational", severity="information")),
    ],
)
def test_a_success_without_details_is_one_and_says_so(
    message: ReportFile, behaviour: Behaviour
) -> None:
    assert "without details" in send(message, behaviour).note


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\n"
LENGTH = b"Content-Length: 900\r\n\r\n"


@pytest.mark.parametrize(
    "torn",
    [HEAD[:12], HEAD[:30], HEAD, HEAD + b"\r\n", HEAD + LENGTH, HEAD + LENGTH + b"{"],
)
def test_an_answer_that_is_cut_off_is_tried_again(
    message: ReportFile, torn: bytes
) -> None:
    error = fault_of(message, raw(torn))
    assert error.retryable
    assert "broke off" in str(error)


def test_an_answer_that_ends_with_the_connection_is_read(message: ReportFile) -> None:
    def ended(*statuses: str) -> Behaviour:
        return raw(HEAD + b"\r\n" + json.dumps(response(*statuses)).encode())

    assert send(message, ended(*[DONE] * ENTRIES)).note == ""
    assert "1 of 5" in str(fault_of(message, ended(*[DONE] * 4, "422")))


def test_a_server_that_breaks_off_is_tried_again(message: ReportFile) -> None:
    assert fault_of(message, lambda _, __: None).retryable


def test_only_the_message_that_was_chosen_is_sent(message: ReportFile) -> None:
    other = SOPInstanceUID("urn:uuid:another")
    destination = FHIRDestination(table("http://127.0.0.1:9/fhir"))
    with pytest.raises(DeliveryError, match="replay") as caught:
        destination.send([message], chosen=other, on_chosen=lambda _: None)
    assert not caught.value.retryable


def test_a_message_that_was_changed_on_disk_is_not_sent(message: ReportFile) -> None:
    message.path.chmod(0o600)
    message.path.write_bytes(b"{}")
    assert "digest" in str(fault_of(message, FHIRServer()))


def test_a_server_is_checked_by_its_capability_statement() -> None:
    with running_service(FHIRServer()) as service:
        FHIRDestination(table(service.url)).check()
        assert service.asked[0].path == "/dicom-web/metadata?_format=json"


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        (answer(404), "HTTP 404"),
        (answer(200, b"<html>"), "no FHIR CapabilityStatement"),
        (said(200, {"resourceType": "Patient"}), "no FHIR CapabilityStatement"),
        (
            said(200, {"resourceType": "CapabilityStatement", "fhirVersion": "3.0.2"}),
            "does not speak FHIR R4",
        ),
        (
            said(
                200,
                {
                    "resourceType": "CapabilityStatement",
                    "fhirVersion": "4.0.1",
                    "rest": [{"interaction": [{"code": "batch"}]}],
                },
            ),
            "does not take FHIR transactions",
        ),
    ],
)
def test_a_check_says_what_a_server_lacks(behaviour: Behaviour, words: str) -> None:
    with (
        running_service(behaviour) as service,
        pytest.raises(DeliveryError, match=words),
    ):
        FHIRDestination(table(service.url)).check()
