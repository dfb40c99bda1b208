"""`show --associations` tells who called, how, and what was refused and why."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import db.associations
import db.refusals
import db.schema
from db.engine import Database
from dicom_node.cli import main
from dicom_node.core.refusal import RefusedInstance
from dicom_node.core.types import AssociationRecord, RefusedContext

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
VIDEO = RefusedContext(
    sop_class_uid="1.2.840.10008.5.1.4.1.1.77.1.4.1",
    transfer_syntax_uids=("1.2.840.10008.1.2.4.102", "1.2.3.4"),
    reason="transfer syntaxes not supported",
)

REFUSED = RefusedInstance(
    at=AT,
    calling_ae_title="CT1",
    called_ae_title="AINODE",
    peer_address="10.0.0.1",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
    transfer_syntax_uid="1.2.840.10008.1.2.1",
    sop_instance_uid="1.2.3.9",
    study_instance_uid="1.2.3",
    accession_number="A1",
    status=0xC000,
    reason="Rows or Columns is missing or zero",
    size_bytes=1000,
)


def _record(number: int, **changed: Any) -> AssociationRecord:
    fields: dict[str, Any] = {
        "at": AT + timedelta(seconds=number),
        "calling_ae_title": f"CT{number}",
        "called_ae_title": "AINODE",
        "peer_address": "10.0.0.1",
        "accepted": True,
        "reason": "released",
        "instances": 120,
        "size_bytes": 60 << 20,
        "seconds": 1.5,
        **changed,
    }
    return AssociationRecord(**fields)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the configuration of a node that some have called."""
    file = tmp_path / "node.toml"
    file.write_text(f'[database]\nurl = "sqlite:///{tmp_path}/node.db"\n')
    url = f"sqlite:///{tmp_path}/node.db"
    db.schema.create_if_new(url)
    database = db.schema.open_checked(url)
    _fill(database)
    database.close()
    return file


def _fill(database: Database) -> None:
    secured = {"tls_version": "TLSv1.3", "certificate_subject": "CN=ct1,O=[Hospital]"}
    for record in (
        _record(1, **secured),
        _record(2, accepted=False, reason="calling AE title not recognized"),
        _record(3, refused_contexts=(VIDEO,)),
        _record(4, instances=0, size_bytes=0, seconds=0.0),
        _record(5, refused_instances=2),
        _record(6, accepted=False, calling_ae_title="", called_ae_title="",
                reason="the caller sent no TLS certificate, 3 times"),
    ):  # fmt: skip
        db.associations.record(database, record)


