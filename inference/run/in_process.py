"""Run models in this process, each loaded once and kept warm."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import torch

from dicom_node.core.clock import Clock, SystemClock
from dicom_node.core.states import Outcome
from dicom_node.core.types import ImageResult, InputFile, Prediction
from inference.api import Calibration, ModelCard
from inference.bundle import find_bundle, stamp_bundle
from inference.conclude import decide
from inference.custom import AnyModel, create_model
from inference.groups import conclude_groups
from inference.provenance import (
    canonical_settings,
    describe_machinery,
    settings_digest,
    trace,
)
from inference.run.images import evaluate_images
from inference.select.choose import select

_REASONS_SHOWN = 4
_NO_PIXELS = "there is no pixel data"


@dataclass(frozen=True, slots=True)
class _Warm:
    """A loaded model and what its files looked like then."""

    model: AnyModel
    stamp: tuple[tuple[str, int, int, int], ...]


class InProcessExecutor:
    """The default `Executor`: one process, one device, one study at a time."""

    def __init__(
        self,
        folder: Path | None,
        *,
        device: str = "auto",
        threads: int = 0,
        python_classes: Sequence[str] = (),
        clock: Clock | None = None,
    ) -> None:
        """Keep where bundles lie and what to run them on; nothing is loaded yet.

        Args:
            folder: the drop-in folder, None for shipped bundles only.
            threads: of torch on the CPU; 0 leaves it to torch.
            python_classes: globs of the classes that a card may name.
        """
        if threads:
            torch.set_num_threads(threads)
        self._folder = folder
        self._device = device
        self._python_classes = tuple(python_classes)
        self._clock = clock or SystemClock()
        self._warm: dict[str, _Warm] = {}
        self._lock = Lock()

    def predict(self, model: str, files: Sequence[InputFile]) -> Prediction:
        """Run a model on the files of a study.

        Raises:
            BundleError: the bundle is not there or must not be used.
            InferenceError: the device cannot run it; `retryable` says whether later.
        """
        with self._lock:
            started_at = self._clock.now()
            loaded = self._load(model)
            card = loaded.card
            selection = select(files, card)
            images = evaluate_images(loaded, selection.choices)
            findings = conclude_groups(loaded, images, files)
            outcome, reason = settle_outcome(images)
            return Prediction(
                outcome=outcome or decide(findings),
                reason=reason,
                model=card.name,
                model_version=card.version,
                manufacturer=card.manufacturer,
                device_uid=card.device_uid,
                weights_sha256=card.weights_sha256,
                findings=findings,
                images=images,
                parameters=(
                    *_parameters(card, images, loaded.device),
                    *selection.parameters,
                ),
                research_only=card.research_only,
                started_at=started_at,
                finished_at=self._clock.now(),
                provenance=trace(
                    loaded,
                    files,
                    machinery=describe_machinery(
                        engine="eager", precision="fp32", device=loaded.device
                    ),
                ),
            )

    def close(self) -> None:
        """Let go of all models and of the device's memory."""
        with self._lock:
            self._warm.clear()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _load(self, name: str) -> AnyModel:
        """Return the model, loaded anew if a file of its bundle was touched."""
        card = find_bundle(name, self._folder)
        stamp = stamp_bundle(card.folder)
        warm = self._warm.get(name)
        if warm and warm.stamp == stamp and warm.model.card == card:
            return warm.model
        self._warm.pop(name, None)
        model = create_model(card, self._python_classes)
        model.load(self._device)
        self._warm[name] = _Warm(model, stamp)
        return model


def settle_outcome(images: Sequence[ImageResult]) -> tuple[Outcome | None, str]:
    """Say what the images come to and why; None where the findings decide.

    Returns:
        not_evaluated when no image is within the scope, failed when all of those
        failed; otherwise None, with the images that failed in the reason.
    """
    failed = [image.error for image in images if image.error]
    evaluated = sum(1 for image in images if image.scores)
    if evaluated:
        within = evaluated + len(failed)
        reason = f"{len(failed)} of {within} images failed: {summarise(failed)}"
        return None, reason if failed else ""
    if failed:
        return Outcome.FAILED, summarise(failed)
    skipped = [image.skipped for image in images]
    # Reports and presentation states beside images do not explain anything.
    telling = [reason for reason in skipped if reason != _NO_PIXELS] or skipped
    return Outcome.NOT_EVALUATED, summarise(telling) or "The study has no images"


def summarise(reasons: Sequence[str]) -> str:
    """Make one text of the reasons of several images, the most frequent first."""
    counted = sorted(Counter(reasons).items(), key=lambda item: (-item[1], item[0]))
    if len(counted) <= 1:
        return "".join(_capital(reason) for reason, _ in counted)
    parts = [
        f"{count} image{'s' if count > 1 else ''}: {_capital(reason)}"
        for reason, count in counted[:_REASONS_SHOWN]
    ]
    if rest := sum(count for _, count in counted[_REASONS_SHOWN:]):
        parts.append(f"{rest} more for other reasons")
    return ". ".join(parts)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _parameters(
    card: ModelCard, images: Sequence[ImageResult], device: str
) -> tuple[tuple[str, str], ...]:
    """Say what a reader of a score, or who repeats it, needs to know."""
    windowings = sorted({image.windowing for image in images if image.windowing})
    spec = card.input
    named = {
        "architecture": card.architecture or card.python_class,
        "input": f"{spec.size[0]}x{spec.size[1]}, {spec.resize}",
        "preprocessing": settings_digest(canonical_settings(card))[:12],
        "windowing": ", ".join(windowings),
        "aggregation over frames": card.aggregate_frames,
        "aggregation over images": card.aggregate_images,
        "findings by": card.group_by if card.group_by != "none" else "",
        "activation": card.activation,
        "calibration": _calibration(card.calibration),
        "threshold source": "model card",
        "torch": torch.__version__,
        "device": device,
    }
    return tuple((name, text) for name, text in named.items() if text)


def _calibration(calibration: Calibration) -> str:
    if calibration.method == "none":
        return "none"
    slope, intercept = calibration.slope, calibration.intercept
    return f"{calibration.method}, slope {slope:g}, intercept {intercept:g}"
