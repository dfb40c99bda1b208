"""Run models in this process, each loaded once and kept warm."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Lock

import torch

from dicom_node.core.clock import Clock, SystemClock
from dicom_node.core.errors import BundleError, DeviceLost, InferenceError
from dicom_node.core.types import ImageResult, InputFile, Prediction
from inference.bundle import find_bundle, stamp_bundle
from inference.conclude import decide
from inference.custom import AnyModel, create_model
from inference.groups import conclude_groups
from inference.guard.guard import Guard
from inference.pixels.layout import PixelLimits
from inference.provenance import describe_machinery, trace
from inference.run.images import Line, Machine
from inference.run.options import RunOptions, in_passing_thread
from inference.run.outcome import settle_outcome
from inference.run.parameters import describe_engine, describe_run, engine_of
from inference.select.choose import select

log = logging.getLogger("inference.executor")

_DEFAULTS = RunOptions()


@dataclass(slots=True)
class _Warm:
    """A loaded model, what its files looked like then, and how many use it."""

    line: Line
    model: AnyModel
    stamp: tuple[tuple[str, int, int, int], ...]
    users: int = 0


class InProcessExecutor:
    """The default `Executor`: one process, one device, several studies at a time.

    `predict` may be called from several threads; their images share batches.
    """

    def __init__(
        self,
        folder: Path | None,
        options: RunOptions = _DEFAULTS,
        *,
        python_classes: Sequence[str] = (),
        clock: Clock | None = None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep where bundles lie and what to run them on; nothing is loaded yet.

        Args:
            folder: the drop-in folder, None for shipped bundles only.
            python_classes: globs of the classes that a card may name.
            on_lost: called when the device is lost: the process is of no more use.
        """
        self._threads = options.wish.threads or torch.get_num_threads()
        torch.set_num_threads(self._threads)
        self._folder = folder
        self._options = options
        self._python_classes = tuple(python_classes)
        self._clock = clock or SystemClock()
        self._on_lost = on_lost
        self._machine = Machine(options)
        self._warm: dict[str, _Warm] = {}
        self._lock = Lock()

    @property
    def guard(self) -> Guard:
        """What stands beside the decoders, for whoever else decodes here."""
        return self._machine.guard

    @property
    def limits(self) -> PixelLimits:
        """What an image may claim to be before it is not decoded."""
        return self._options.limits

    def predict(self, model: str, files: Sequence[InputFile]) -> Prediction:
        """Run a model on the files of a study.

        Raises:
            BundleError: the bundle is not there or must not be used.
            InferenceError: the device cannot run it; `retryable` says whether later.
        """
        started_at = self._clock.now()
        try:
            with self._using(model) as warm:
                selection = select(files, warm.model.card)
                images = warm.line.evaluate(selection.choices)
                return self._conclude(
                    warm.model, files, images, selection.parameters, started_at
                )
        except DeviceLost:
            self._on_lost()
            raise

    def warm(self, names: Iterable[str]) -> None:
        """Load models before the first study asks; one that cannot be is left."""
        for name in names:
            try:
                with self._using(name):
                    log.info("model loaded", extra={"model": name})
            except (BundleError, InferenceError) as error:
                log.warning(
                    "model not loaded",
                    extra={"model": name, "error": type(error).__name__},
                )

    def close(self) -> None:
        """Let go of all models and of the device's memory."""
        with self._lock:
            self._machine.close()
            for name in list(self._warm):
                self._warm.pop(name).line.close()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _conclude(
        self,
        model: AnyModel,
        files: Sequence[InputFile],
        images: tuple[ImageResult, ...],
        selected: tuple[tuple[str, str], ...],
        started_at: datetime,
    ) -> Prediction:
        card = model.card
        findings = conclude_groups(model, images, files)
        outcome, reason = settle_outcome(images)
        engine, precision = engine_of(model)
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
                *describe_run(card, images, model.device),
                *describe_engine(model),
                *selected,
            ),
            research_only=card.research_only,
            started_at=started_at,
            finished_at=self._clock.now(),
            provenance=trace(
                model,
                files,
                machinery=describe_machinery(
                    engine=engine,
                    precision=precision,
                    device=model.device,
                    threads=self._threads,
                ),
            ),
        )

    @contextmanager
    def _using(self, name: str) -> Iterator[_Warm]:
        """Hold a model, so that a change of its bundle does not end it under way."""
        with self._lock:
            warm = self._load(name)
            warm.users += 1
        try:
            yield warm
        finally:
            with self._lock:
                warm.users -= 1
                self._let_go(name, warm)

    def _load(self, name: str) -> _Warm:
        """Return the model, loaded anew if a file of its bundle was touched."""
        card = find_bundle(name, self._folder)
        stamp = stamp_bundle(card.folder)
        warm = self._warm.get(name)
        if warm and warm.stamp == stamp and warm.model.card == card:
            return warm
        if warm:
            del self._warm[name]
            self._let_go(name, warm)
        model = create_model(card, self._python_classes, self._options.wish)
        in_passing_thread(partial(model.load, self._options.device))
        line = Line(model, self._machine, threads=self._threads)
        self._warm[name] = _Warm(line, model, stamp)
        return self._warm[name]

    def _let_go(self, name: str, warm: _Warm) -> None:
        """End a model that another has replaced, once nobody uses it."""
        if not warm.users and self._warm.get(name) is not warm:
            warm.line.close()
