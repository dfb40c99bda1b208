"""Engines give the scores of eager fp32, whatever else is in a batch."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.api import Image, ModelCard
from inference.custom import create_model
from inference.run.engines.choose import LIMIT, choose_engine, fixed_input
from inference.run.engines.eager import EagerEngine
from inference.run.engines.engine import (
    REFERENCE,
    EngineSpec,
    EngineUnavailable,
    has_openvino,
)
from inference.run.engines.openvino import OpenVINOEngine
from inference.run.in_process import InProcessExecutor
from inference.run.options import EngineWish, RunOptions
from inference.vit.model import TimmModel
from inference.vit.network import create_network
from tests.unit.inference.cards import PNEUMONIA, make_bundle, make_card
from tests.unit.inference.studies import write_image

CPU = torch.device("cpu")
OPENVINO = pytest.mark.skipif(not has_openvino(), reason="the extra is not installed")


def _network(architecture: str, size: int, classes: int) -> torch.nn.Module:
    card = make_card(Path())
    card = replace(
        card,
        architecture=architecture,
        arch_options=(),
        input=replace(card.input, size=(size, size)),
        classes=(PNEUMONIA,) * classes,
    )
    torch.manual_seed(3)
    network = create_network(card).eval().requires_grad_(False)
    for parameter in network.parameters():  # a fresh head may be all zeros
        parameter.add_(0.02 * torch.randn(parameter.shape))
    return network


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize(
    "architecture", ["deit_tiny_patch16_224", "vit_tiny_patch16_224"]
)
def test_a_score_has_the_same_bits_whatever_shares_its_batch(
    architecture: str, classes: int
) -> None:
    size = 64
    engine = EagerEngine(_network(architecture, size, classes), CPU)
    images = torch.randn(7, 3, size, size, generator=torch.Generator().manual_seed(1))
    alone = torch.cat([engine.run(image[None]) for image in images])
    for first, last in ((0, 2), (0, 5), (2, 7), (0, 7)):
        assert torch.equal(engine.run(images[first:last]), alone[first:last])
    assert torch.equal(engine.run(images.flip(0)).flip(0), alone)
    assert len(set(alone[:, 0].tolist())) == 7


@pytest.mark.parametrize("architecture", ["resnet10t", "convnext_atto", ""])
def test_a_study_scores_the_same_bits_whatever_the_size_of_batches(
    tmp_path: Path, architecture: str
) -> None:
    """Layers whose bits depend on the batch are noticed and run image by image."""
    named = {"architecture": architecture, "arch_options": ()} if architecture else {}
    make_bundle(tmp_path / "m", **named)
    files = [write_image(tmp_path, number) for number in range(1, 8)]
    found = []
    for size in (1, 2, 4):
        options = RunOptions(device="cpu", max_batch_size=size)
        executor = InProcessExecutor(tmp_path, options)
        found.append(executor.predict("m", files).images)
        executor.close()
    assert found[0] == found[1] == found[2]


def test_most_of_a_convolutional_network_runs_in_batches_of_the_same_bits() -> None:
    """One with gates: their last values round otherwise, in one of some hundred."""
    size = 32
    engine = EagerEngine(_network("regnety_002", size, 2), CPU)
    noise = torch.Generator().manual_seed(5)
    images, others = torch.randn(2, 8, 3, size, size, generator=noise)
    alone = torch.cat([engine.run(image[None]) for image in images])
    sizes = engine.mend(others)
    assert sizes == (8, 4, 2, 1)
    for number in range(1, 9):
        assert torch.equal(engine.run(images[:number]), alone[:number])


@pytest.mark.parametrize("number", [1, 3, 7, 16])
def test_batches_are_cut_to_the_sizes_that_were_compared(number: int) -> None:
    network = _Counting()
    engine = EagerEngine(network, CPU)
    engine.mend(torch.randn(8, 1, 2, 2))
    network.sizes.clear()
    images = torch.randn(number, 1, 2, 2)
    assert torch.equal(engine.run(images), network(images))
    expected = {1: [1], 3: [2, 1], 7: [4, 2, 1], 16: [8, 8]}
    assert network.sizes[:-1] == expected[number]


class _Counting(torch.nn.Module):
    """Keeps how many images it was given each time."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(images))
        return images.flatten(1)


