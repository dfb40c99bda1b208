"""A score that is no number, from the weights to the PACS: nothing is sent."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

import db.queries
import db.work
from config.settings import Settings
from dicom_node import app
from dicom_node.core.protocols import Executor
from dicom_node.core.states import Outcome
from dicom_node.pipeline import on_instances, on_job
from tests.unit.inference.cards import make_bundle, make_card, write_bundle
from tests.unit.inference.studies import HEADER, write_image
from tests.unit.pipeline.node import Node
from tests.unit.pipeline.parts import received

OWN = "tests.unit.inference.own_models"


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[Executor]:
    """The executor that a node of this configuration would build."""
    settings = Settings.model_validate(
        {
            "models": {
                "folder": tmp_path / "models",
                "device": "cpu",
                "python_classes": [f"{OWN}.*"],
            }
        }
    )
    built = app.build_executor(settings)
    yield built
    built.close()


def _write_class(folder: Path, name: str) -> None:
    folder.mkdir(parents=True)
    save_arrays({"scale": np.array([0.5])}, folder / "weights.safetensors")
    write_bundle(
        make_card(
            folder,
            name=folder.name,
            architecture="",
            arch_options=(),
            python_class=f"{OWN}:{name}",
        )
    )


def _write_overflow(folder: Path) -> None:
    """Write weights that are finite and give infinities for anything but zeros."""
    card = make_bundle(folder)
    state = load_file(card.weights_path)
    state["head.weight"] = torch.full_like(state["head.weight"], 3e38)
    state["norm.weight"] = torch.full_like(state["norm.weight"], 3e38)
    save_file(state, card.weights_path)
    write_bundle(card)


def _receive(node: Node, folder: Path, images: int) -> None:
    folder.mkdir()
    for number in range(1, images + 1):
        content = write_image(folder, number).path.read_bytes()
        item = received(node.instances, node.clock, number=number)
        item = replace(
            item,
            file_key=node.instances.put(content),
            header=replace(HEADER, instance_number=number),
        )
        on_instances(node.database, [item], compare=node.instances)
    node.complete()


def _infer(node: Node, executor: Executor) -> Outcome:
    job = db.work.claim_job(
        node.database, owner="t", now=node.clock.now(), lease_seconds=60
    )
    assert job is not None
    return on_job(replace(node.work, executor=executor), job)


@pytest.mark.parametrize("kind", ["class", "overflow"])
def test_the_job_fails_with_a_reason_and_nothing_is_sent(
    node: Node, executor: Executor, tmp_path: Path, kind: str
) -> None:
    node.pacs.send_not_evaluated = True
    if kind == "class":
        _write_class(tmp_path / "models" / "m", "NaNModel")
    else:
        _write_overflow(tmp_path / "models" / "m")
    _receive(node, tmp_path / "files", images=3)

    assert _infer(node, executor) is Outcome.FAILED

    (job,) = node.study()["jobs"]
    assert job["state"] == "FAILED"
    assert "not a number" in (job["reason"] or "")
    assert job["findings"] == []
    assert node.deliver() is None
    assert node.pacs.objects == {}


def test_a_class_of_ones_own_gives_a_report(
    node: Node, executor: Executor, tmp_path: Path
) -> None:
    _write_class(tmp_path / "models" / "m", "MeanModel")
    _receive(node, tmp_path / "files", images=2)

    assert _infer(node, executor) in (Outcome.PRESENT, Outcome.ABSENT)

    (job,) = node.study()["jobs"]
    assert (job["state"], len(job["findings"])) == ("DONE", 1)
    assert node.deliver() is not None
    assert len(node.pacs.objects) == 1
