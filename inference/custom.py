"""Models as the engine takes them: of timm, or a Python class by dotted path."""

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dicom_node.core.errors import BundleError, InferenceError, ScoreError
from dicom_node.core.types import Finding
from inference.api import Image, Model, ModelCard
from inference.conclude import conclude
from inference.pixels.prepare import prepare
from inference.run.device import choose_device
from inference.run.options import EngineWish
from inference.vit.model import TimmModel
from inference.vit.weights import digest_fault, read_content

_METHODS = ("load", "prepare", "predict", "conclude")
_CARD_NAME = "card.toml"
_ANY_ENGINE = EngineWish()


def create_model(
    card: ModelCard, allowed: Sequence[str] = (), wish: EngineWish = _ANY_ENGINE
) -> "AnyModel":
    """Make the model of a card; nothing is loaded yet.

    Args:
        allowed: `models.python_classes` of the configuration: globs of dotted paths.
        wish: of the engine; a class of one's own brings its own.

    Raises:
        BundleError: the card names a class that is not allowed, not there, or no
            `Model`.
    """
    if card.python_class:
        return ClassModel(card, allowed)
    return TimmModel(card, wish)


class CardModel:
    """A start for a class of one's own: `load` and `predict` are still to be written.

    Input is prepared and scores are concluded as the card says.
    """

    def __init__(self, card: ModelCard) -> None:
        self._card = card

    @property
    def card(self) -> ModelCard:
        """All that is known of the model."""
        return self._card

    def prepare(self, frames: Image) -> Image:
        """Turn windowed values, (planes, rows, columns), into model input."""
        return prepare(frames, self._card.input)

    def conclude(self, scores: Sequence[Sequence[float]]) -> tuple[Finding, ...]:
        """Aggregate the images' scores into findings, one per reported class."""
        return conclude(self._card, scores)


class ClassModel:
    """A class by dotted path, held to what a `Model` must do."""

    def __init__(self, card: ModelCard, allowed: Sequence[str]) -> None:
        self._card = card
        self._device = "cpu"
        made = resolve_class(card, allowed)
        try:
            self._inner: Model = made(card)
        except Exception as error:
            raise BundleError(
                f"{card.python_class} cannot be made of its card: "
                f"{type(error).__name__}"
            ) from error
        lacking = [
            name for name in _METHODS if not callable(getattr(self._inner, name, None))
        ]
        if lacking:
            raise BundleError(
                f"{card.python_class} is no Model: it lacks {', '.join(lacking)}"
            )

    @property
    def card(self) -> ModelCard:
        """All that is known of the model."""
        return self._card

    @property
    def device(self) -> str:
        """Where the model was told to be, e.g. "cpu" or "cuda:0"."""
        return self._device

    @property
    def made_of(self) -> type:
        """The class itself, whose source is part of what a result depends on."""
        return type(self._inner)

    def load(self, device: str) -> None:
        """Check the digest of the weights, then let the class load them.

        Raises:
            BundleError: the bundle must not be used.
            InferenceError: there is no such device, or no memory on it.
        """
        chosen = choose_device(device)
        if fault := digest_fault(self._card, read_content(self._card.folder)):
            raise BundleError(fault)
        try:
            self._inner.load(chosen)
        except (BundleError, InferenceError):
            raise
        except torch.OutOfMemoryError:
            raise InferenceError(
                "the device is out of memory", retryable=True
            ) from None
        except Exception as error:
            raise BundleError(
                f"{self._card.python_class} cannot load its weights: "
                f"{type(error).__name__}"
            ) from error
        self._device = chosen
        blank = np.zeros(
            (1, self._card.input.channels, *self._card.input.size), np.float32
        )
        try:
            self.predict(blank)
        except InferenceError as error:
            if error.retryable:
                raise
            raise BundleError(f"the class cannot score an image: {error}") from error

    def prepare(self, frames: Image) -> Image:
        """Turn windowed values, (planes, rows, columns), into model input."""
        return self._inner.prepare(frames)

    def predict(self, batch: Image) -> Image:
        """Score a batch, (images, classes).

        A batch that there is no memory for is halved, down to one image.

        Raises:
            ScoreError: a score is no number, or no probability where it should be.
            InferenceError: the class failed; retryable without memory for one image.
        """
        try:
            scores = np.asarray(self._inner.predict(batch))
        except InferenceError:
            raise
        except (torch.OutOfMemoryError, MemoryError):
            if len(batch) <= 1:
                raise InferenceError(
                    "there is no memory for one image", retryable=True
                ) from None
            middle = len(batch) // 2
            halves = (batch[:middle], batch[middle:])
            return np.concatenate([self.predict(half) for half in halves])
        except Exception as error:  # noqa: BLE001 - its text may hold data
            raise InferenceError(
                f"{self._card.python_class} failed ({type(error).__name__})"
            ) from None
        return self._checked(scores, len(batch))

    def conclude(self, scores: Sequence[Sequence[float]]) -> tuple[Finding, ...]:
        """Aggregate the images' scores into findings.

        Raises:
            InferenceError: the class failed, or gave something else.
        """
        try:
            findings = tuple(self._inner.conclude(scores))
        except InferenceError:
            raise
        except Exception as error:  # noqa: BLE001 - its text may hold data
            raise InferenceError(
                f"{self._card.python_class} failed ({type(error).__name__})"
            ) from None
        if not all(isinstance(item, Finding) for item in findings):
            raise InferenceError("conclude did not give findings")
        return findings

    def _checked(self, scores: Any, images: int) -> Image:
        classes = len(self._card.classes)
        if scores.shape != (images, classes) or scores.dtype.kind != "f":
            raise InferenceError(
                f"{self._card.python_class} must give one float for each of "
                f"{classes} classes and each image"
            )
        result: Image = scores.astype(np.float32, copy=False)
        if not bool(np.isfinite(result).all()):
            raise ScoreError("the model gave a score that is not a number")
        if not self._card.measures and not bool(((result >= 0) & (result <= 1)).all()):
            raise ScoreError("the model gave a score that is not a probability")
        return result


