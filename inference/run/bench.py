"""How fast a model is on this machine."""

import time
from dataclasses import dataclass

import numpy as np

from inference.api import ModelCard
from inference.vit.model import TimmModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What was measured, without decoding."""

    device: str
    batch_size: int
    images: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        """Images that went through the model in a second."""
        return self.images / self.seconds


def bench(
    card: ModelCard,
    device: str,
    *,
    batch_size: int | None = None,
    min_seconds: float = 3.0,
) -> Speed:
    """Score noise in batches for at least `min_seconds`, after one batch to warm up.

    Raises:
        BundleError: the bundle must not be used.
        InferenceError: the device is not there or has no memory for one image.
    """
    model = TimmModel(card)
    model.load(device)
    size = batch_size or card.batch_size
    noise = np.random.default_rng(0).standard_normal(
        (size, card.input.channels, *card.input.size), dtype=np.float32
    )
    model.predict(noise)
    images, start = 0, time.monotonic()
    while not images or time.monotonic() - start < min_seconds:
        model.predict(noise)  # waits for the device: the scores come back
        images += size
    return Speed(
        device=model.device,
        batch_size=size,
        images=images,
        seconds=time.monotonic() - start,
    )
