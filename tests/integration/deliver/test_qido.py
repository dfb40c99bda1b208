"""Whether an archive has an object, asked by QIDO-RS."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from config.destinations import DestinationTable
from dicom_node.core.errors import DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.proof import NotOffered
from dicom_node.core.types import ReportFile
from dicom_node.deliver.prover import provers_of
from dicom_node.deliver.qido import QidoProver
from tests.integration.deliver.http_service import answer, raw, running_service
from tests.integration.deliver.peers import make_report
from tests.integration.deliver.stow import destination, send
from tests.orthanc import OrthancSettings, running_orthanc


@pytest.fixture
def report(tmp_path: Path) -> ReportFile:
    return make_report(tmp_path)


def table(url: str, **settings: object) -> DestinationTable:
    values = {"name": "vna", "kind": "stow", "url": url, "read_back": "qido"}
    return DestinationTable.model_validate(values | {"timeout_seconds": 5} | settings)


def found(*uids: str) -> bytes:
    """Return the answer of an archive, PS3.18 10.6.3."""
    instances = [{"00080018": {"vr": "UI", "Value": [uid]}} for uid in uids]
    return json.dumps(instances).encode()


def test_orthanc_finds_what_it_got_and_nothing_else(
    tmp_path: Path, report: ReportFile
) -> None:
    other = replace(
        report,
        report=replace(report.report, sop_instance_uid=SOPInstanceUID("1.2.3")),
    )
    with running_orthanc(tmp_path / "vna", OrthancSettings(dicomweb=True)) as orthanc:
        prover = QidoProver(table(orthanc.dicomweb))
        assert not prover.find(report)
        send(destination(orthanc.dicomweb), [report])
        assert prover.find(report)
        assert not prover.find(other)


def test_the_query_names_study_series_and_instance(report: ReportFile) -> None:
    uid = report.report.sop_instance_uid
    with running_service(answer(200, found(uid))) as service:
        assert QidoProver(table(service.url)).find(report)
    (asked,) = service.asked
    dataset = dcmread(report.path)
    assert (asked.method, asked.path) == (
        "GET",
        f"/dicom-web/studies/{dataset.StudyInstanceUID}/series/"
        f"{dataset.SeriesInstanceUID}/instances?SOPInstanceUID={uid}",
    )
    assert asked.headers["accept"] == "application/dicom+json"


def test_it_is_found_among_others_of_an_archive_that_does_not_match(
    report: ReportFile,
) -> None:
    uid = report.report.sop_instance_uid
    with running_service(answer(200, found("1.2", uid)), answer(200, found("1.2"))) as (
        service
    ):
        prover = QidoProver(table(service.url))
        assert prover.find(report)
        assert not prover.find(report)


@pytest.mark.parametrize("status", [200, 204, 404])
def test_nothing_is_nothing(report: ReportFile, status: int) -> None:
    body = b"[]" if status == 200 else b""
    with running_service(answer(status, body)) as service:
        assert not QidoProver(table(service.url)).find(report)


@pytest.mark.parametrize("status", [400, 406, 501])
def test_an_archive_without_queries_is_not_asked_again(
    report: ReportFile, status: int
) -> None:
    with running_service(answer(status)) as service, pytest.raises(NotOffered):
        QidoProver(table(service.url)).find(report)


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503, 302])
def test_an_archive_that_cannot_answer_is_asked_again(
    report: ReportFile, status: int
) -> None:
    with running_service(answer(status)) as service:
        prover = QidoProver(table(service.url))
        with pytest.raises(DeliveryError) as caught:
            prover.find(report)
    assert caught.value.retryable
    assert not isinstance(caught.value, NotOffered)


def test_an_answer_that_cannot_be_read_is_no_proof(report: ReportFile) -> None:
    uid = str(report.report.sop_instance_uid)
    torn = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + found(uid)
    behaviours = (answer(200, b"<html>"), answer(200, b"[{"), raw(torn))
    for behaviour in behaviours:
        with running_service(behaviour) as service:
            prover = QidoProver(table(service.url))
            with pytest.raises(DeliveryError) as caught:
                prover.find(report)
        assert caught.value.retryable
        assert uid not in str(caught.value)


def test_only_those_are_asked_that_have_to_prove_it() -> None:
    url = "http://127.0.0.1:1/dicom-web"
    asked = provers_of(
        [table(url), table(url, name="other", read_back="off")], "AINODE"
    )
    assert set(asked) == {"vna"}
    assert asked["vna"].terms.read_back


def test_there_is_no_commitment_to_ask_for(report: ReportFile) -> None:
    prover = QidoProver(table("http://127.0.0.1:1"))
    with pytest.raises(NotOffered):
        prover.request(
            report, "1.2.3", on_answer=lambda _: True, answered=lambda: False
        )
