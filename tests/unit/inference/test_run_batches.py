"""Batches in which each image keeps its bits are found once on a machine."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from inference.api import Image, ModelCard
from inference.run.engines.choose import Chosen, choose_engine, keep_bits
from inference.run.engines.engine import EngineSpec
from inference.run.options import EngineWish
from inference.vit.network import create_network
from tests.unit.inference.cards import make_card

CPU = torch.device("cpu")


class _RoundsLargeBatches:
    """An engine that rounds otherwise from some number of images on."""

    spec = EngineSpec("openvino", "fp32")

    def __init__(self, first: int) -> None:
        self._first = first

    def run(self, images: torch.Tensor) -> torch.Tensor:
        """Give each image its first value."""
        return images[:, 0, 0, :1] + (len(images) >= self._first)


@pytest.mark.parametrize(("first", "largest"), [(5, 1), (9, 8), (15, 8), (17, 16)])
def test_an_image_keeps_its_bits_in_a_batch_as_large_as_the_card_says(
    tmp_path: Path, first: int, largest: int
) -> None:
    engine = _RoundsLargeBatches(first)
    chosen = keep_bits(
        Chosen(engine=engine, difference=0.0), make_card(tmp_path, batch_size=40)
    )
    assert chosen.one_by_one is (largest == 1)
    assert (chosen.sizes or (1,))[0] == largest
    if chosen.one_by_one:
        return
    images = torch.randn(40, 1, 2, 2)
    for number in (1, 2, 7, 16, 40):
        batch = images[:number]
        assert torch.equal(chosen.engine.run(batch), batch[:, 0, 0, :1])


def _load(card: ModelCard, kept: Path) -> tuple[Chosen, int]:
    """Choose the engine of a network; count how often it ran for that."""
    torch.manual_seed(3)
    network: nn.Module = create_network(card).eval().requires_grad_(False)
    for parameter in network.parameters():  # a fresh head may be all zeros
        parameter.add_(0.02 * torch.randn(parameter.shape))
    runs = []
    network.register_forward_hook(lambda *_: runs.append(1))
    wish = EngineWish(batches=kept, threads=1)
    chosen = choose_engine(network, card, device=CPU, wish=wish, calibrate=_numbers)
    return chosen, len(runs)


def _numbers(logits: torch.Tensor) -> Image:
    scores: Image = logits.numpy()
    return scores


def test_what_was_found_is_kept_for_the_same_weights_on_the_same_machine(
    tmp_path: Path,
) -> None:
    """Of a network with convolutions: some layers are run image by image."""
    spec = replace(make_card(tmp_path).input, size=(32, 32))
    card = make_card(
        tmp_path, architecture="test_resnet", arch_options=(), input=spec, batch_size=8
    )
    kept = tmp_path / "data" / "batches.json"
    first, runs = _load(card, kept)
    assert runs > 0
    second, runs = _load(card, kept)
    assert runs == 0
    assert (second.sizes, second.largest) == (first.sizes, first.largest) != ((), 0)
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    alone = torch.cat([first.engine.run(image[None]) for image in images])
    assert torch.equal(second.engine.run(images), alone)

    assert _load(replace(card, weights_sha256="1" * 64), kept)[1] > 0
    kept.write_text(kept.read_text().replace('"apart": [', '"apart": ["no.layer", '))
    assert _load(card, kept)[1] > 0
    kept.unlink()
    kept.mkdir()  # it cannot be written: a load goes on
    assert _load(card, kept)[1] > 0
