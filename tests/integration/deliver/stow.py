"""What an archive answers to STOW-RS, and a destination that hears it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from config.destinations import DestinationTable
from dicom_node.core.errors import DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.types import ReportFile, Sent
from dicom_node.deliver.stow import StowDestination
from tests.integration.deliver.http_service import Behaviour, running_service
from tests.integration.deliver.peers import COMPREHENSIVE, make_report


def destination(url: str, **settings: object) -> StowDestination:
    table = {"name": "vna", "kind": "stow", "url": url, "timeout_seconds": 5}
    return StowDestination(DestinationTable.model_validate(table | settings))


def send(
    to: StowDestination,
    reports: Sequence[ReportFile],
    chosen: SOPInstanceUID | None = None,
) -> Sent:
    return to.send(reports, chosen=chosen, on_chosen=lambda _: None)


def said(
    *,
    stored: Sequence[str] = (),
    failed: Sequence[str] = (),
    reason: int | None = None,
) -> bytes:
    """Return a Store Instances Response Module, written by pydicom."""
    dataset = Dataset()
    dataset.RetrieveURL = "http://archive.example/studies/1.2"
    dataset.ReferencedSOPSequence = [_item(uid) for uid in stored]
    dataset.FailedSOPSequence = [_item(uid) for uid in failed]
    for item in dataset.FailedSOPSequence:
        if reason is not None:
            item.FailureReason = reason
    for item in dataset.ReferencedSOPSequence:
        if reason is not None:
            item.WarningReason = reason
    return json.dumps(dataset.to_json_dict()).encode()


def _item(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = COMPREHENSIVE
    item.ReferencedSOPInstanceUID = uid
    return item


def native(stored: str = "", failed: str = "", reason: int = 0) -> bytes:
    """Return the same in the Native DICOM Model, as PS3.19 A.1.6 shows it."""

    def sequence(tag: str, uid: str, more: str) -> str:
        item = (
            '<Item number="1"><DicomAttribute tag="00081155" vr="UI" '
            f'keyword="ReferencedSOPInstanceUID"><Value number="1">{uid}</Value>'
            f"</DicomAttribute>{more}</Item>"
        )
        items = item if uid else ""
        return f'<DicomAttribute tag="{tag}" vr="SQ">{items}</DicomAttribute>'

    why = (
        '<DicomAttribute tag="00081197" vr="US" keyword="FailureReason">'
        f'<Value number="1">{reason}</Value></DicomAttribute>'
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><NativeDicomModel '
        'xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">'
        f"{sequence('00081199', stored, '')}{sequence('00081198', failed, why)}"
        "</NativeDicomModel>"
    ).encode()


def fault_of(
    report: ReportFile, *behaviours: Behaviour, again: bool = False
) -> DeliveryError:
    """Return the error of a service that behaves like this."""
    uid = report.report.sop_instance_uid
    with running_service(*behaviours) as service:
        to = destination(service.url)
        with pytest.raises(DeliveryError) as caught:
            send(to, [report], uid if again else None)
    assert uid not in str(caught.value)
    return caught.value


def report_of_size(folder: Path, size_bytes: int) -> ReportFile:
    """Return a report that is not sent in one piece."""
    report = make_report(folder)
    dataset = dcmread(report.path)
    dataset.add_new(0x00091010, "OB", bytes(size_bytes))
    dataset.save_as(report.path)
    digest = sha256(report.path.read_bytes()).hexdigest()
    return replace(report, report=replace(report.report, sha256=digest))
