"""A bundle from an architecture, a weights file and a list of labels."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from dicom_node.core.errors import BundleError
from inference.api import (
    Calibration,
    ClassSpec,
    InputSpec,
    ModelCard,
    Option,
    Scope,
    Window,
)
from inference.bundle_parts import part_folder, publish, refuse_taken
from inference.card import CARD_NAME
from inference.card_text import write_card
from inference.labels import read_labels, unit_concept
from inference.plain_file import read_plain
from inference.verify import examine_bundle
from inference.vit.fit import count_channels
from inference.vit.network import default_config
from inference.vit.weights import PICKLE_SUFFIXES, WEIGHTS_NAME, State, parse_weights

_UNSAID: Final = "not stated"
_FILL: Final = "FILL IN:"


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleRequest:
    """What a bundle is made of; None where timm or the weights know it.

    Args:
        threshold: of every class whose label names none.
        unit: UCUM code of every class without one, for the activation "identity".
        windows: applied to modality values; () takes the file's window.
    """

    architecture: str
    weights: Path
    labels: Path
    name: str | None = None
    version: str = "1"
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: str = "stretch"
    windows: tuple[Window, ...] = ()
    windowing_fallback: str = "refuse"
    activation: str | None = None
    threshold: float | None = None
    unit: str | None = None
    options: tuple[tuple[str, Option], ...] = ()
    scope: Scope = field(default_factory=Scope)
    group_by: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeBundle:
    """A bundle that was written, and what its maker should look at."""

    card: ModelCard
    notes: tuple[str, ...]


def make_bundle(
    request: BundleRequest, folder: Path, *, python_classes: Sequence[str] = ()
) -> MadeBundle:
    """Write a verified bundle into a folder of bundles, whole or not at all.

    Raises:
        BundleError: everything that is wrong with it, or there is one of its name.
    """
    content = _read_weights(request.weights)
    state = parse_weights(content, request.weights.name)
    classes = _classes(request)
    card, notes = _draft(request, classes, state)
    card = replace(card, weights_sha256=sha256(content).hexdigest())
    final = folder / card.name
    refuse_taken(final)
    try:
        with part_folder(folder) as part:
            _write(part / WEIGHTS_NAME, content)
            text = write_card(card, _remarks(request, notes))
            _write(part / CARD_NAME, text.encode())
            found = examine_bundle(part, python_classes)
            if found.faults:
                raise BundleError("; ".join(found.faults))
            publish(part, final)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BundleError(f"the bundle cannot be written: {reason}") from error
    return MadeBundle(card=replace(card, folder=final), notes=(*notes, *found.notes))


def conversion(name: str) -> str:
    """Give the two lines of Python that turn a pickled checkpoint into safetensors."""
    return (
        "import torch, safetensors.torch as s; "
        f'c = torch.load("{name}", map_location="cpu", weights_only=True)\n'
        's.save_file({k: v.clone().contiguous() for k, v in c.get("state_dict", '
        'c.get("model", c)).items() if hasattr(v, "shape")}, "weights.safetensors")'
    )


def _read_weights(path: Path) -> bytes:
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise BundleError(
            f"{path.name} is a pickle, which can run code, and is never opened; where "
            f"you trust it, convert it with these two lines of Python:\n"
            f"{conversion(path.name)}"
        )
    try:
        return read_plain(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BundleError(f"the weights cannot be read: {reason}") from error


def _classes(request: BundleRequest) -> tuple[ClassSpec, ...]:
    unit = unit_concept(request.unit) if request.unit else None
    return tuple(
        replace(
            item,
            threshold=request.threshold if item.threshold is None else item.threshold,
            unit=item.unit or unit,
        )
        for item in read_labels(request.labels)
    )


def _draft(
    request: BundleRequest, classes: tuple[ClassSpec, ...], state: State
) -> tuple[ModelCard, list[str]]:
    """Fill in what timm and the weights know, and say what was taken for granted."""
    notes: list[str] = []
    activation = request.activation
    if activation is None:
        activation = "sigmoid" if len(classes) == 1 else "softmax"
        if len(classes) > 1:
            notes.append(
                "activation softmax was assumed (one of the classes): --activation "
                "sigmoid where several can be present"
            )
    known = default_config(request.architecture)
    channels = _channels(known, state)
    if channels == 1 and request.mean is None:
        notes.append("mean and std are the average of timm's three channels")
    if not request.scope.modalities:
        notes.append("no --modality: the scope takes images of every modality")
    if all(item.threshold is None for item in classes) and activation != "identity":
        notes.append("no threshold: nothing is decided, results say Undetermined")
    _, rows, columns = known.get("input_size") or (3, 224, 224)
    spec = InputSpec(
        size=request.size or (rows, columns),
        resize=request.resize,
        windowing="model" if request.windows else "file",
        windowing_fallback=request.windowing_fallback,
        windows=request.windows,
        mean=_values(request.mean, known.get("mean"), channels),
        std=_values(request.std, known.get("std"), channels),
        channels=channels,
    )
    return _card(request, classes, spec, activation=activation), notes


def _channels(known: Mapping[str, Any], state: State) -> int:
    """Return how many channels the first layer of the weights takes."""
    named = known.get("first_conv") or ()
    for layer in (named,) if isinstance(named, str) else tuple(named):
        found = [
            (len(name), count_channels(tensor))
            for name, tensor in state.items()
            # Inner blocks have layers of the same name.
            if f".{name}".endswith(f".{layer}.weight") and tensor.ndim > 1
        ]
        if found:
            return 1 if min(found)[1] == 1 else 3
    return 3


def _values(
    wanted: tuple[float, ...] | None, known: Sequence[float] | None, channels: int
) -> tuple[float, ...]:
    if wanted is not None:
        return wanted * channels if len(wanted) == 1 else wanted
    values = tuple(float(value) for value in known or (0.5,) * channels)
    if len(values) == channels:
        return values
    return (sum(values) / len(values),) * channels


def _card(
    request: BundleRequest,
    classes: tuple[ClassSpec, ...],
    spec: InputSpec,
    *,
    activation: str,
) -> ModelCard:
    return ModelCard(
        name=request.name or _name(request),
        version=request.version,
        manufacturer=_UNSAID,
        folder=Path(),
        architecture=request.architecture,
        arch_options=request.options,
        weights_sha256="0" * 64,
        input=spec,
        classes=classes,
        activation=activation,
        top_k=None,
        calibration=Calibration(),
        scope=request.scope,
        aggregate_frames="mean" if activation == "identity" else "max",
        aggregate_images="mean" if activation == "identity" else "max",
        max_frames=32,
        batch_size=16,
        intended_use="Research only: not a medical device, not for diagnosis.",
        research_only=True,
        licence=_UNSAID,
        training_data=_UNSAID,
        description="",
        performance=(),
        performance_data="",
        group_by=request.group_by,
    )


def _name(request: BundleRequest) -> str:
    """Name the bundle by its weights file, or its architecture where that says none."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", request.weights.stem).strip("-._")
    generic = {"", "weights", "model", "checkpoint", "best", "last", "pytorch_model"}
    return (request.architecture if stem.lower() in generic else stem)[:64]


def _remarks(request: BundleRequest, notes: Sequence[str]) -> dict[str, list[str]]:
    """Say in the card what was taken for granted and what only its maker knows."""
    return {
        "[model]": [f"{_FILL} manufacturer, licence, intended_use, training_data."],
        "[input]": [
            "Size, mean and std are those of timm unless given; as in the training?",
            'resize "stretch", "fit" (pads) or "crop": as in the training?',
            'windowing "file" takes the window of the file, "model" the windows below.',
        ],
        "[output]": [
            '"sigmoid": several can be present; "softmax": one of them; "identity":',
            "a measured value in the unit of its class.",
        ],
        "[[classes]]": [
            f"{_FILL} codes of SNOMED CT where they are private (99DCMNODE); a",
            "threshold; report = false for the class that is the absence of others.",
        ],
        "[scope]": [
            f"{_FILL} modalities, body_parts, view_positions, ages: what is not named",
            "sets no limit, and the model is then run on it.",
        ],
        "[performance]": [f"{_FILL} what was measured, and on which data.", *notes],
    }


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
