"""Files go, rows stay, and a crash in between leaves nothing in doubt."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

import db.retention
import db.studies
from config.load import load
from config.settings import Settings
from db import queries, schema
from db.engine import Database
from db.retention import Prunable
from db.tables import work_events
from dicom_node import app
from dicom_node.cli import main
from dicom_node.core.clock import SystemClock
from dicom_node.core.errors import StoreError
from dicom_node.core.ids import StudyId
from dicom_node.pruning import build_pruner
from dicom_node.store.inputs import open_inputs
from dicom_node.store.prune import PruneRules
from tests.integration.db.samples import enter, received, route_study

RULES = PruneRules(states=frozenset(Prunable), older_than=timedelta(days=1))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return the settings of a new node."""
    file = tmp_path / "node.toml"
    file.write_text('[node]\ndata_dir = "data"\n')
    found = load(file, {}).settings
    found.instances_dir.mkdir(parents=True)
    return found


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    """Return its database."""
    schema.create_if_new(settings.database.url)
    opened = Database(settings.database.url)
    yield opened
    opened.close()


def _ignored(settings: Settings, database: Database, number: int = 1) -> Path:
    """Record a study of one file that no route takes; return the file."""
    key = f"{number:064x}"
    path = app.instance_store(settings).path(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 1000)
    item = received(f"1.2.{number}", number)
    entered = enter(database, replace(item, file_key=key))
    route_study(database, entered.study_id)
    return path


def test_files_go_and_rows_stay(settings: Settings, database: Database) -> None:
    paths = [_ignored(settings, database, number) for number in (1, 2)]
    pruned = build_pruner(settings, database).run(RULES)
    assert (pruned.studies, pruned.files, pruned.size_bytes) == (2, 2, 2000)
    assert not any(path.exists() for path in paths)
    assert len(queries.studies(database)) == 2
    assert build_pruner(settings, database).run(RULES).files == 0


def test_a_look_removes_nothing(settings: Settings, database: Database) -> None:
    path = _ignored(settings, database)
    assert build_pruner(settings, database).preview(RULES).studies == 1
    assert path.exists()


def test_nothing_goes_while_the_disk_has_room(
    settings: Settings, database: Database
) -> None:
    path = _ignored(settings, database)
    rules = PruneRules(states=RULES.states, older_than=RULES.older_than, until_free=1)
    assert build_pruner(settings, database).run(rules).studies == 0
    assert path.exists()


def test_what_a_crash_left_is_no_stranger_to_reconcile_and_goes_at_the_next_run(
    settings: Settings, database: Database
) -> None:
    left, gone = _ignored(settings, database, 1), _ignored(settings, database, 2)
    now = SystemClock().now()
    for number in (1, 2):
        db.retention.mark(
            database, StudyId(number), RULES.scope(now), reason="old", now=now
        )
    gone.unlink()
    report = app.reconcile_instances(settings, database)
    assert (report.adopted, report.quarantined, report.missing) == (0, 0, 0)
    assert left.exists()
    assert build_pruner(settings, database).run(RULES).files == 1
    assert not left.exists()
    assert db.retention.unfinished(database) == ()
    with database.read() as connection:
        query = select(work_events.c.reason).where(work_events.c.to_state == "PRUNED")
        told = sorted(str(reason) for reason in connection.execute(query).scalars())
    assert [text.partition(" images")[0] for text in told] == [
        "old: the rest after an interruption, 0",
        "old: the rest after an interruption, 1",
    ]


def test_a_late_job_says_that_retention_has_removed_the_files(
    settings: Settings, database: Database
) -> None:
    _ignored(settings, database)
    build_pruner(settings, database).run(RULES)
    study = db.studies.load(database, StudyId(1))
    with pytest.raises(StoreError, match="retention removed them"):
        open_inputs(
            app.instance_store(settings), study.evidence, pruned_at=study.pruned_at
        )


def test_replay_of_a_pruned_study_says_what_is_missing(
    settings: Settings,
    database: Database,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _ignored(settings, database)
    config = ["--config", str(tmp_path / "node.toml")]
    assert main(["prune", "--older-than", "1d", *config]) == 0
    assert "removed 1 files of 1 studies" in capsys.readouterr().out
    assert main(["replay", "1.2.1", *config]) == 1
    assert "1 of the study's 1 files are gone" in capsys.readouterr().err
