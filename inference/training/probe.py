"""Linear probes: the head fitted to what a network sees, the rest left alone."""

import numpy as np
import numpy.typing as npt
import torch

from inference.training.augment import Pixels, augment
from inference.training.bundle import input_spec
from inference.training.network import features_of, fit_probe, set_head
from inference.training.options import Progress, Report, TrainOptions
from inference.training.scoring import normalise

Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

START_PENALTY = 3e-2
REFIT_PENALTY = 3e-3


def start_head(
    network: torch.nn.Module,
    planes: Pixels,
    present: Flags,
    options: TrainOptions,
    report: Report,
) -> None:
    """Start the head on a draw of both classes, half of it augmented."""
    generator = np.random.default_rng([options.seed, 0])
    chosen = _draw(present, options.probe_images, generator)
    half = len(chosen) // 2
    whole = Work(network, planes, options, report, total=len(chosen))
    features = torch.cat(
        [whole.see(chosen[:half], generator), whole.see(chosen[half:], None)]
    )
    _fit(network, features, present[chosen], penalty=START_PENALTY)


def refit_head(
    network: torch.nn.Module,
    planes: Pixels,
    present: Flags,
    options: TrainOptions,
    report: Report,
) -> None:
    """Fit the head to every image and to an augmented draw of both classes.

    Blended weights see differently from those that the head was trained with.
    """
    generator = np.random.default_rng([options.seed, 3])
    everything = np.arange(len(present))
    drawn = _draw(present, options.probe_images, generator)
    whole = Work(network, planes, options, report, total=len(present) + len(drawn))
    features = torch.cat([whole.see(everything, None), whole.see(drawn, generator)])
    _fit(
        network,
        features,
        np.concatenate([present, present[drawn]]),
        penalty=REFIT_PENALTY,
    )


class Work:
    """Features of many images, with progress."""

    def __init__(
        self,
        network: torch.nn.Module,
        planes: Pixels,
        options: TrainOptions,
        report: Report,
        *,
        total: int,
    ) -> None:
        self.network, self.planes, self.options = network.eval(), planes, options
        self.report, self.done, self.total = report, 0, total
        self.spec = input_spec(options.size)

    def see(
        self, chosen: Indices, generator: np.random.Generator | None
    ) -> torch.Tensor:
        """Give the features of some images, augmented where there is a generator."""
        device = next(self.network.parameters()).device
        size = self.options.batch_size
        found = []
        for start in range(0, len(chosen), size):
            part = self.planes[chosen[start : start + size]]
            batch = (
                _stretch(part, self.spec.size)
                if generator is None
                else augment(part, self.options.size, generator)
            )
            with torch.no_grad():
                seen = features_of(self.network, normalise(batch, self.spec).to(device))
            found.append(seen.float().cpu())
            self.done += len(part)
            self.report(Progress(stage="probe", done=self.done, total=self.total))
        return torch.cat(found)


def _stretch(planes: Pixels, size: tuple[int, int]) -> torch.Tensor:
    batch = torch.from_numpy(planes).float()[:, None] / 255
    return torch.nn.functional.interpolate(
        batch, size, mode="bilinear", antialias=True, align_corners=False
    )


def _draw(present: Flags, per_class: int, generator: np.random.Generator) -> Indices:
    """Draw images of both classes in a mixed order."""
    members = [
        generator.permutation(np.flatnonzero(present == value))[:per_class]
        for value in (False, True)
    ]
    return generator.permutation(np.concatenate(members))


def _fit(
    network: torch.nn.Module, features: torch.Tensor, present: Flags, *, penalty: float
) -> None:
    weight, bias = fit_probe(features, torch.from_numpy(present), penalty=penalty)
    set_head(network, weight, bias)
