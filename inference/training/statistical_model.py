"""Make the demo's pictures: a statistical model of the training images.

    python -m inference.training.statistical_model DATA BUNDLE OUTPUT.npz

The file holds the mean of the training images, principal components in 8 bits and
the coefficients of two pictures. The coefficients are random draws from the normal
distribution of each class, never a projection of an image; of the numbered draws
the first is taken that the bundle calls clearly, so that the demo has one Present
and one Absent. No image of a person can be read back: 64 numbers per picture, all
of them from a random generator.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from dicom_node.core.errors import UsageError
from inference.api import Image, ModelCard
from inference.card import load_card
from inference.pixels.prepare import prepare
from inference.training.calibrate import probabilities
from inference.training.network import load_network
from inference.training.samples import Sample, find_samples, read_plane

SIDE = 112
COMPONENTS = 64
# Every n-th image of a class, with n such that at least this many are left.
IMAGES_PER_CLASS = 1200
# Width of the draws in standard deviations of the class.
SPREAD = 1.0
CLEARLY_ABSENT, CLEARLY_PRESENT = 0.05, 0.95
DRAWS = 200
WHITE = 255.0

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """Principal components in 8 bits: image = mean + coefficients @ (values * scale).

    Args:
        mean: (rows, columns), grey levels 0 to 255.
        values: (count, rows, columns), int8.
        scale: (count,), grey levels of one step of `values` per unit coefficient.
    """

    mean: Floats
    values: npt.NDArray[np.int8]
    scale: Floats

    def draw(self, coefficients: Floats) -> Image:
        """Give the picture of some coefficients, (1, rows, columns) in [0, 1]."""
        steps = (coefficients * self.scale).astype(np.float32)
        image = self.mean + np.tensordot(steps, self.values.astype(np.float32), axes=1)
        picture: Image = np.clip(image / WHITE, 0, 1).astype(np.float32)[np.newaxis]
        return picture


def fit_components(images: Floats, count: int) -> Components:
    """Fit principal components, scaled to coefficients of unit variance.

    Args:
        images: (images, rows, columns), grey levels 0 to 255.
    """
    flat = torch.from_numpy(images.reshape(len(images), -1))
    mean = flat.mean(0)
    torch.manual_seed(0)
    _, sizes, axes = torch.pca_lowrank(flat - mean, q=count, center=False, niter=4)
    per_unit = (axes * sizes / (len(images) - 1) ** 0.5).T  # (count, pixels)
    scale = per_unit.abs().amax(1).clamp(min=1e-6) / 127
    shape = (count, *images.shape[1:])
    return Components(
        mean=mean.numpy().reshape(images.shape[1:]),
        values=(per_unit / scale[:, None])
        .round()
        .to(torch.int8)
        .numpy()
        .reshape(shape),
        scale=scale.numpy(),
    )


def project(components: Components, images: Floats) -> Floats:
    """Give the coefficients of images by least squares, (images, count)."""
    axes = components.values.reshape(len(components.scale), -1).astype(np.float32)
    axes = axes * components.scale[:, np.newaxis]
    centred = (images - components.mean).reshape(len(images), -1)
    result: Floats = np.linalg.solve(axes @ axes.T, axes @ centred.T).T
    return result.astype(np.float32)


def draw_coefficients(of_class: Floats, number: int) -> Floats:
    """Give the numbered draw from the normal distribution of a class."""
    generator = np.random.default_rng(number)
    spread = np.cov(of_class.T.astype(np.float64)) * SPREAD**2
    drawn = generator.multivariate_normal(of_class.mean(0), spread)
    return drawn.astype(np.float32)


def choose_draw(
    components: Components,
    of_class: Floats,
    bundle: tuple[ModelCard, torch.nn.Module],
    *,
    present: bool,
) -> tuple[int, Floats, float]:
    """Give the first draw that the bundle calls clearly, its number and probability.

    Raises:
        UsageError: none of the draws is clear.
    """
    for number in range(DRAWS):
        coefficients = draw_coefficients(of_class, number)
        chance = _predict(bundle, components.draw(coefficients))
        if chance >= CLEARLY_PRESENT if present else chance <= CLEARLY_ABSENT:
            return number, coefficients, chance
    raise UsageError(f"none of {DRAWS} draws is called clearly by the bundle")


def _predict(bundle: tuple[ModelCard, torch.nn.Module], picture: Image) -> float:
    card, network = bundle
    batch = torch.from_numpy(prepare(picture, card.input))[None]
    with torch.inference_mode():
        logits = network(batch.to(next(network.parameters()).device)).cpu()
    chance = probabilities(
        logits[:, 0].double().numpy(),
        slope=card.calibration.slope,
        intercept=card.calibration.intercept,
    )
    return float(chance[0])


def _read(samples: Sequence[Sample], *, present: bool) -> Floats:
    chosen = [
        sample
        for sample in samples
        if sample.present == present and not sample.validation
    ]
    planes = []
    for sample in chosen[:: max(1, len(chosen) // IMAGES_PER_CLASS)]:
        plane = torch.from_numpy(read_plane(sample.path))[None]
        small = torch.nn.functional.interpolate(
            plane, (SIDE, SIDE), mode="bilinear", antialias=True, align_corners=False
        )
        planes.append(small[0, 0].numpy() * WHITE)
    return np.stack(planes).astype(np.float32)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the file and say which draws it holds."""
    parser = argparse.ArgumentParser(description="Make the demo's pictures.")
    parser.add_argument("data", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args(arguments)
    samples = find_samples(options.data)
    by_name = {
        "present": _read(samples, present=True),
        "absent": _read(samples, present=False),
    }
    components = fit_components(np.concatenate(list(by_name.values())), COMPONENTS)
    card = load_card(options.bundle)
    bundle = card, load_network(card)
    coefficients = []
    for name, images in by_name.items():
        number, drawn, chance = choose_draw(
            components,
            project(components, images),
            bundle,
            present=name == "present",
        )
        print(f"{name}: draw {number}, probability {chance:.3f}")
        coefficients.append(drawn)
    np.savez_compressed(
        options.output,
        mean=components.mean.astype(np.float16),
        components=components.values,
        scale=components.scale,
        names=np.array(list(by_name)),
        coefficients=np.stack(coefficients),
    )
    print(f"{options.output}: {options.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
