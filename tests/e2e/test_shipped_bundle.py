"""The bundle that ships, on chests it was made for and on what it must not judge."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from tests.e2e.conftest import StartNode
from tests.e2e.images import Sender, make_radiograph, new_study_uid
from tests.e2e.node import NodeSettings
from tests.e2e.pacs import StandInPacs
from tests.peers import PROJECT, shared_data

MODEL = "cxr-pneumonia"
BUNDLE = PROJECT / "inference" / "bundles" / MODEL / "card.toml"


def _chest(file: Path, *, age: str) -> Dataset:
    """Wrap a photograph of a film as a computed radiograph."""
    from PIL import Image

    with Image.open(file) as picture:
        values = np.asarray(picture.convert("L"))
    image = make_radiograph(new_study_uid())
    image.Rows, image.Columns = values.shape
    image.BitsAllocated = image.BitsStored = 8
    image.HighBit = 7
    image.PixelData = values.tobytes() + b"\0" * (values.size % 2)
    image.WindowCenter, image.WindowWidth = "128", "256"
    image.PatientAge = age
    return image


def test_the_shipped_model_tells_pneumonia_from_normal_and_refuses_adults(
    settings: NodeSettings, start_node: StartNode, pacs: StandInPacs
) -> None:
    if not BUNDLE.exists():
        pytest.skip("the bundle cxr-pneumonia is not in this tree")
    folder = shared_data("cxr", "fullres")
    sick = [_chest(file, age="003Y") for file in sorted(folder.glob("PNEUMONIA_*"))[:4]]
    well = [_chest(file, age="003Y") for file in sorted(folder.glob("NORMAL_*"))[:4]]
    adult = _chest(sorted(folder.glob("PNEUMONIA_*"))[0], age="045Y")
    node = start_node(dataclasses.replace(settings, model=MODEL))
    Sender(node.address).send([*sick, *well, adult])
    studies = {image.SOPInstanceUID: image.StudyInstanceUID for image in [*sick, *well]}
    found = node.wait_settled(*studies.values(), adult.StudyInstanceUID)

    def findings(images: list[Dataset]) -> list[bool]:
        return [
            found[image.StudyInstanceUID]["jobs"][0]["findings"][0]["present"]
            for image in images
        ]

    # Training images: this says that the wiring is right, not how good the model is.
    assert sum(findings(sick)) >= 3
    assert sum(findings(well)) <= 1
    [job] = found[adult.StudyInstanceUID]["jobs"]
    assert job["outcome"] == "not_evaluated"
    assert job["findings"] == []
    assert "Age is 45 years" in job["reason"]
    assert pacs.of_study(adult.StudyInstanceUID) == []
