"""A model alone: ready tensors in, scores out, as the node's worker would run it."""

import time
from pathlib import Path
from typing import Final

import numpy as np

from inference.api import Image
from inference.card import load_card
from inference.vit.model import TimmModel

_TRIES: Final = 3


class BareModel:
    """The model of a bundle on ready tensors, in batches of the card's size."""

    def __init__(self, bundle: Path) -> None:
        card = load_card(bundle)
        self._model = TimmModel(card)
        self._model.load("cpu")
        self.batch_size = card.batch_size
        shape = (card.batch_size, card.input.channels, *card.input.size)
        noise = np.random.default_rng(0)
        self._batch: Image = noise.standard_normal(shape, dtype=np.float32)

    def run(self) -> int:
        """Score one batch; return its images."""
        self._model.predict(self._batch)
        return self.batch_size

    def seconds_of_one(self) -> float:
        """Score a single image a few times and return the shortest time."""
        found = []
        for _ in range(_TRIES):
            begun = time.perf_counter()
            self._model.predict(self._batch[:1])
            found.append(time.perf_counter() - begun)
        return min(found)
