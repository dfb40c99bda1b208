"""Delivery against a PACS that refuses, goes away and comes back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.images import Sender, make_radiograph, new_study_uid
from tests.e2e.node import Node, NodeSettings
from tests.e2e.pacs import StandInPacs, running_pacs
from tests.peers import Address, free_port, wait_until


@pytest.fixture(scope="module")
def pacs() -> Iterator[StandInPacs]:
    """A PACS for all tests of this file."""
    with running_pacs(Address(port=free_port(), ae_title="PACS")) as running:
        yield running


@pytest.fixture(scope="module")
def node(
    tmp_path_factory: pytest.TempPathFactory, models: Path, pacs: StandInPacs
) -> Iterator[Node]:
    """A node for all tests of this file."""
    node = Node(
        settings=NodeSettings(
            folder=tmp_path_factory.mktemp("delivery"),
            models=models,
            address=Address(port=free_port()),
            destinations=[("pacs", pacs.address)],
        )
    )
    try:
        yield node.start()
    finally:
        if node.tool is not None:
            node.tool.stop(seconds=30)


def _delivery(node: Node, study: str) -> dict[str, Any]:
    jobs = node.studies().get(study, {}).get("jobs", [])
    for job in jobs:
        for delivery in job["deliveries"]:
            return dict(delivery)
    return {"state": None, "attempts": 0}


def test_a_pacs_without_resources_gets_the_same_object_later(
    node: Node, pacs: StandInPacs
) -> None:
    pacs.status = 0xA700  # Refused: Out of Resources
    study = new_study_uid()
    Sender(node.address).send([make_radiograph(study)])
    wait_until(lambda: pacs.refusals, what="the PACS refused once")
    assert _delivery(node, study)["state"] in {"QUEUED", "RUNNING"}
    assert pacs.of_study(study) == []
    pacs.status = 0x0000
    node.wait_settled(study)
    done = _delivery(node, study)
    assert done["state"] == "DONE"
    assert done["attempts"] >= 2
    [arrival] = pacs.of_study(study)
    assert arrival.sop_instance_uid == done["sop_instance_uid"]


def test_a_report_that_the_pacs_rejects_for_good_waits_for_retry(
    node: Node, pacs: StandInPacs
) -> None:
    pacs.status = 0xC000  # Error: Cannot Understand
    study = new_study_uid()
    Sender(node.address).send([make_radiograph(study)])
    node.wait_settled(study)
    failed = _delivery(node, study)
    assert failed["state"] == "FAILED"
    assert failed["status"] == "0xC000"
    pacs.status = 0x0000
    again = node.cli("retry")
    assert again.returncode == 0, again.stderr
    wait_until(lambda: pacs.of_study(study), what="the report arrives")
    node.wait_settled(study)
    assert _delivery(node, study)["state"] == "DONE"


def test_resending_a_whole_study_makes_no_second_report(
    node: Node, pacs: StandInPacs
) -> None:
    study = new_study_uid()
    images = [make_radiograph(study, number=number) for number in (1, 2)]
    Sender(node.address).send(images)
    node.wait_settled(study)
    for _ in range(2):
        again = Sender(node.address)
        again.send(images)
        assert again.acknowledged == {image.SOPInstanceUID for image in images}
    # A marker study sent afterwards: when it is done, a second job would be too.
    marker = new_study_uid()
    Sender(node.address).send([make_radiograph(marker)])
    found = node.wait_settled(study, marker)
    assert found[study]["revision"] == 1
    assert found[study]["instances"] == 2
    assert len(found[study]["jobs"]) == 1
    assert len(pacs.of_study(study)) == 1
