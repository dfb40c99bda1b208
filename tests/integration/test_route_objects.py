"""A route says which kinds of objects are written of its results."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import db.queries
from dicom_node import app
from dicom_node.core.states import Outcome
from inference.api import InputSpec
from tests.e2e.images import make_radiograph
from tests.integration.kept import KeptNode, keep_study
from tests.unit.inference.cards import PNEUMONIA, make_bundle

STUDY = "1.2.826.0.1.3680043.9.7"
CONFIGURATION = """
[receive]
min_free_bytes = 1000000
[models]
folder = "bundles"
device = "cpu"
threads = 1
[[destinations]]
name = "archive"
kind = "folder"
folder = "outbox"
objects = {archive}
[[destinations]]
name = "ris"
kind = "hl7"
host = "127.0.0.1"
port = 9
[[routes]]
name = "all"
model = "tiny"
destinations = ["archive", "ris"]
objects = {route}
"""


def _written(
    folder: Path, archive: list[str], route: list[str]
) -> tuple[set[str], set[tuple[str, str]]]:
    """Run a study; return the kinds written, and what each destination gets."""
    make_bundle(
        folder / "bundles" / "tiny",
        classes=(replace(PNEUMONIA, threshold=1e-6),),
        input=InputSpec(size=(64, 64), windowing="percentile"),
    )
    text = CONFIGURATION.format(archive=json.dumps(archive), route=json.dumps(route))
    node = KeptNode(configuration=folder / "node.toml")
    node.configuration.write_text(text, encoding="utf-8")
    image = make_radiograph(STUDY)
    assert keep_study(node.configuration, [image]) is Outcome.PRESENT
    with closing(app.open_database(node.settings)) as database:
        (story,) = db.queries.timeline(database, STUDY)
    (job,) = story.jobs
    assert job.summary["state"] == "DONE"
    queued = {
        (one.summary["destination"], one.summary["kind"]) for one in job.deliveries
    }
    return {report.kind.value for report in job.reports}, queued


@pytest.mark.parametrize(
    ("archive", "route", "kinds"),
    [
        (["sr", "sc", "kos"], ["sr", "sc", "kos"], {"sr", "sc", "kos"}),
        (["sr", "sc", "kos"], ["sc", "kos"], {"sc", "kos"}),
        (["sr", "sc"], ["kos"], set()),
        (["sr"], [], set()),
        (["sc"], ["sr", "sc"], {"sc"}),
    ],
)
def test_what_route_and_destination_both_name_is_written_and_nothing_else(
    tmp_path: Path, archive: list[str], route: list[str], kinds: set[str]
) -> None:
    written, queued = _written(tmp_path, archive, route)
    assert written == kinds | {"hl7"}
    assert queued == {("archive", kind) for kind in kinds} | {("ris", "hl7")}
