"""Any timm architecture as a `Model`."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from dicom_node.core.errors import BundleError, DeviceLost, InferenceError
from dicom_node.core.types import Finding
from inference.api import Image, ModelCard
from inference.calibrate import calibrate
from inference.conclude import conclude
from inference.pixels.prepare import prepare
from inference.run.device import choose_device
from inference.run.engines.choose import Chosen, choose_engine
from inference.run.engines.eager import EagerEngine
from inference.run.options import EngineWish
from inference.vit.fit import fit_weights
from inference.vit.network import CONSTRUCTOR_ERRORS, create_network
from inference.vit.weights import read_weights

log = logging.getLogger("inference.model")

Forward = Callable[[torch.Tensor], torch.Tensor]

_ANY_ENGINE = EngineWish()


class TimmModel:
    """A timm model with the weights and the card of a bundle."""

    def __init__(self, card: ModelCard, wish: EngineWish = _ANY_ENGINE) -> None:
        self._card = card
        self._wish = wish
        self._device = torch.device("cpu")
        self._chosen: Chosen | None = None
        self._largest: int | None = None

    @property
    def card(self) -> ModelCard:
        """All that is known of the model."""
        return self._card

    @property
    def device(self) -> str:
        """Where the weights are, e.g. "cpu" or "cuda:0"."""
        return str(self._device)

    @property
    def chosen(self) -> Chosen:
        """The engine that runs it.

        Raises:
            InferenceError: the model is not loaded.
        """
        if self._chosen is None:
            raise InferenceError("the model is not loaded")
        return self._chosen

    def load(self, device: str) -> None:
        """Check the digest, bring the weights onto the device and try one image.

        Args:
            device: "auto" (cuda if there is one), "cpu", "cuda" or "cuda:1".

        Raises:
            BundleError: the bundle must not be used.
            InferenceError: there is no such device.
        """
        self._device = torch.device(choose_device(device))
        weights = read_weights(self._card)
        network = create_network(self._card)
        network.load_state_dict(fit_weights(network, weights), strict=True)
        network = network.eval().requires_grad_(False)
        self._try_once(network)
        try:
            self._chosen = choose_engine(
                network,
                self._card,
                device=self._device,
                wish=self._wish,
                calibrate=self._calibrate,
            )
        except torch.OutOfMemoryError:
            raise InferenceError(
                "the device is out of memory", retryable=True
            ) from None

    def _try_once(self, network: torch.nn.Module) -> None:
        """Refuse a network that does not take the card's input or give its classes."""
        rows, columns = self._card.input.size
        blank = torch.zeros(1, self._card.input.channels, rows, columns)
        try:
            logits = EagerEngine(network, self._device).run(blank)
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

        Raises:
            ScoreError, InferenceError: as `predict_tensor`.
        """
        images = np.ascontiguousarray(batch, dtype=np.float32)
        return self.predict_tensor(torch.from_numpy(images))

    def predict_tensor(self, batch: torch.Tensor) -> Image:
        """Score a batch that may be on the device already.

        A batch that the device has no memory for is halved, down to one image.

        Raises:
            ScoreError: a score is not a number.
            DeviceLost: the device does not answer any more.
            InferenceError: retryable, there is no memory for a single image.
        """
        return self.start(batch)()

    def start(self, batch: torch.Tensor) -> Callable[[], Image]:
        """Start a batch; what is returned waits for its scores.

        Raises:
            DeviceLost, InferenceError: as `predict_tensor`.
        """
        with _device_errors():
            logits = self._logits(batch)

        def finish() -> Image:
            with _device_errors():
                on_cpu = logits.cpu()
            return self._calibrate(on_cpu)

        return finish

    def conclude(self, scores: Sequence[Sequence[float]]) -> tuple[Finding, ...]:
        """Aggregate the images' scores into findings, one per reported class."""
        return conclude(self._card, scores)

    def _logits(self, batch: torch.Tensor) -> torch.Tensor:
        """Run a batch in pieces that the device had memory for so far."""
        pieces = torch.split(batch, self._largest or len(batch))
        return torch.cat([self._in_halves(piece) for piece in pieces])

    def _in_halves(self, images: torch.Tensor) -> torch.Tensor:
        run = self.chosen.engine.run
        smallest = len(images)

        def forward(part: torch.Tensor) -> torch.Tensor:
            nonlocal smallest
            smallest = min(smallest, len(part))
            return run(part)

        logits = forward_in_halves(forward, images)
        if smallest < len(images):
            self._largest = smallest
            log.warning("batch halved", extra={"count": smallest})
        return logits

    def _calibrate(self, logits: torch.Tensor) -> Image:
        return calibrate(logits, self._card.calibration, self._card.activation)


@contextmanager
def _device_errors() -> Iterator[None]:
    """Tell a lost device from one that failed once."""
    try:
        yield
    except torch.AcceleratorError as error:  # the context stays broken: restart
        raise DeviceLost("the device is lost", retryable=True) from error
    except RuntimeError as error:
        raise InferenceError(
            f"the device failed ({type(error).__name__})", retryable=True
        ) from error


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
