"""Objects by STOW-RS: what the archive says counts, and nothing waits for ever."""

import re
from dataclasses import replace
from email import message_from_bytes
from email.policy import HTTP
from pathlib import Path

import pytest

from dicom_node.core.errors import DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.states import ReportKind
from dicom_node.core.types import ReportFile
from tests.integration.deliver.http_service import (
    answer,
    raw,
    running_service,
)
from tests.integration.deliver.peers import COMPREHENSIVE, make_report
from tests.integration.deliver.stow import (
    destination,
    fault_of,
    native,
    said,
    send,
)
from tests.orthanc import OrthancSettings, running_orthanc


@pytest.fixture
def report(tmp_path: Path) -> ReportFile:
    return make_report(tmp_path)


def test_orthanc_takes_the_best_report_in_the_bytes_on_disk(tmp_path: Path) -> None:
    other, best = make_report(tmp_path, COMPREHENSIVE), make_report(tmp_path)
    pinned: list[SOPInstanceUID] = []
    with running_orthanc(tmp_path / "vna", OrthancSettings(dicomweb=True)) as orthanc:
        to = destination(orthanc.dicomweb, read_back="qido")
        to.check()
        for _ in range(2):  # a retry is harmless
            sent = to.send([other, best], chosen=None, on_chosen=pinned.append)
        (found,) = orthanc.reports()
        there = orthanc.file(found)

    uid = best.report.sop_instance_uid
    assert (sent.status, sent.sop_instance_uid, sent.note) == (200, uid, "")
    assert pinned == [uid, uid]
    assert there == best.path.read_bytes()


def test_orthanc_lets_in_whom_it_knows(tmp_path: Path, report: ReportFile) -> None:
    passcode = tmp_path / "passcode"
    passcode.touch(mode=0o600)
    settings = OrthancSettings(dicomweb=True, users={"node": "geheim:ß"})
    with running_orthanc(tmp_path / "vna", settings) as orthanc:
        to = destination(orthanc.dicomweb, username="node", passcode_file=passcode)
        passcode.write_text("wrong\n")
        with pytest.raises(DeliveryError, match="HTTP 401") as caught:
            send(to, [report])
        assert caught.value.retryable  # it can be mended
        assert "wrong" not in str(caught.value)
        passcode.write_text("geheim:ß\n")
        assert send(to, [report]).status == 200
        assert len(orthanc.reports()) == 1


def test_the_message_is_one_part_of_a_related_multipart(report: ReportFile) -> None:
    uid = report.report.sop_instance_uid
    with running_service(answer(200, said(stored=[uid]))) as service:
        send(destination(service.url), [report])
        send(destination(service.url), [report])

    first, second = service.asked
    assert (first.method, first.path) == ("POST", "/dicom-web/studies")
    assert first.headers["accept"] == "application/dicom+json"
    assert first.body == second.body
    kind = first.headers["content-type"]
    whole = message_from_bytes(
        f"Content-Type: {kind}\r\n\r\n".encode() + first.body, policy=HTTP
    )
    assert whole.get_content_type() == "multipart/related"
    assert whole["content-type"].params["type"] == "application/dicom"
    assert re.fullmatch(r"[0-9A-Za-z-]{1,70}", whole["content-type"].params["boundary"])
    assert "authorization" not in first.headers
    boundary = b"--" + str(whole.get_boundary()).encode()
    head, _, rest = first.body.partition(b"\r\n\r\n")
    assert head == boundary + b"\r\nContent-Type: application/dicom"
    assert rest == report.path.read_bytes() + b"\r\n" + boundary + b"--\r\n"


@pytest.mark.parametrize("status", [200, 201])
def test_a_success_without_a_word_is_a_success_if_it_is_whole(
    report: ReportFile, status: int
) -> None:
    with running_service(answer(status, b"{}")) as service:
        if status == 200:  # PS3.18 10.5.3.1: all instances are stored
            assert send(destination(service.url), [report]).status == 200
        else:
            with pytest.raises(DeliveryError) as caught:
                send(destination(service.url), [report])
            assert caught.value.retryable


def test_a_warning_is_a_success_with_a_note(report: ReportFile) -> None:
    uid = report.report.sop_instance_uid
    with running_service(answer(202, said(stored=[uid], reason=0xB000))) as service:
        sent = send(destination(service.url), [report])
    assert (sent.status, sent.note) == (202, "stored with a warning (reason 0xB000)")


