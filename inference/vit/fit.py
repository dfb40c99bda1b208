"""Bring a state dict, as people save it, onto the network that it was trained in."""

import importlib
import math
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

from dicom_node.core.errors import BundleError
from inference.vit.network import CONSTRUCTOR_ERRORS
from inference.vit.weights import State

_NAMES_SHOWN: Final = 3
# Positions may be resampled to another input size; what holds features may not.
_POSITIONS: Final = ("pos_embed", "relative_position", "rel_pos", "freqs")
_BATCHES_SEEN: Final = "num_batches_tracked"  # of training only


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A state dict under the names of a network.

    Args:
        faults: why it is not the network's; [] if it can be loaded strictly.
        notes: what was done to it, for people.
    """

    state: State
    faults: tuple[str, ...]
    notes: tuple[str, ...]


def fit_weights(network: torch.nn.Module, weights: State) -> State:
    """Give the weights under the network's names and for its input size.

    A prefix of a training framework ("model.", "module.", "state_dict.") is taken
    off, of two sets the moving average is taken, and position embeddings are
    resampled as timm does it.

    Raises:
        BundleError: the weights are not those of the network.
    """
    fitted = try_fit(network, weights)
    if fitted.faults:
        raise BundleError(
            "weights.safetensors does not fit the architecture: "
            + "; ".join(fitted.faults)
        )
    return fitted.state


def try_fit(network: torch.nn.Module, weights: State) -> Fitted:
    """Fit weights as `fit_weights` does, and name everything that does not fit."""
    wanted = network.state_dict()
    state, notes = _without_prefix(weights, wanted)
    if _differs(wanted, state):
        state, more = _converted(network, state, wanted)
        notes += more
    for name in wanted:
        if name.endswith(_BATCHES_SEEN):
            state.setdefault(name, wanted[name])
    faults = misfits(network, state)
    return Fitted(state=state, faults=tuple(faults), notes=tuple(notes))


def _differs(wanted: State, state: State) -> bool:
    ignored = {name for name in wanted if name.endswith(_BATCHES_SEEN)}
    return (wanted.keys() ^ state.keys()) - ignored != set() or any(
        state[name].shape != wanted[name].shape for name in wanted if name in state
    )


def _without_prefix(weights: State, wanted: State) -> tuple[State, list[str]]:
    """Take off the prefix under which most of the network's names are found."""
    found: Counter[str] = Counter()
    for name in weights:
        parts = name.split(".")
        for cut in range(len(parts)):
            if ".".join(parts[cut:]) in wanted:
                found[".".join([*parts[:cut], ""]) if cut else ""] += 1
    if not found:
        return dict(weights), []
    prefix = min(found, key=lambda one: (-found[one], "ema" not in one, len(one), one))
    if not prefix:
        return dict(weights), []
    state = {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }
    # A head beside a wrapped backbone has no prefix.
    state |= {
        name: weights[name] for name in wanted if name in weights and name not in state
    }
    notes = [f"the prefix '{prefix}' was taken off the names of the weights"]
    if left := len(weights) - len(state):
        notes.append(f"{left} tensors without that prefix were left out")
    return state, notes


def _converted(
    network: torch.nn.Module, state: State, wanted: State
) -> tuple[State, list[str]]:
    """Let timm convert older names and resample positions; nothing else may change."""
    module = importlib.import_module(type(network).__module__)
    convert = getattr(module, "checkpoint_filter_fn", None)
    if convert is None:
        return state, []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch on how timm interpolates
            converted: Any = convert(dict(state), network)
    except CONSTRUCTOR_ERRORS:
        return state, []  # what does not fit is then named as it is
    if not isinstance(converted, Mapping):
        return state, []
    resampled = []
    for name in [name for name in converted if name in state]:
        if converted[name].shape == state[name].shape:
            continue
        if not any(word in name for word in _POSITIONS):
            return state, []
        if name in wanted:
            resampled.append(name)
    notes = []
    if resampled:
        notes.append(
            "positions were resampled to the input size: " + _sample(resampled)
        )
    return dict(converted), notes


def misfits(network: torch.nn.Module, state: State) -> list[str]:
    """Name what is missing, unknown, or of another shape or kind than the network's."""
    wanted = network.state_dict()
    faults = []
    missing = [name for name in wanted if name not in state]
    unknown = [name for name in state if name not in wanted]
    shapes = [
        f"{name} is {_shape(state[name])} and should be {_shape(wanted[name])}"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    kinds = [
        name
        for name in wanted
        if name in state
        and wanted[name].is_floating_point()
        and not state[name].is_floating_point()
    ]
    if missing:
        faults.append(f"{len(missing)} missing ({_sample(missing)})")
    if unknown:
        faults.append(f"{len(unknown)} unknown ({_sample(unknown)})")
    if shapes:
        faults.append(f"{len(shapes)} of another shape ({_sample(shapes)})")
    if kinds:
        faults.append(f"{len(kinds)} are not floating point ({_sample(kinds)})")
    if about := _head_fault(network, state, missing):
        faults.append(about)
    return [*faults, *_first_faults(network, state)]


def _head_fault(network: torch.nn.Module, state: State, missing: Iterable[str]) -> str:
    """Say what a misfit of the classifier alone means."""
    wanted = network.state_dict()
    heads = _named(network, "classifier")
    inside = tuple(f"{head}." for head in heads)
    if not inside:
        return ""
    lost = [name for name in missing if name.startswith(inside)]
    if lost and all(name.startswith(inside) for name in missing):
        return (
            "the head is missing: these are the weights of a backbone; save the whole "
            "fine-tuned model"
        )
    for head in heads:
        name = f"{head}.weight"
        if name in state and name in wanted and state[name].ndim > 0:
            have, want = state[name].shape[0], wanted[name].shape[0]
            if have != want:
                return f"the head gives {have} scores and the card names {want} classes"
    return ""


def _first_faults(network: torch.nn.Module, state: State) -> Iterator[str]:
    """Say what a misfit of the first layer alone means."""
    wanted = network.state_dict()
    for layer in _named(network, "first_conv"):
        have, want = (one.get(f"{layer}.weight") for one in (state, wanted))
        if have is None or want is None or have.ndim != want.ndim or want.ndim < 2:
            continue
        takes, given = count_channels(have), count_channels(want)
        if takes != given and have.shape[2:] == want.shape[2:]:
            yield (
                f"the first layer takes {takes} channels and the card gives "
                f"{given}: a model takes 1 or 3"
            )


def count_channels(weight: torch.Tensor) -> int:
    """Return how many channels a first layer takes.

    A linear one takes square patches as they are: every channel of every pixel.
    """
    inputs = weight.shape[1]
    if weight.ndim > 2:
        return inputs
    return 1 if math.isqrt(inputs) ** 2 == inputs else 3


def _named(network: torch.nn.Module, key: str) -> tuple[str, ...]:
    """Name the layers that timm's configuration names under a key."""
    configuration = getattr(network, "pretrained_cfg", None) or {}
    named = configuration.get(key) or ()
    return (named,) if isinstance(named, str) else tuple(named)


def _sample(names: list[str]) -> str:
    more = ", ..." if len(names) > _NAMES_SHOWN else ""
    return f"{', '.join(names[:_NAMES_SHOWN])}{more}"


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "a scalar"
