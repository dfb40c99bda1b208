"""Reports into a folder."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from config.destinations import DestinationTable
from dicom_node.core.errors import DeliveryError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.states import ReportKind
from dicom_node.deliver.folder import FolderDestination
from tests.integration.deliver.peers import COMPREHENSIVE, make_report


def _destination(folder: Path, **settings: object) -> FolderDestination:
    table = {"name": "share", "kind": "folder", "folder": folder, **settings}
    return FolderDestination(DestinationTable.model_validate(table))


def test_the_best_report_is_written_under_its_uid_and_nothing_else(
    tmp_path: Path,
) -> None:
    other, best = make_report(tmp_path, COMPREHENSIVE), make_report(tmp_path)
    pinned: list[SOPInstanceUID] = []
    destination = _destination(tmp_path / "out")

    for _ in range(2):  # a retry writes the same file again
        sent = destination.send([other, best], chosen=None, on_chosen=pinned.append)

    uid = best.report.sop_instance_uid
    assert (sent.status, sent.sop_instance_uid) == (None, uid)
    assert pinned == [uid, uid]
    (file,) = (tmp_path / "out").iterdir()
    assert file.name == f"{uid}.dcm"
    assert file.read_bytes() == best.path.read_bytes()


def test_the_report_chosen_before_is_written(tmp_path: Path) -> None:
    best, other = make_report(tmp_path), make_report(tmp_path, COMPREHENSIVE)
    chosen = other.report.sop_instance_uid

    sent = _destination(tmp_path / "out").send(
        [best, other], chosen=chosen, on_chosen=lambda _: None
    )

    assert sent.sop_instance_uid == chosen


def test_a_folder_that_cannot_be_made_is_tried_again_and_named(tmp_path: Path) -> None:
    destination = _destination(tmp_path / "missing" / "out")

    with pytest.raises(DeliveryError, match="destination 'share'") as caught:
        destination.send([make_report(tmp_path)], chosen=None, on_chosen=lambda _: None)
    assert caught.value.retryable
    with pytest.raises(DeliveryError):
        destination.check()


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    report = make_report(tmp_path)
    out = tmp_path / "out"
    # A folder in the way of the final name makes the rename fail, for root too.
    (out / f"{report.report.sop_instance_uid}.dcm").mkdir(parents=True)

    with pytest.raises(DeliveryError):
        _destination(out).send([report], chosen=None, on_chosen=lambda _: None)

    assert [path.is_dir() for path in out.iterdir()] == [True]


def test_the_check_leaves_nothing_behind(tmp_path: Path) -> None:
    _destination(tmp_path / "out").check()

    assert os.listdir(tmp_path / "out") == []


def test_a_class_that_the_destination_does_not_want_is_not_written(
    tmp_path: Path,
) -> None:
    destination = _destination(tmp_path / "out", sr_classes=["enhanced"])

    with pytest.raises(DeliveryError) as caught:
        destination.send([make_report(tmp_path)], chosen=None, on_chosen=lambda _: None)
    assert not caught.value.retryable


@pytest.mark.parametrize("kind", [ReportKind.SC, ReportKind.KOS])
def test_every_kind_of_object_becomes_a_file(tmp_path: Path, kind: ReportKind) -> None:
    made = make_report(tmp_path, "1.2.840.10008.5.1.4.1.1.7")
    object_ = replace(made, report=replace(made.report, kind=kind))
    destination = _destination(tmp_path / "out", objects=[str(kind)])
    assert (destination.kinds, destination.sop_class_uids) == ((kind,), ())

    destination.send([object_], chosen=None, on_chosen=lambda _: None)

    (file,) = (tmp_path / "out").iterdir()
    assert file.name == f"{made.report.sop_instance_uid}.dcm"
    assert file.read_bytes() == made.path.read_bytes()
