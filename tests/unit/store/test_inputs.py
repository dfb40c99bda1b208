"""There is no result of files that changed at rest, however many there are."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dicom_node.core.errors import StoreError
from dicom_node.core.ids import (
    InstanceId,
    SeriesInstanceUID,
    SOPClassUID,
    SOPInstanceUID,
    TransferSyntaxUID,
)
from dicom_node.core.types import Instance, RoutingHeader
from dicom_node.store.files import FileStore
from dicom_node.store.inputs import intact_inputs, open_inputs


def keep(store: FileStore, number: int) -> Instance:
    return Instance(
        instance_id=InstanceId(number),
        sop_class_uid=SOPClassUID("1.2"),
        sop_instance_uid=SOPInstanceUID(f"1.2.{number}"),
        series_instance_uid=SeriesInstanceUID("1.3"),
        transfer_syntax_uid=TransferSyntaxUID("1.2.840.10008.1.2"),
        calling_ae_title="SENDER",
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        revision=1,
        file_key=store.put(b"%d" % number * 1000),
        size_bytes=1000,
        dataset_digest="",
        own_result=False,
        header=RoutingHeader(),
    )


@pytest.mark.parametrize("count", [1, 31, 33, 200])
def test_every_file_is_found_in_the_order_of_the_study(
    tmp_path: Path, count: int
) -> None:
    store = FileStore(tmp_path)
    study = [keep(store, number) for number in range(count)]
    found = open_inputs(store, study)
    assert [file.sop_instance_uid for file in found] == [
        f"1.2.{number}" for number in range(count)
    ]


@pytest.mark.parametrize("bad", [{0}, {199}, {3, 64, 65, 130}])
def test_files_that_changed_or_are_gone_are_counted(
    tmp_path: Path, bad: set[int]
) -> None:
    store = FileStore(tmp_path)
    study = [keep(store, number) for number in range(200)]
    for number in bad:
        path = store.path(study[number].file_key)
        if number % 2:
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(StoreError, match=f"^{len(bad)} of 200 stored files"):
        open_inputs(store, study)
    assert len(intact_inputs(store, study)) == 200 - len(bad)