def _lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["show", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_every_association_is_told_newest_first(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = _lines(capsys, "--config", str(config), "--associations")
    assert lines == [
        "2026-03-01 12:00:06+00:00 REJECTED somebody at 10.0.0.1: the caller sent no "
        "TLS certificate, 3 times",
        "2026-03-01 12:00:05+00:00 accepted CT5 at 10.0.0.1 calling AINODE: "
        "120 instances, 2 refused, 60.0 MiB in 1.5 s (40.0 MiB/s), released",
        "2026-03-01 12:00:04+00:00 accepted CT4 at 10.0.0.1 calling AINODE: "
        "0 instances, 0 refused, 0.0 MiB in 0.0 s (0.0 MiB/s), released",
        "2026-03-01 12:00:03+00:00 accepted CT3 at 10.0.0.1 calling AINODE: "
        "120 instances, 0 refused, 60.0 MiB in 1.5 s (40.0 MiB/s), released",
        "    not accepted: Video Photographic Image Storage in MPEG-4 AVC/H.264 High "
        "Profile / Level 4.1, 1.2.3.4 (transfer syntaxes not supported)",
        "2026-03-01 12:00:02+00:00 REJECTED CT2 at 10.0.0.1 calling AINODE: "
        "calling AE title not recognized",
        "2026-03-01 12:00:01+00:00 accepted CT1 at 10.0.0.1 calling AINODE over "
        "TLSv1.3 CN=ct1,O=[Hospital]: 120 instances, 0 refused, 60.0 MiB in 1.5 s "
        "(40.0 MiB/s), released",
    ]


def test_contexts_that_were_refused_alike_are_one_line(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = [f"1.2.3.{number}" for number in range(6)]
    offered = [
        replace(VIDEO, sop_class_uid=uid, transfer_syntax_uids=("1.2.4",))
        for uid in classes
    ]
    record = _record(7, accepted=False, refused_contexts=(*offered, VIDEO))
    database = db.schema.open_checked(f"sqlite:///{config.parent}/node.db")
    db.associations.record(database, record)
    database.close()
    lines = _lines(capsys, "--config", str(config), "--associations", "--limit", "1")
    assert lines[1:] == [
        "    not accepted: 1.2.3.0, 1.2.3.1, 1.2.3.2, 1.2.3.3 and 2 more (--json names "
        "all) in 1.2.4 (transfer syntaxes not supported)",
        "    not accepted: Video Photographic Image Storage in MPEG-4 AVC/H.264 High "
        "Profile / Level 4.1, 1.2.3.4 (transfer syntaxes not supported)",
    ]


def test_refusals_alone_can_be_asked_for(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = _lines(capsys, "--config", str(config), "--refused", "--limit", "3")
    assert [line.split()[1][:8] for line in lines if line.startswith("2026")] == [
        "12:00:06",
        "12:00:05",
        "12:00:03",
    ]


def test_as_json_names_stand_beside_the_uids(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "--config", str(config), "--associations", "--json"]) == 0
    found = {item["calling_ae_title"]: item for item in json.loads(_out(capsys))}
    assert found["CT1"]["tls_version"] == "TLSv1.3"
    assert found["CT1"]["certificate_subject"] == "CN=ct1,O=[Hospital]"
    assert found["CT1"]["mib_per_second"] == 40
    (context,) = found["CT3"]["refused_contexts"]
    assert context["sop_class_uid"] == VIDEO.sop_class_uid
    assert context["sop_class_name"] == "Video Photographic Image Storage"
    assert context["transfer_syntax_names"][1] == "1.2.3.4"


def _out(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_a_refused_image_is_told_with_its_reason_and_its_study(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = db.schema.open_checked(f"sqlite:///{config.parent}/node.db")
    other = replace(REFUSED, accession_number="A2", study_instance_uid="1.2.4")
    db.refusals.record(database, [REFUSED, other])
    database.close()
    lines = _lines(capsys, "--config", str(config), "--refused", "A1")
    assert lines == [
        "2026-03-01 12:00:00+00:00 refused from CT1 at 10.0.0.1: CT Image Storage "
        "1.2.3.9, study 1.2.3, accession number A1: Rows or Columns is missing or zero "
        "(0xC000). What to do: correct the image where it was made, its header "
        "contradicts its pixels; other images of the study are not affected"
    ]
    assert main(["show", "--config", str(config), "--refused", "--json"]) == 0
    told = json.loads(_out(capsys))
    assert [one["study_instance_uid"] for one in told["instances"]] == [
        "1.2.4",
        "1.2.3",
    ]
    assert told["instances"][0]["status"] == "0xC000"
    assert told["instances"][0]["transfer_syntax_name"] == "Explicit VR Little Endian"
    assert len(told["associations"]) == 4


def test_who_asks_for_a_study_that_was_refused_is_told_so(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    database = db.schema.open_checked(f"sqlite:///{config.parent}/node.db")
    db.refusals.record(database, [REFUSED])
    database.close()
    assert main(["show", "--config", str(config), "1.2.3"]) == 1
    assert "1 of its images was refused" in capsys.readouterr().err
    assert main(["show", "--config", str(config), "1.2.5"]) == 1
    assert "show --refused" in capsys.readouterr().err


def test_a_limit_of_nothing_is_refused(config: Path) -> None:
    assert main(["show", "--config", str(config), "--associations", "--limit=0"]) == 2
