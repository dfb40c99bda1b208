"""A worker is killed between a report and its picture: each is delivered once."""

import dataclasses
import sqlite3
from contextlib import closing

import pytest

from tests.e2e.conftest import StartNode
from tests.e2e.images import Sender, make_radiograph, new_study_uid
from tests.e2e.node import Node, NodeSettings
from tests.e2e.pacs import Received, StandInPacs
from tests.peers import wait_until

_SC = "1.2.840.10008.5.1.4.1.1.7"
_MOST_STUDIES = 6  # the kill may come too late for some
_TABLES = """
[[destinations]]
name = "pacs"
kind = "dicom"
ae_title = "{title}"
host = "127.0.0.1"
port = {port}
objects = ["sr", "sc"]
[[routes]]
name = "everything"
model = "tiny"
destinations = ["pacs"]
"""


@pytest.mark.slow
@pytest.mark.timeout(360)
def test_a_worker_killed_before_the_picture_delivers_report_and_picture_once(
    settings: NodeSettings, start_node: StartNode, pacs: StandInPacs
) -> None:
    tables = _TABLES.format(title=pacs.address.ae_title, port=pacs.address.port)
    node = start_node(dataclasses.replace(settings, destinations=(), routes=tables))
    for _ in range(_MOST_STUDIES):
        study = new_study_uid()
        if _kill_after_report(node, pacs, study):
            break
    else:
        raise AssertionError("no kill came between a report and its picture")
    arrived = pacs.of_study(study)
    # Sent twice after a crash is fine as long as it is the same object.
    distinct = {(item.sop_instance_uid, item.sha256): item for item in arrived}
    assert [_kind(item) for item in distinct.values()] == ["sr", "sc"]
    assert node.stop() == 0


def _kill_after_report(node: Node, pacs: StandInPacs, study: str) -> bool:
    """Kill the worker once the PACS has the report; say whether it had more to do."""
    Sender(node.address).send([make_radiograph(study, size=2500)])
    wait_until(
        lambda: bool(pacs.of_study(study)),
        what="the report is there",
        seconds=120,  # the first one waits until the model is loaded
        every=0.002,
    )
    node.kill("work")
    found = node.wait_settled(study, seconds=120)
    (job,) = found[study]["jobs"]
    assert job["state"] == "DONE"
    assert [one["state"] for one in job["deliveries"]] == ["DONE", "DONE"]
    return _claims_and_predictions(node, study) == (2, 1)


def _claims_and_predictions(node: Node, study: str) -> tuple[int, int]:
    query = (
        "SELECT jobs.claims, (SELECT count(*) FROM predictions WHERE job_id = jobs.id) "
        "FROM jobs JOIN studies ON studies.id = jobs.study_id "
        "WHERE studies.study_instance_uid = ?"
    )
    path = node.data_dir / "node.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        claims, predictions = connection.execute(query, (study,)).fetchone()
    return int(claims), int(predictions)


def _kind(item: Received) -> str:
    return "sc" if item.dataset.SOPClassUID == _SC else "sr"