@OPENVINO
def test_openvino_gives_the_scores_of_torch_and_sends_nothing(tmp_path: Path) -> None:
    card = make_bundle(tmp_path / "m")
    eager, other = TimmModel(card), TimmModel(card, EngineWish(engine="openvino"))
    eager.load("cpu")
    other.load("cpu")
    assert other.chosen.engine.spec == EngineSpec("openvino", "fp32")
    assert other.chosen.refused == ""
    images = fixed_input(card).numpy()
    np.testing.assert_allclose(other.predict(images), eager.predict(images), atol=1e-5)
    assert 0 <= other.chosen.difference < 1e-4
    from openvino.tools.ovc import telemetry_utils

    assert telemetry_utils.tm.__name__ == "openvino.tools.ovc.telemetry_stub"


@OPENVINO
def test_openvino_refuses_a_precision_that_it_does_not_know(tmp_path: Path) -> None:
    network = _network("resnet10t", 64, 1)
    with pytest.raises(EngineUnavailable, match="no fp16"):
        OpenVINOEngine(network, precision="fp16", try_on=torch.zeros(2, 3, 64, 64))


def _choose(card: ModelCard, wish: EngineWish, scale: float) -> tuple[EngineSpec, str]:
    """Choose for a network whose score is steep enough to show bfloat16."""
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64 * 64, 1))
    torch.manual_seed(0)
    with torch.no_grad():
        network.get_parameter("1.weight").copy_(scale * torch.randn(1, 3 * 64 * 64))

    def sigmoid(logits: torch.Tensor) -> Image:
        scores: Image = logits.sigmoid().numpy()
        return scores

    chosen = choose_engine(
        copy.deepcopy(network), card, device=CPU, wish=wish, calibrate=sigmoid
    )
    return chosen.engine.spec, chosen.refused


def test_a_precision_that_changes_the_scores_too_much_is_refused(
    tmp_path: Path,
) -> None:
    wish = EngineWish(engine="eager", precision="bf16")
    card = make_card(tmp_path)
    assert _choose(card, wish, 1e-4) == (EngineSpec("eager", "bf16"), "")
    spec, refused = _choose(card, wish, 1.0)
    assert spec == REFERENCE
    assert refused.startswith("eager bf16: its scores differ from fp32 by up to 0.")
    assert float(refused.split()[-1]) > LIMIT


def test_a_precision_that_is_not_to_be_had_is_refused_and_recorded(
    tmp_path: Path,
) -> None:
    model = create_model(make_bundle(tmp_path / "m"), (), EngineWish(precision="fp16"))
    model.load("cpu")
    assert isinstance(model, TimmModel)
    assert model.chosen.engine.spec == REFERENCE
    assert model.chosen.refused.startswith("eager fp16: fp16 is for CUDA")


class _SmallMemory:
    """An engine that has room for so many images at a time."""

    spec = REFERENCE

    def __init__(self, room: int) -> None:
        self.room = room
        self.sizes: list[int] = []

    def run(self, images: torch.Tensor) -> torch.Tensor:
        """Give each image its first value."""
        self.sizes.append(len(images))
        if len(images) > self.room:
            raise torch.OutOfMemoryError
        return images[:, 0, 0, :1]


def test_out_of_memory_halves_the_batch_and_the_size_is_kept(tmp_path: Path) -> None:
    model = TimmModel(make_bundle(tmp_path / "m"))
    model.load("cpu")
    small = _SmallMemory(2)
    model._chosen = replace(model.chosen, engine=small)
    images = torch.randn(8, 3, 64, 64)
    first = model.predict_tensor(images)
    assert small.sizes == [8, 4, 2, 2, 4, 2, 2]
    small.sizes.clear()
    np.testing.assert_array_equal(model.predict_tensor(images), first)
    assert small.sizes == [2, 2, 2, 2]


def test_blocks_that_take_more_than_one_tensor_are_left_as_they_are() -> None:
    engine = EagerEngine(_network("coat_lite_tiny", 64, 2), CPU)
    images = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    alone = torch.cat([engine.run(image[None]) for image in images])
    assert engine.mend(images)[-1] == 1
    assert torch.allclose(engine.run(images), alone, atol=1e-4)
