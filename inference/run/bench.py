"""How fast a model is on this machine, by engine and precision."""

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch

from dicom_node.core.errors import InferenceError
from inference.api import ModelCard
from inference.calibrate import calibrate
from inference.run.device import choose_device
from inference.run.engines.choose import (
    LIMIT,
    Chosen,
    compare,
    fixed_input,
    keep_bits,
    open_engine,
)
from inference.run.engines.eager import EagerEngine
from inference.run.engines.engine import (
    Engine,
    EngineSpec,
    EngineUnavailable,
    engines_here,
)
from inference.run.options import RunOptions, use_threads
from inference.vit.fit import fit_weights
from inference.vit.network import create_network
from inference.vit.weights import read_weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What one engine did with noise that lay ready.

    Args:
        alone: images per second in batches of one.
        batched: images per second in batches of `batch_size`.
        batch_size: of the batches that the node makes; 1 where only single images
            keep the bits of their scores with this engine.
        apart: the node runs some layers image by image within its batches.
        difference: the largest of a score against eager fp32, on a fixed input.
        unavailable: why there is nothing to say; "" otherwise.
    """

    engine: str
    precision: str
    device: str
    batch_size: int
    alone: float = 0.0
    batched: float = 0.0
    difference: float = 0.0
    apart: bool = False
    unavailable: str = ""

    @property
    def usable(self) -> bool:
        """Whether the node would run it: there, and close enough to fp32."""
        return not self.unavailable and self.difference <= LIMIT


def bench(
    card: ModelCard, options: RunOptions, *, min_seconds: float = 3.0
) -> Iterator[Speed]:
    """Measure every engine in every precision that this machine may have.

    Args:
        min_seconds: for each engine and batch size, after a batch to warm up.

    Raises:
        BundleError: the bundle must not be used.
        InferenceError: the device is not there or has no memory for one image.
    """
    device = torch.device(choose_device(options.device))
    use_threads(options.wish.threads or torch.get_num_threads())
    network = create_network(card)
    network.load_state_dict(fit_weights(network, read_weights(card)), strict=True)
    network = network.eval().requires_grad_(False)
    size = min(options.max_batch_size or card.batch_size, card.batch_size)
    reference = EagerEngine(copy.deepcopy(network), device)
    scores = partial(
        calibrate, calibration=card.calibration, activation=card.activation
    )
    for spec in engines_here(device):
        named = Speed(
            engine=spec.engine,
            precision=spec.precision,
            device=str(device),
            batch_size=size,
        )
        try:
            chosen = _choose(network, spec, card, options)
            difference = compare(chosen.engine, reference, fixed_input(card), scores)
            batch_size = 1 if chosen.one_by_one else size
            yield replace(
                named,
                batch_size=batch_size,
                alone=_rate(chosen.engine, card, 1, min_seconds),
                batched=_rate(chosen.engine, card, batch_size, min_seconds),
                difference=difference,
                apart=chosen.largest > 0,
            )
        except EngineUnavailable as error:
            yield replace(named, unavailable=str(error))
        except torch.OutOfMemoryError:
            yield replace(named, unavailable="the device has no memory for this batch")


def recommend(measured: list[Speed]) -> Speed:
    """Return the fastest in full batches among those that the node would run.

    Raises:
        InferenceError: there is none.
    """
    usable = [speed for speed in measured if speed.usable]
    if not usable:
        raise InferenceError("no engine runs this model on this machine")
    return max(usable, key=lambda speed: speed.batched)


def _choose(
    network: torch.nn.Module, spec: EngineSpec, card: ModelCard, options: RunOptions
) -> Chosen:
    """Make the engine as the node would, with batches that keep the bits of scores."""
    device = torch.device(choose_device(options.device))
    engine = open_engine(
        copy.deepcopy(network),
        spec,
        device=device,
        try_on=fixed_input(card),
        wish=options.wish,
    )
    chosen = Chosen(engine=engine, difference=0.0)
    return keep_bits(chosen, card) if device.type == "cpu" else chosen


def _rate(engine: Engine, card: ModelCard, size: int, min_seconds: float) -> float:
    """Return images per second; every batch is waited for."""
    noise = torch.randn(
        (size, card.input.channels, *card.input.size),
        generator=torch.Generator().manual_seed(0),
    )
    engine.run(noise).cpu()
    images, begun = 0, time.monotonic()
    while not images or time.monotonic() - begun < min_seconds:
        engine.run(noise).cpu()
        images += size
    return images / (time.monotonic() - begun)
