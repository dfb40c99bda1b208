"""An image whose decoder hangs or dies: its study is reported without it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from dicom_node.report.check import check_report
from tests.e2e.conftest import StartNode
from tests.e2e.images import Sender, make_radiograph, new_study_uid
from tests.e2e.node import Node, NodeSettings
from tests.e2e.pacs import StandInPacs

BAD_ROWS = 37


@pytest.mark.slow
@pytest.mark.parametrize("point", ["decode-crash", "decode-hold"])
def test_the_other_images_are_evaluated_and_the_report_says_which_were_not(
    point: str,
    settings: NodeSettings,
    start_node: StartNode,
    pacs: StandInPacs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DICOM_NODE_FAULT", f"{point}:{BAD_ROWS}")
    monkeypatch.setenv("DICOM_NODE_MODELS__MAX_FRAME_SECONDS", "5")
    node = start_node(replace(settings, drain_seconds=5.0))
    study = new_study_uid()
    good = [make_radiograph(study, number=number) for number in (1, 2, 3)]
    bad = make_radiograph(study, number=4, size=BAD_ROWS)
    Sender(node.address).send([good[0], bad, *good[1:]])
    (job,) = node.wait_settled(study, seconds=200)[study]["jobs"]
    assert job["state"] == "DONE"

    images = {item["sop_instance_uid"]: item for item in _images(node, study)}
    refused = images.pop(str(bad.SOPInstanceUID))
    expected = {
        "decode-crash": "decoding ended the process (SIGSEGV)",
        "decode-hold": "decoding did not end within 5 s",
    }
    assert refused["scores"] == []
    assert refused["error"].endswith(expected[point])
    assert images.keys() == {str(image.SOPInstanceUID) for image in good}
    assert all(image["scores"] for image in images.values())
    [arrived] = pacs.of_study(study)
    assert check_report(arrived.dataset) == []
    assert expected[point] in arrived.dataset.to_json()


def _images(node: Node, study: str) -> list[dict[str, Any]]:
    shown = json.loads(node.cli("show", study, "--json").stdout)
    images: list[dict[str, Any]] = shown["jobs"][0]["prediction"]["images"]
    return images
