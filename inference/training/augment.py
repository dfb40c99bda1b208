"""Random changes that a reading of the lungs must survive.

They aim at what told the classes apart without being disease: the normal images of
the training data are larger and sharper, so sharpness, compression, noise, grey
scale, framing and borders are made random for both classes.
"""

import io
import math

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PillowImage

Pixels = npt.NDArray[np.uint8]
_FILTERS = (
    PillowImage.Resampling.BILINEAR,
    PillowImage.Resampling.BICUBIC,
    PillowImage.Resampling.BOX,
)


def augment(planes: Pixels, size: int, generator: np.random.Generator) -> torch.Tensor:
    """Give randomly changed model planes.

    Args:
        planes: (images, side, side), stored grey values.
        size: side of the result in pixels.

    Returns:
        (images, 1, size, size) in [0, 1].
    """
    worn = np.stack([_wear(plane, generator) for plane in planes])
    batch = torch.from_numpy(worn).float()[:, None] / 255
    batch = _move(batch, size, generator)
    batch = _regrade(batch, generator)
    for image in batch:
        _mask(image[0], generator)
    return batch


def _wear(plane: Pixels, generator: np.random.Generator) -> Pixels:
    """Lose resolution and compress, at the stored size."""
    side = plane.shape[0]
    if generator.random() < 0.6:
        small = int(generator.uniform(side / 3, side))
        down = _FILTERS[generator.integers(3)]
        up = _FILTERS[generator.integers(2)]
        picture = PillowImage.fromarray(plane).resize((small, small), down)
        plane = np.asarray(picture.resize((side, side), up))
    if generator.random() < 0.5:
        buffer = io.BytesIO()
        quality = int(generator.uniform(20, 90))
        PillowImage.fromarray(plane).save(buffer, "JPEG", quality=quality)
        plane = np.asarray(PillowImage.open(buffer))
    return plane


def _move(
    batch: torch.Tensor, size: int, generator: np.random.Generator
) -> torch.Tensor:
    """Flip, turn up to 12 degrees, crop, stretch and shift onto the model's size."""
    count = batch.shape[0]

    def draw(low: float, high: float) -> torch.Tensor:
        return torch.from_numpy(generator.uniform(low, high, count)).float()

    angle = draw(-12, 12) * math.pi / 180
    scale_x = draw(0.78, 1.06)
    scale_y = scale_x * torch.exp(draw(-0.15, 0.15))
    flip = torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0] = scale_x * angle.cos() * flip
    matrix[:, 0, 1] = -scale_y * angle.sin()
    matrix[:, 1, 0] = scale_x * angle.sin() * flip
    matrix[:, 1, 1] = scale_y * angle.cos()
    matrix[:, 0, 2] = draw(-1, 1) * (1 - scale_x).abs().clamp(min=0.06)
    matrix[:, 1, 2] = draw(-1, 1) * (1 - scale_y).abs().clamp(min=0.06)
    grid = torch.nn.functional.affine_grid(
        matrix, [count, 1, size, size], align_corners=False
    )
    side = batch.shape[-1]
    if size < side:  # grid_sample does not antialias
        batch = torch.nn.functional.interpolate(
            batch, (size, size), mode="bilinear", antialias=True, align_corners=False
        )
    return torch.nn.functional.grid_sample(batch, grid, align_corners=False)


def _regrade(batch: torch.Tensor, generator: np.random.Generator) -> torch.Tensor:
    """Change gamma, contrast, brightness and noise."""
    count = batch.shape[0]

    def draw(low: float, high: float) -> torch.Tensor:
        drawn = torch.from_numpy(generator.uniform(low, high, count)).float()
        return drawn.view(count, 1, 1, 1)

    batch = batch.clamp(1e-4, 1) ** torch.exp(draw(-0.4, 0.4))
    mean = batch.mean((1, 2, 3), keepdim=True)
    batch = (batch - mean) * torch.exp(draw(-0.35, 0.35)) + mean + draw(-0.15, 0.15)
    strength = draw(0, 0.04) * (draw(0, 1) < 0.4)
    noise = generator.standard_normal(batch.shape, dtype=np.float32)
    return (batch + torch.from_numpy(noise) * strength).clamp(0, 1)


def _mask(plane: torch.Tensor, generator: np.random.Generator) -> None:
    """Paint over one border and one rectangle, sometimes."""
    size = plane.shape[-1]
    if generator.random() < 0.3:
        width = int(generator.uniform(0, 0.12) * size)
        grey = float(generator.choice([0.0, 0.0, generator.random()]))
        index = int(generator.integers(4))
        view = plane if index < 2 else plane.T  # a view: painting changes plane
        if width:
            (view[:width] if index % 2 == 0 else view[-width:]).fill_(grey)
    if generator.random() < 0.3:
        height, width = (generator.uniform(0.1, 0.3, 2) * size).astype(int)
        top = int(generator.integers(max(1, size - height)))
        left = int(generator.integers(max(1, size - width)))
        plane[top : top + height, left : left + width] = float(generator.random())
