"""Classes that cards of the tests name: good ones and bad ones."""

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Thread, current_thread

import numpy as np
from safetensors.numpy import load_file

from dicom_node.core.types import Finding
from inference.api import Image, ModelCard
from inference.custom import CardModel


class MeanModel(CardModel):
    """Scores an image by its mean, scaled by the one weight of its bundle."""

    def load(self, device: str) -> None:
        self.device = device
        self.scale = load_file(self.card.weights_path)["scale"]

    def predict(self, batch: Image) -> Image:
        means = batch.mean(axis=(1, 2, 3), dtype=np.float64)
        scores = 1 / (1 + np.exp(-means * self.scale))
        repeated: Image = np.repeat(
            scores[:, None], len(self.card.classes), axis=1
        ).astype(np.float32)
        return repeated


class LoadedIn(MeanModel):
    """Remembers the thread that loaded it."""

    thread: Thread

    def load(self, device: str) -> None:
        LoadedIn.thread = current_thread()
        super().load(device)


class SlowToLoad(MeanModel):
    """Loads for as long as whoever opened the pipe HELD_IN_LOADING lets it."""

    def load(self, device: str) -> None:
        Path(os.environ["HELD_IN_LOADING"]).read_bytes()
        super().load(device)


class NaNModel(MeanModel):
    """Gives no numbers, but for a blank image."""

    def predict(self, batch: Image) -> Image:
        scores = super().predict(batch)
        scores[batch.any(axis=(1, 2, 3))] = np.nan
        return scores


class LogitModel(MeanModel):
    """Forgets the activation."""

    def predict(self, batch: Image) -> Image:
        return super().predict(batch) + 5


class WrongShape(MeanModel):
    """Gives one score for the whole batch."""

    def predict(self, batch: Image) -> Image:
        return super().predict(batch)[:1, :1].reshape(1)


class Broken(MeanModel):
    """Fails with a text that may hold anything."""

    def predict(self, batch: Image) -> Image:
        raise KeyError("Doe^Jane")


class Greedy(MeanModel):
    """Has memory for two images."""

    def predict(self, batch: Image) -> Image:
        if len(batch) > 2:
            raise MemoryError
        return super().predict(batch)


class NoModel:
    """Lacks everything but its card."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card

    def conclude(self, scores: Sequence[Sequence[float]]) -> tuple[Finding, ...]:
        return ()


def not_a_class(card: ModelCard) -> MeanModel:
    """Make a model, but not as a class does."""
    return MeanModel(card)
