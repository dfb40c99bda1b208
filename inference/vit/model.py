"""Any timm architecture as a `Model`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from dicom_node.core.errors import BundleError, InferenceError
from dicom_node.core.types import Finding
from inference.api import Image, ModelCard
from inference.calibrate import calibrate
from inference.conclude import conclude
from inference.pixels.prepare import prepare
from inference.run.device import choose_device
from inference.vit.fit import fit_weights
from inference.vit.network import CONSTRUCTOR_ERRORS, create_network
from inference.vit.weights import read_weights

Forward = Callable[[torch.Tensor], torch.Tensor]


class TimmModel:
    """A timm model with the weights and the card of a bundle."""

    def __init__(self, card: ModelCard) -> None:
        self._card = card
        self._device = torch.device("cpu")
        self._network: torch.nn.Module | None = None

    @property
    def card(self) -> ModelCard:
        """All that is known of the model."""
        return self._card

    @property
    def device(self) -> str:
        """Where the weights are, e.g. "cpu" or "cuda:0"."""
        return str(self._device)

    def load(self, device: str) -> None:
        """Check the digest, bring the weights onto the device and try one image.

        Args:
            device: "auto" (cuda if there is one), "cpu", "cuda" or "cuda:1".

        Raises:
            BundleError: the bundle must not be used.
            InferenceError: there is no such device.
        """
        chosen = choose_device(device)
        weights = read_weights(self._card)
        network = create_network(self._card)
        network.load_state_dict(fit_weights(network, weights), strict=True)
        self._device = torch.device(chosen)
        self._network = network.eval().requires_grad_(False).to(self._device)
        self._try_once()

    def _try_once(self) -> None:
        """Refuse a network that does not take the card's input or give its classes."""
        rows, columns = self._card.input.size
        blank = np.zeros((1, self._card.input.channels, rows, columns), np.float32)
        try:
            logits = self._logits(torch.from_numpy(blank))
        except torch.OutOfMemoryError:
            raise InferenceError(
                "the device is out of memory", retryable=True
            ) from None
        except CONSTRUCTOR_ERRORS as error:
            raise BundleError(
                f"the architecture takes no input of {rows} x {columns} pixels: "
                f"{type(error).__name__}"
            ) from error
        if logits.shape != (1, len(self._card.classes)):
            raise BundleError("the architecture does not give one score per class")

    def prepare(self, frames: Image) -> Image:
        """Turn windowed values, (planes, rows, columns), into model input."""
        return prepare(frames, self._card.input)

    def predict(self, batch: Image) -> Image:
        """Score a batch: calibrated probabilities, (images, classes).

        A batch that the device has no memory for is halved, down to one image.

        Raises:
            InferenceError: a score is not a number, or (retryable) there is no
                memory for a single image.
        """
        images = torch.from_numpy(np.ascontiguousarray(batch, dtype=np.float32))
        try:
            logits = forward_in_halves(self._logits, images)
        except RuntimeError as error:  # a lost device, a failed kernel
            raise InferenceError(
                f"the device failed ({type(error).__name__})", retryable=True
            ) from error
        return calibrate(logits, self._card.calibration, self._card.activation)

    def conclude(self, scores: Sequence[Sequence[float]]) -> tuple[Finding, ...]:
        """Aggregate the images' scores into findings, one per reported class."""
        return conclude(self._card, scores)

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        if self._network is None:
            raise InferenceError("the model is not loaded")
        with torch.inference_mode():
            output: Any = self._network(images.to(self._device))
            if not isinstance(output, torch.Tensor):
                raise BundleError("the architecture does not give one score per class")
            return output.to(device="cpu", dtype=torch.float32)


def forward_in_halves(forward: Forward, images: torch.Tensor) -> torch.Tensor:
    """Run a batch, halved as long as the device has no memory for it.

    Raises:
        InferenceError: no memory for one image; retryable.
    """
    try:
        return forward(images)
    except torch.OutOfMemoryError:
        if len(images) <= 1:
            raise InferenceError(
                "the device has no memory for one image", retryable=True
            ) from None
    # Outside the handler: the exception's traceback would keep tensors alive.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    middle = len(images) // 2
    halves = (images[:middle], images[middle:])
    return torch.cat([forward_in_halves(forward, half) for half in halves])
