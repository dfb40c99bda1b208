"""`replay`: what would come out the same is sent again, anything else is run again."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from db import schema, work
from db.engine import Database
from dicom_node.cli import main
from dicom_node.core.types import Route
from tests.integration.db import samples
from tests.unit.inference.cards import make_bundle

SECOND = """
[[destinations]]
name = "archive"
kind = "folder"
folder = "archive"
"""


def _configure(
    folder: Path,
    *,
    sr_classes: Sequence[str] = ("comprehensive3d",),
    names: Sequence[str] = ("pacs",),
) -> Path:
    file = folder / "node.toml"
    file.write_text(
        f"""
[models]
folder = "bundles"
[[destinations]]
name = "pacs"
kind = "folder"
folder = "reports"
sr_classes = {json.dumps(sr_classes)}
{SECOND if "archive" in names else ""}
[[routes]]
name = "all"
model = "tiny"
destinations = {json.dumps(names)}
""",
        encoding="utf-8",
    )
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A node's folder whose only report has failed to reach its destination."""
    card = make_bundle(tmp_path / "bundles" / "tiny")
    (tmp_path / "data").mkdir()
    url = f"sqlite:///{tmp_path / 'data' / 'node.db'}"
    schema.create_if_new(url)
    database = Database(url)
    samples.queue_job(
        database, route=Route(name="all", model="tiny", destinations=("pacs",))
    )
    done = samples.settlement()
    done = replace(
        done, prediction=replace(done.prediction, device_uid=card.device_uid)
    )
    work.settle_job(database, samples.claim(database), done, now=samples.after(1))
    delivery = samples.claim_delivery(database)
    work.fail(database, delivery, samples.REFUSED, now=samples.after(11))
    database.close()
    return tmp_path


def _replay(file: Path, capsys: pytest.CaptureFixture[str]) -> object:
    assert main(["replay", "1.2.3", "--config", str(file), "--json"]) == 0
    answer: object = json.loads(capsys.readouterr().out)
    return answer


def test_what_has_not_changed_is_sent_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = _replay(_configure(folder), capsys)
    assert answer == {"revision": None, "resent": 1}


def test_a_destination_that_now_wants_another_sr_class_gets_a_new_report(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = _replay(_configure(folder, sr_classes=("enhanced",)), capsys)
    assert answer == {"revision": 2, "resent": 0}


def test_a_destination_that_the_route_got_since_is_served(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = _replay(_configure(folder, names=("pacs", "archive")), capsys)
    assert answer == {"revision": 2, "resent": 0}
