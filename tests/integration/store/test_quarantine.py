"""What a start put into quarantine is told where people look, not in the log alone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import db.refusals
from config.load import load
from config.settings import Settings
from db import instances, queries, schema
from db.engine import Database
from db.refusals import RefusalQuery
from dicom_node import app
from dicom_node.core.errors import StoreError
from dicom_node.core.refusal import SHORTER_THAN_RECEIVED
from dicom_node.part10.head import file_head
from tests.integration.db.samples import CR, enter, received
from tests.unit.receive.build import EXPLICIT, encode, minimal

KEY = "ab" * 32


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of a new node."""
    file = tmp_path / "node.toml"
    file.write_text('[node]\ndata_dir = "data"\n')
    return load(file, {}).settings


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """Return its database."""
    settings.instances_dir.mkdir(parents=True)
    schema.create_if_new(settings.database.url)
    opened = Database(settings.database.url)
    yield opened
    opened.close()


def _write(settings: Settings, content: bytes) -> Path:
    path = app.instance_store(settings).path(KEY)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_file_without_a_row_whose_bytes_changed_is_told_with_its_study(
    settings: Settings, database: Database
) -> None:
    head = file_head(
        CR, "1.2.3.1.1", transfer_syntax_uid=EXPLICIT, source_ae_title="CT1"
    )
    dataset = minimal(
        SOPClassUID=CR,
        SOPInstanceUID="1.2.3.1.1",
        StudyInstanceUID="1.2.3",
        AccessionNumber="A17",
    )
    path = _write(settings, head + encode(dataset))  # not what its key promises
    assert app.reconcile_instances(settings, database).quarantined == 1
    assert not path.exists()
    [line], _ = db.refusals.list_refusals(database, RefusalQuery(key="A17"))
    told = line.instance
    assert (told.study_instance_uid, told.sop_instance_uid) == ("1.2.3", "1.2.3.1.1")
    assert (told.calling_ae_title, told.sop_class_uid) == ("CT1", CR)
    assert told.size_bytes == len(encode(dataset))
    assert "cannot be used: the file is not what was stored" in told.reason
    assert not line.here


def test_a_file_that_holds_nothing_readable_is_told_all_the_same(
    settings: Settings, database: Database
) -> None:
    _write(settings, b"no DICOM")
    assert app.reconcile_instances(settings, database).quarantined == 1
    [line], _ = db.refusals.list_refusals(database, RefusalQuery())
    assert line.instance.sop_instance_uid == ""
    assert line.instance.size_bytes == len(b"no DICOM")


def test_an_image_that_a_power_cut_shortened_is_missing_until_it_comes_again(
    settings: Settings, database: Database
) -> None:
    item = replace(received("1.2.3"), file_key=KEY)
    enter(database, item)
    _write(settings, b"")
    assert app.reconcile_instances(settings, database).quarantined == 1
    [line], _ = db.refusals.list_refusals(database, RefusalQuery(key="1.2.3"))
    told = line.instance
    assert told.reason == SHORTER_THAN_RECEIVED
    assert told.sop_instance_uid == item.sop_instance_uid
    assert told.calling_ae_title == item.calling_ae_title
    assert not line.here
    [story] = queries.timeline(database, "1.2.3")
    assert "refused" in [event.what for event in story.events]
    later = replace(item, received_at=told.at, file_key=KEY.replace("a", "c"))
    instances.record_all(database, (later,), compare=_Lost())
    [line], _ = db.refusals.list_refusals(database, RefusalQuery(key="1.2.3"))
    assert line.here


class _Lost:
    """Compares by files of which the first is gone."""

    def same_dataset(self, kept: str, other: str) -> bool:
        raise StoreError("the file is gone")

    def same_pixels(self, kept: str, other: str) -> bool:
        return True
