"""What a model is: its card, its input, and the protocol every model follows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dicom_node.core.ids import DeviceUID, derive_device_uid
from dicom_node.core.types import CodedConcept, Finding
from inference.select.spec import SelectionSpec

Image = npt.NDArray[np.float32]
Option = str | int | float | bool | tuple[str | int | float | bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A VOI window in the unit of the modality values (HU for CT)."""

    center: float
    width: float
    function: str = "LINEAR"  # LINEAR, LINEAR_EXACT or SIGMOID, PS3.3 C.11.2.1


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """How modality values become model input.

    Args:
        size: (rows, columns) of the model input in pixels.
        resize: "stretch" (both sides to size), "fit" (keep the aspect, pad with
            the padding value) or "crop" (short side to size, centre crop).
        windowing: "file" (the file's VOI LUT or window), "model" (`windows`, one
            input channel each) or "percentile" (`percentiles` to 0 and 1).
        windowing_fallback: what to do with windowing "file" when the file has
            none: "refuse", "percentile" or "full_range". Recorded in the result.
        window_index: which of several windows or LUTs of the file, from 0.
        mean, std: per channel, after windowing to [0, 1].
        channels: 1 or 3; a single plane is repeated.
        reduced_decode: JPEG 2000 and HTJ2K are decoded no larger than needed, which
            changes pixels a little.
    """

    size: tuple[int, int]
    resize: str = "stretch"
    windowing: str = "file"
    windowing_fallback: str = "refuse"
    window_index: int = 0
    windows: tuple[Window, ...] = ()
    percentiles: tuple[float, float] = (1.0, 99.0)
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    channels: int = 3
    reduced_decode: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSpec:
    """One output of the model.

    Args:
        threshold: calibrated score at and above which it is present; None for a
            class that is only reported (top-k, a measured value).
        undetermined_below: with a threshold, calibrated scores from this value up
            to the threshold are undetermined; None for no such band.
        report: False for a class that is the absence of the others (NORMAL).
        unit: what a regression's value is in (UCUM); None for probabilities.
        lower, upper: the values that the model can give, in `unit`; what is beyond
            is no result.
    """

    name: str
    concept: CodedConcept
    threshold: float | None = None
    undetermined_below: float | None = None
    site: CodedConcept | None = None
    report: bool = True
    unit: CodedConcept | None = None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Scaling of the logit: score = activation(slope * logit + intercept)."""

    method: str = "none"  # none, temperature, platt, or linear for a regression
    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the model may look at. An empty tuple sets no limit; where a limit is
    set, a missing attribute counts as outside. `include_secondary` is for models of
    reformats: Image Type value 2 SECONDARY. `include_animals` is for models of what a
    veterinarian sees."""

    modalities: tuple[str, ...] = ()
    sop_class_uids: tuple[str, ...] = ()
    body_parts: tuple[str, ...] = ()
    view_positions: tuple[str, ...] = ()
    min_age_years: float | None = None
    max_age_years: float | None = None  # inclusive: 5 takes a child of 5.9 years
    exclude_for_processing: bool = True
    include_secondary: bool = False
    include_animals: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A measured figure with its 95 % interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """All that is known of a model (card.toml). Built by `inference.card.load_card`.

    Args:
        architecture: name of a timm model; "" with a `python_class`.
        arch_options: keyword arguments for timm.create_model beyond num_classes
            and img_size.
        activation: "sigmoid" (multi-label), "softmax" (one of the classes) or
            "identity" (regression).
        top_k: report only the k most probable classes; None reports all.
        aggregate_frames, aggregate_images: "max", "mean", "topk_mean" (of the
            `aggregate_k` highest) or "noisy_or".
        group_by: "none", "laterality" or "view": one finding for each group.
        python_class: "package.module:Class" that follows `Model`; "" for timm.
        weights_sha256: hex digest of weights.safetensors.
    """

    name: str
    version: str
    manufacturer: str
    folder: Path
    architecture: str
    arch_options: tuple[tuple[str, Option], ...]
    weights_sha256: str
    input: InputSpec
    classes: tuple[ClassSpec, ...]
    activation: str
    top_k: int | None
    calibration: Calibration
    scope: Scope
    aggregate_frames: str
    aggregate_images: str
    max_frames: int
    batch_size: int
    intended_use: str
    research_only: bool
    licence: str
    training_data: str
    description: str
    performance: tuple[tuple[str, Estimate], ...]
    performance_data: str
    aggregate_k: int = 3
    group_by: str = "none"
    python_class: str = ""
    selection: SelectionSpec = field(default_factory=SelectionSpec)

    @property
    def measures(self) -> bool:
        """Whether the scores are measured values, and not probabilities."""
        return self.activation == "identity"

    @property
    def device_uid(self) -> DeviceUID:
        """The Device UID of this model, version and weights."""
        return derive_device_uid(self.name, self.version, self.weights_sha256)

    @property
    def weights_path(self) -> Path:
        """Where the weights lie."""
        return self.folder / "weights.safetensors"


class Model(Protocol):
    """A model that can be run on prepared images."""

    @property
    def card(self) -> ModelCard:
        """All that is known of the model."""

    def load(self, device: str) -> None:
        """Check the digest and bring the weights onto the device."""

    def prepare(self, frames: Image) -> Image:
        """Turn windowed values into model input.

        Args:
            frames: (planes, rows, columns) in [0, 1]; one plane per window.

        Returns:
            (channels, rows, columns), resized and normalised.
        """

    def predict(self, batch: Image) -> Image:
        """Score a batch.

        Args:
            batch: (images, channels, rows, columns).

        Returns:
            (images, classes), calibrated: probabilities in [0, 1], or with the
            activation "identity" values in the units of the classes.
        """

    def conclude(self, scores: Sequence[Sequence[float]]) -> tuple[Finding, ...]:
        """Aggregate the images' scores into findings, one per reported class."""