@pytest.mark.parametrize("of", [said, native])
def test_what_the_answer_names_counts_in_json_and_in_xml(
    report: ReportFile, of: object
) -> None:
    uid = report.report.sop_instance_uid
    stored = native(stored=uid) if of is native else said(stored=[uid])
    failed = (
        native(failed=uid, reason=0x0110)
        if of is native
        else said(failed=[uid], reason=0x0110)
    )
    kind = "application/dicom+xml" if of is native else "application/dicom+json"
    with running_service(
        answer(202, stored, content_type=kind), answer(202, failed, content_type=kind)
    ) as service:
        to = destination(service.url)
        assert send(to, [report]).status == 202
        with pytest.raises(DeliveryError, match="0x0110"):
            send(to, [report])


# Failure Reason and whether the same object may be taken later (PS3.18 I.2).
REASONS = {
    0x0110: True,
    0xA700: True,
    0x0122: False,
    0xA900: False,
    0xC000: False,
    0xC122: False,
    0x0111: False,
    0xB000: False,
    0x1234: False,
}


@pytest.mark.parametrize("status", [200, 202, 409])
@pytest.mark.parametrize("reason", REASONS)
def test_an_object_that_is_named_as_failed_is_not_delivered_whatever_the_status(
    report: ReportFile, reason: int, status: int
) -> None:
    uid = report.report.sop_instance_uid
    error = fault_of(report, answer(status, said(failed=[uid], reason=reason)))
    assert error.retryable is REASONS[reason]
    assert f"0x{reason:04X}" in str(error)
    assert error.status == status


def test_a_failure_without_a_reason_is_not_tried_again(report: ReportFile) -> None:
    uid = report.report.sop_instance_uid
    error = fault_of(report, answer(409, said(failed=[uid])))
    assert not error.retryable


@pytest.mark.parametrize("reason", [0x0111, 0xB00E])
def test_a_duplicate_is_a_success_only_if_an_attempt_came_before(
    report: ReportFile, reason: int
) -> None:
    """The answer to the first attempt was lost; the object was not."""
    uid = report.report.sop_instance_uid
    duplicate = answer(409, said(failed=[uid], reason=reason))
    assert not fault_of(report, duplicate).retryable
    with running_service(duplicate) as service:
        sent = send(destination(service.url), [report], chosen=uid)
    assert sent.note == "it was there already"


@pytest.mark.parametrize("status", [200, 202])
def test_a_success_that_names_other_objects_is_none(
    report: ReportFile, status: int
) -> None:
    error = fault_of(report, answer(status, said(stored=["1.2.3"])))
    assert error.retryable
    assert "does not say that it stored the object" in str(error)


@pytest.mark.parametrize(
    "page",
    [
        b"<!DOCTYPE html><html><body>Sign in</body></html>",
        b"<html><body>Sign in</body></html>",
        b'{"error": "sign in"}',
        b"Sign in",
    ],
)
def test_a_page_of_something_else_is_no_success(
    report: ReportFile, page: bytes
) -> None:
    error = fault_of(report, answer(200, page))
    assert error.retryable
    assert "url of destination 'vna'" in str(error)
    with (
        running_service(answer(200, page)) as service,
        pytest.raises(DeliveryError, match="url of destination 'vna'"),
    ):
        destination(service.url).check()


def test_a_body_that_is_cut_off_says_nothing(report: ReportFile) -> None:
    uid = report.report.sop_instance_uid
    body = said(failed=[uid], reason=0x0122)
    torn = raw(
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 99999\r\n"
        b"Content-Type: application/dicom+json\r\n\r\n" + body
    )
    assert fault_of(report, torn).retryable


def test_the_check_sends_no_object(report: ReportFile) -> None:
    with running_service(answer(400)) as service:
        destination(service.url).check()
    (asked,) = service.asked
    assert b"application/dicom\r\n" not in asked.body
    for status in (401, 403, 404, 405, 500, 503):
        with running_service(answer(status)) as service, pytest.raises(DeliveryError):
            destination(service.url).check()


def test_the_check_asks_for_queries_where_they_are_wanted() -> None:
    with running_service(answer(400), answer(501)) as service:
        to = destination(service.url, read_back="qido")
        with pytest.raises(DeliveryError, match="read_back"):
            to.check()
    assert [asked.method for asked in service.asked] == ["POST", "GET"]


def test_every_other_object_is_sent_as_it_is(tmp_path: Path) -> None:
    made = make_report(tmp_path, "1.2.840.10008.5.1.4.1.1.7")
    picture = ReportFile(
        report=replace(made.report, kind=ReportKind.SC), path=made.path
    )
    with running_service(answer(200)) as service:
        to = destination(service.url, objects=["sc"])
        assert (to.kinds, to.sop_class_uids) == ((ReportKind.SC,), ())
        send(to, [picture])
    assert made.path.read_bytes() in service.asked[0].body
