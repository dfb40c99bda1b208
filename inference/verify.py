"""Everything that is wrong with a bundle, in one go. torch comes with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from dicom_node.core.errors import BundleError, InferenceError
from inference.api import ModelCard
from inference.card import CARD_NAME, CardReading, examine_card
from inference.custom import ClassModel
from inference.vit.fit import try_fit
from inference.vit.network import CONSTRUCTOR_ERRORS, create_network
from inference.vit.weights import (
    WEIGHTS_NAME,
    State,
    digest_fault,
    not_finite_fault,
    parse_weights,
    pickled_files,
    read_content,
)

# What a network is built from: where one of these is wrong, nothing can be compared.
_BUILT_FROM = (
    "model",
    "network.architecture",
    "network.options",
    "network.python_class",
    "input.size",
    "input.channels",
    "classes",
    "labels",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was found out about a bundle.

    Args:
        faults: why it must not be used; () if it may.
        notes: what people should know of it, e.g. that positions were resampled.
    """

    faults: tuple[str, ...]
    notes: tuple[str, ...] = ()


def examine_bundle(folder: Path, python_classes: Sequence[str] = ()) -> Examination:
    """Name all that is wrong with a bundle; its model is tried on the CPU.

    Args:
        python_classes: globs of the classes that a card may name.
    """
    faults = [
        f"{name}: weights in a pickle can run code and do not belong into a bundle"
        for name in pickled_files(folder)
    ]
    reading = examine_card(folder)
    faults += [
        text if text.startswith(CARD_NAME) else f"{CARD_NAME}: {text}"
        for text in (*reading.faults, *reading.doubts)
    ]
    state, found = _weights(folder, reading)
    faults += found
    notes: list[str] = []
    if reading.card is not None and not _is_mended(reading, _BUILT_FROM[1:]):
        if reading.card.python_class:
            faults += _class_faults(reading, python_classes)
        else:
            more, notes = _network_faults(reading.card, state)
            faults += more
    return Examination(faults=tuple(dict.fromkeys(faults)), notes=tuple(notes))


def _is_mended(reading: CardReading, places: Sequence[str]) -> bool:
    return any(
        f"{mended}.".startswith(f"{place}.") or f"{place}.".startswith(f"{mended}.")
        for mended in reading.mended
        for place in places
        # A wrong threshold or code does not change how many classes there are.
        if not (place == "classes" and mended.count(".") >= 2)
    )


def _weights(folder: Path, reading: CardReading) -> tuple[State | None, list[str]]:
    """Read the weights whatever their digest, and name everything wrong with them."""
    faults: list[str] = []
    try:
        content = read_content(folder)
        if reading.card and not _is_mended(reading, ("network.weights_sha256",)):
            faults += filter(None, [digest_fault(reading.card, content)])
        state = parse_weights(content)
    except BundleError as error:
        return None, [*faults, str(error)]
    return state, [*faults, *filter(None, [not_finite_fault(state)])]


def _class_faults(reading: CardReading, python_classes: Sequence[str]) -> list[str]:
    if reading.card is None or reading.faults:
        return []  # the class is made of the card
    try:
        ClassModel(reading.card, python_classes).load("cpu")
    except (BundleError, InferenceError) as error:
        return [str(error)]
    return []


def _network_faults(
    card: ModelCard, state: State | None
) -> tuple[list[str], list[str]]:
    """Build the network, compare the weights, and run one image of noise."""
    try:
        network = create_network(card).eval()
    except BundleError as error:
        return [str(error)], []
    faults, notes = list(_size_faults(card, network)), list[str]()
    if state is not None:
        fitted = try_fit(network, state)
        misfit = f"{WEIGHTS_NAME} does not fit the architecture"
        faults += [f"{misfit}: {fault}" for fault in fitted.faults]
        notes += fitted.notes
        if not fitted.faults:
            network.load_state_dict(fitted.state, strict=True)
    faults += _run_faults(card, network)
    return faults, notes


def _size_faults(card: ModelCard, network: torch.nn.Module) -> Iterator[str]:
    """Say where patches do not fill the image: its border would be cut off unseen."""
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    if not isinstance(patch, tuple) or len(patch) != 2:
        return
    if any(side % part for side, part in zip(card.input.size, patch, strict=True)):
        rows, columns = card.input.size
        yield (
            f"{CARD_NAME}: input.size {rows} x {columns} cannot be divided by the "
            f"architecture's patches of {patch[0]} x {patch[1]} pixels"
        )


def _run_faults(card: ModelCard, network: torch.nn.Module) -> Iterator[str]:
    rows, columns = card.input.size
    noise = torch.randn(
        (1, card.input.channels, rows, columns),
        generator=torch.Generator().manual_seed(0),
    )
    try:
        with torch.inference_mode():
            scores = network(noise)
    except CONSTRUCTOR_ERRORS as error:
        yield (
            f"the architecture takes no input of {rows} x {columns} pixels: "
            f"{type(error).__name__}"
        )
        return
    if not isinstance(scores, torch.Tensor) or scores.shape != (1, len(card.classes)):
        yield "the architecture does not give one score per class"
    elif not bool(torch.isfinite(scores).all()):
        yield "the model gives scores that are not numbers, for an image of noise"
