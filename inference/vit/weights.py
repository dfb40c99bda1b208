"""Weights from a bundle: safetensors whose digest is on the card, nothing else."""

import hashlib

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors

from dicom_node.core.errors import BundleError
from inference.api import ModelCard

State = dict[str, torch.Tensor]

PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth", ".tar"})
# A zip file (torch.save since 1.6), or a pickle of protocol 2 to 5.
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_REMEDY = (
    "pickled weights can run code and are refused; save the state dict with "
    "safetensors.torch.save_file as weights.safetensors"
)
_NAMES_SHOWN = 3


def read_weights(card: ModelCard) -> State:
    """Read the weights of a bundle as float32 tensors on the CPU.

    The bytes that are digested are those that are parsed.

    Raises:
        BundleError: missing, pickled, another digest, or not finite.
    """
    content = _read_file(card)
    if content.startswith(_PICKLE_STARTS):
        raise BundleError(f"weights.safetensors is a pickle: {_REMEDY}")
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.weights_sha256:
        raise BundleError(
            f"weights.safetensors has sha256 {digest}, the card says "
            f"{card.weights_sha256}: copy the bundle again, or correct the card if "
            "the change was meant"
        )
    try:
        state: State = parse_safetensors(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BundleError(
            f"weights.safetensors cannot be parsed: {type(error).__name__}"
        ) from error
    return {name: _as_float32(name, tensor) for name, tensor in state.items()}


def _read_file(card: ModelCard) -> bytes:
    try:
        return card.weights_path.read_bytes()
    except FileNotFoundError:
        if pickled := pickled_files(card):
            raise BundleError(f"{pickled[0]}: {_REMEDY}") from None
        raise BundleError("weights.safetensors is missing") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BundleError(f"weights.safetensors cannot be read: {reason}") from error


def pickled_files(card: ModelCard) -> list[str]:
    """Name the files of the bundle that are weights in a pickle."""
    return sorted(
        path.name
        for path in card.folder.iterdir()
        if path.suffix.lower() in PICKLE_SUFFIXES
    )


def _as_float32(name: str, tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_floating_point():
        return tensor
    values = tensor.to(torch.float32)
    if not bool(torch.isfinite(values).all()):
        raise BundleError(
            f"weights.safetensors: '{name}' has values that are not finite"
        )
    return values


def check_fit(model: State, weights: State) -> None:
    """Refuse weights that are not exactly those of the architecture.

    Raises:
        BundleError: names missing, unknown or differently shaped tensors.
    """
    shapes = [
        f"{name} is {_shape(weights[name])} and should be {_shape(model[name])}"
        for name in model
        if name in weights and weights[name].shape != model[name].shape
    ]
    faults = [
        _sample("missing", [name for name in model if name not in weights]),
        _sample("unknown", [name for name in weights if name not in model]),
        _sample("of another shape", shapes),
    ]
    if any(faults):
        raise BundleError(
            "weights.safetensors does not fit the architecture: "
            + "; ".join(fault for fault in faults if fault)
        )


def _sample(kind: str, names: list[str]) -> str:
    if not names:
        return ""
    more = ", ..." if len(names) > _NAMES_SHOWN else ""
    return f"{len(names)} {kind} ({', '.join(names[:_NAMES_SHOWN])}{more})"


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "a scalar"
