"""Which engine runs a model: what was asked for, if it gives the same scores."""

import copy
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from inference.api import Image, ModelCard
from inference.run.engines.batches import Batches, apply_batches, find_batches
from inference.run.engines.eager import CompiledEngine, EagerEngine
from inference.run.engines.engine import (
    REFERENCE,
    Engine,
    EngineSpec,
    EngineUnavailable,
)
from inference.run.engines.kept import batches_key, keep_batches, read_batches
from inference.run.engines.openvino import OpenVINOEngine
from inference.run.engines.recommended import recommended
from inference.run.options import EngineWish, use_threads

log = logging.getLogger("inference.engines")

LIMIT: Final = 0.02
_STRENGTHS: Final = (1.0, 0.5, 0.25, 0.1)
_PRECISIONS: Final = ("fp32", "bf16", "fp16")
Calibrate = Callable[[torch.Tensor], Image]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """An engine and how it compares with the reference.

    Args:
        difference: the largest of a score on a fixed input, against eager fp32;
            of values with a unit, relative to the largest value.
        refused: what was asked for and not used, with the reason; "" otherwise.
        largest: of how many images the engine runs batches at the most, with some
            layers image by image, so that the bits of a score do not depend on what
            shares its batch; 0 if they never did.
        sizes: what batches are cut to on the CPU, the largest first; () as they come.
        one_by_one: that was not enough, or not possible: images go alone, so that a
            replay gives the same bits. On the CPU only.
    """

    engine: Engine
    difference: float
    refused: str = ""
    largest: int = 0
    sizes: tuple[int, ...] = ()
    one_by_one: bool = False


def choose_engine(
    network: nn.Module,
    card: ModelCard,
    *,
    device: torch.device,
    wish: EngineWish,
    calibrate: Calibrate,
) -> Chosen:
    """Make the engine that runs this network on this device.

    Raises:
        torch.OutOfMemoryError: the device has no memory for a few images.
    """
    chosen = _choose(network, card, device=device, wish=wish, calibrate=calibrate)
    if device.type != "cpu":
        return chosen
    if wish.threads:  # the bits depend on it, and each thread has a number of its own
        use_threads(wish.threads)
    return keep_bits(chosen, card, wish.batches)


def keep_bits(chosen: Chosen, card: ModelCard, kept: Path | None = None) -> Chosen:
    """Make scores on the CPU independent of the batch; the engine may be changed.

    Args:
        kept: the file in which what was found out is kept.
    """
    engine = chosen.engine
    key = batches_key(card, engine.spec) if kept else ""
    if kept and (found := read_batches(kept, key)):
        with suppress(AttributeError):  # a file that was changed by hand
            return _with_batches(chosen, found)
    found = find_batches(engine, several_inputs(card), largest=card.batch_size)
    if kept:
        keep_batches(kept, key, found)
    return _with_batches(chosen, found)


def _with_batches(chosen: Chosen, found: Batches) -> Chosen:
    return replace(
        chosen,
        engine=apply_batches(chosen.engine, found),
        largest=found.sizes[0] if found.apart else 0,
        sizes=found.sizes,
        one_by_one=not found.sizes,
    )


def _choose(
    network: nn.Module,
    card: ModelCard,
    *,
    device: torch.device,
    wish: EngineWish,
    calibrate: Calibrate,
) -> Chosen:
    """Choose between what is wished for and the reference.

    What differs from eager fp32 by more than `LIMIT`, or is not to be had, is not
    used: eager fp32 is, with a warning.
    """
    spec = resolve_wish(wish, card, device)
    if spec == REFERENCE:
        return Chosen(engine=EagerEngine(network, device), difference=0.0)
    fixed = fixed_input(card)
    spare = copy.deepcopy(network)
    reference = EagerEngine(network, device)
    try:
        engine = open_engine(spare, spec, device=device, try_on=fixed, wish=wish)
    except EngineUnavailable as error:
        return _refuse(reference, spec, str(error))
    difference = compare(engine, reference, fixed, calibrate)
    if not difference <= LIMIT:  # also where it is not a number
        reason = f"its scores differ from fp32 by up to {difference:.3f}"
        return _refuse(reference, spec, reason)
    return Chosen(engine=engine, difference=difference)


def resolve_wish(wish: EngineWish, card: ModelCard, device: torch.device) -> EngineSpec:
    """Turn "auto" into an engine and a precision.

    Engine "auto" is eager on CUDA, in half precision unless asked otherwise; on the
    CPU what `models bench --keep` recommended here, or eager fp32.
    """
    on_cuda = device.type == "cuda"
    if wish.engine == "auto" and wish.precision == "auto" and not on_cuda:
        return recommended(wish.recommendations, card) or REFERENCE
    engine = "eager" if wish.engine == "auto" else wish.engine
    precision = wish.precision
    if precision not in _PRECISIONS:
        half = "bf16" if on_cuda and torch.cuda.is_bf16_supported() else "fp16"
        precision = half if on_cuda else "fp32"
    return EngineSpec(engine, precision)


def open_engine(
    network: nn.Module,
    spec: EngineSpec,
    *,
    device: torch.device,
    try_on: torch.Tensor,
    wish: EngineWish,
) -> Engine:
    """Make an engine; the network belongs to it afterwards.

    Raises:
        EngineUnavailable: it cannot run this network here.
    """
    if spec.precision == "fp16" and device.type == "cpu":
        raise EngineUnavailable("fp16 is for CUDA: set models.precision to 'bf16'")
    if spec.engine == "openvino":
        if device.type != "cpu":
            raise EngineUnavailable("OpenVINO is for the CPU")
        return OpenVINOEngine(
            network, precision=spec.precision, try_on=try_on, threads=wish.threads
        )
    if spec.engine == "compile":
        return CompiledEngine(network, device, precision=spec.precision, try_on=try_on)
    return EagerEngine(network, device, precision=spec.precision)


def fixed_input(card: ModelCard) -> torch.Tensor:
    """Return the images that engines are compared on: the same noise every time.

    Of several strengths: the scores of strong noise alone may lie at an end of the
    scale, where no difference shows.
    """
    shape = (len(_STRENGTHS), card.input.channels, *card.input.size)
    noise = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    strengths = np.array(_STRENGTHS, np.float32).reshape(-1, 1, 1, 1)
    return torch.from_numpy(noise * strengths)


def several_inputs(card: ModelCard) -> torch.Tensor:
    """Return more images, each another, of which a batch of eight can be made."""
    images = fixed_input(card)
    return torch.cat([images, images.flip(-1)])


def compare(
    engine: Engine, reference: Engine, images: torch.Tensor, calibrate: Calibrate
) -> float:
    """Return the largest difference of a score, not a number if there is one."""
    found, expected = (
        calibrate(item.run(images).cpu()) for item in (engine, reference)
    )
    scale = max(1.0, float(np.abs(expected).max()))
    return float(np.abs(found - expected).max()) / scale


def _refuse(reference: Engine, spec: EngineSpec, reason: str) -> Chosen:
    log.warning("engine refused", extra={"reason": f"{spec}: {reason}"})
    return Chosen(engine=reference, difference=0.0, refused=f"{spec}: {reason}")
