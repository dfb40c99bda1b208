"""The training loop: balanced batches, seeded by step, resumable at any checkpoint."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PillowImage

from inference.api import InputSpec
from inference.training.augment import Pixels, augment
from inference.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from inference.training.network import (
    Parameters,
    parameter_groups,
)
from inference.training.options import Progress, Report, TrainOptions
from inference.training.probe import refit_head, start_head
from inference.training.samples import Sample, read_plane
from inference.training.scoring import normalise

LAYER_DECAY = 0.75
LABEL_SMOOTHING = 0.05
WARM_UP_STEPS = 12
AVERAGE_DECAY = 0.98
# Images are kept in memory a third larger than the model's input, so that crops and
# lost resolution have something to take from.
STORED_SCALE = 4 / 3


def fine_tune(
    network: torch.nn.Module,
    samples: Sequence[Sample],
    spec: InputSpec,
    options: TrainOptions,
    report: Report,
) -> tuple[Parameters, int]:
    """Fine-tune and give the weights and the number of steps.

    A linear probe starts the head; the fine-tuned weights are blended with those
    of the start; and the head is fitted again to what the blend sees.

    Every random choice of a step follows from the seed and the step's number, so
    that a resumed run gives the weights of an uninterrupted one.
    """
    planes = _read(samples, round(spec.size[0] * STORED_SCALE), report)
    present = np.array([sample.present for sample in samples])
    total = options.epochs * math.ceil(
        2 * min(int(present.sum()), int((~present).sum())) / options.batch_size
    )
    checkpoint = (
        load_checkpoint(options.output, options.settings()) if options.resume else None
    )
    if checkpoint is None and options.probe_images and options.base_weights:
        start_head(network, planes, present, options, report)
    run = _Run(network, options, total)
    if checkpoint is not None:
        run.restore(checkpoint)
    loss = math.nan
    while run.step < total:
        chosen = _choose(present, run.step, options)
        generator = np.random.default_rng([options.seed, 2, run.step])
        batch = normalise(augment(planes[chosen], spec.size[0], generator), spec)
        value = run.advance(batch, torch.from_numpy(present[chosen]).float())
        loss = value if math.isnan(loss) else 0.95 * loss + 0.05 * value
        report(Progress(stage="train", done=run.step, total=total, loss=loss))
        if run.step % options.checkpoint_steps == 0 or run.step == total:
            save_checkpoint(options.output, run.checkpoint())
    network.load_state_dict(run.result())
    if options.probe_images:
        refit_head(network, planes, present, options, report)
    return network.state_dict(), total


class _Run:
    """Network, averaged weights and optimiser at one step."""

    def __init__(
        self, network: torch.nn.Module, options: TrainOptions, total: int
    ) -> None:
        self.network, self.options, self.total = network, options, total
        self.step = 0
        groups = parameter_groups(
            network,
            learning_rate=options.learning_rate,
            layer_decay=LAYER_DECAY,
            frozen_blocks=options.frozen_blocks,
        )
        self.optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98))
        self.rates = [group["lr"] for group in self.optimiser.param_groups]
        self.trained = {
            name: parameter
            for name, parameter in network.named_parameters()
            if parameter.requires_grad
        }
        self.device = next(network.parameters()).device
        self.start: Parameters = {
            name: item.detach().clone() for name, item in network.state_dict().items()
        }
        self.average = {name: item.clone() for name, item in self.start.items()}

    def advance(self, batch: torch.Tensor, present: torch.Tensor) -> float:
        """Take one step and give its loss."""
        torch.manual_seed(self.options.seed * 1_000_003 + self.step)
        self._set_rates()
        self.network.train()
        logits = self.network(batch.to(self.device))[:, 0]
        target = present * (1 - LABEL_SMOOTHING) + LABEL_SMOOTHING / 2
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, target.to(self.device)
        )
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(self.trained.values(), 1.0)
        self.optimiser.step()
        keep = min(AVERAGE_DECAY, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, item in self.trained.items():
                self.average[name].lerp_(item, 1 - keep)
        self.step += 1
        return float(loss.detach())

    def result(self) -> Parameters:
        """Give the averaged weights, blended with those of the start."""
        return {
            name: torch.lerp(self.start[name], item, self.options.blend)
            if name in self.trained
            else item
            for name, item in self.average.items()
        }

    def checkpoint(self) -> Checkpoint:
        """Give all that a later run needs to go on."""
        tensors: Parameters = {}
        for name, item in self.trained.items():
            moments = self.optimiser.state[item]
            tensors[f"weight.{name}"] = item.detach()
            tensors[f"average.{name}"] = self.average[name]
            tensors[f"start.{name}"] = self.start[name]
            for key in ("step", "exp_avg", "exp_avg_sq"):
                tensors[f"{key}.{name}"] = moments[key]
        return Checkpoint(
            step=self.step, tensors=tensors, settings=self.options.settings()
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint."""
        self.step = checkpoint.step
        with torch.no_grad():
            for name, item in self.trained.items():
                item.copy_(checkpoint.tensors[f"weight.{name}"])
                self.average[name].copy_(checkpoint.tensors[f"average.{name}"])
                self.start[name].copy_(checkpoint.tensors[f"start.{name}"])
                self.optimiser.state[item] = {
                    key: checkpoint.tensors[f"{key}.{name}"].to(
                        "cpu" if key == "step" else self.device
                    )
                    for key in ("step", "exp_avg", "exp_avg_sq")
                }

    def _set_rates(self) -> None:
        """Warm up linearly, then fall as a cosine to 2 %."""
        warm = min(1.0, (self.step + 1) / WARM_UP_STEPS)
        way = max(0, self.step - WARM_UP_STEPS) / max(1, self.total - WARM_UP_STEPS)
        factor = warm * (0.98 * 0.5 * (1 + math.cos(math.pi * way)) + 0.02)
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor


def _read(samples: Sequence[Sample], side: int, report: Report) -> Pixels:
    """Read every image as 8-bit grey values, stretched to a square."""
    planes = np.empty((len(samples), side, side), dtype=np.uint8)
    for index, sample in enumerate(samples):
        plane = np.round(read_plane(sample.path)[0] * 255).astype(np.uint8)
        if plane.shape != (side, side):
            picture = PillowImage.fromarray(plane)
            plane = np.asarray(
                picture.resize((side, side), PillowImage.Resampling.BILINEAR)
            )
        planes[index] = plane
        report(Progress(stage="read", done=index + 1, total=len(samples)))
    return planes


def _choose(
    present: npt.NDArray[np.bool_], step: int, options: TrainOptions
) -> npt.NDArray[np.intp]:
    """Give the indices of a step's batch: half of each class, no image twice per round.

    Rounds of each class are permutations seeded by the round's number.
    """
    chosen = []
    halves = (options.batch_size // 2, options.batch_size - options.batch_size // 2)
    for value, half in zip((False, True), halves, strict=True):
        members = np.flatnonzero(present == value)
        for place in range(step * half, (step + 1) * half):
            turn, index = divmod(place, members.size)
            order = np.random.default_rng([options.seed, 1, int(value), turn])
            chosen.append(members[order.permutation(members.size)[index]])
    return np.array(chosen, dtype=np.intp)