AnyModel = TimmModel | ClassModel


def resolve_class(card: ModelCard, allowed: Sequence[str]) -> Any:
    """Import the class that a card names, if the configuration allows it.

    It comes from an installed package, never from a bundle: whoever may drop a
    folder must not thereby run code.

    Raises:
        BundleError: not allowed, not there, or part of a bundle.
    """
    module_name, _, name = card.python_class.partition(":")
    dotted = (module_name, f"{module_name}.{name}", card.python_class)
    if not any(fnmatchcase(path, glob) for glob in allowed for path in dotted):
        raise BundleError(
            f"network.python_class {card.python_class} runs code and is not among "
            "models.python_classes of the configuration: add it there if you trust it"
        )
    try:
        _refuse_bundles(importlib.util.find_spec(module_name.split(".")[0]))
        module = importlib.import_module(module_name)
        _refuse_bundles(module.__spec__)
        found = getattr(module, name)
    except BundleError:
        raise
    except Exception as error:
        raise BundleError(
            f"{card.python_class} cannot be imported ({type(error).__name__}): "
            "install its package beside the node"
        ) from error
    if not isinstance(found, type):
        raise BundleError(f"{card.python_class} is no class")
    return found


def _refuse_bundles(spec: Any) -> None:
    """Refuse a module whose file lies in a folder with a card, or below one."""
    if spec is None:
        raise ModuleNotFoundError
    for path in _places(spec):
        if any((folder / _CARD_NAME).exists() for folder in (path, *path.parents)):
            raise BundleError(
                "network.python_class is found inside a bundle: code is never taken "
                "from there; install it as a package"
            )


def _places(spec: Any) -> Iterator[Path]:
    if spec.origin and spec.origin not in {"built-in", "frozen", "namespace"}:
        yield Path(spec.origin).resolve()
    for place in spec.submodule_search_locations or ():
        yield Path(place).resolve()
