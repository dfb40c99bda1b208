"""Weights from a bundle: safetensors whose digest is on the card, nothing else."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_safetensors

from dicom_node.core.errors import BundleError
from inference.api import ModelCard
from inference.plain_file import read_plain

State = dict[str, torch.Tensor]

WEIGHTS_NAME = "weights.safetensors"

PICKLE_SUFFIXES = frozenset(
    {
        ".bin",
        ".ckpt",
        ".dill",
        ".joblib",
        ".pickle",
        ".pkl",
        ".pt",
        ".pth",
        ".tar",
    }
)
_OTHER_SUFFIXES = frozenset(
    {".gguf", ".h5", ".hdf5", ".keras", ".msgpack", ".npy", ".npz", ".onnx", ".tflite"}
)
# A zip file (torch.save since 1.6), or a pickle of protocol 2 to 5.
_ZIP = b"PK\x03\x04"
_PICKLE_STARTS = (_ZIP, b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_ZIP_NAME = 30  # offset of the first member's name
_REMEDY = (
    "pickled weights can run code and are refused; save the state dict with "
    "safetensors.torch.save_file as weights.safetensors"
)
_OTHER_REMEDY = (
    "only safetensors are read; save the state dict with "
    "safetensors.torch.save_file as weights.safetensors"
)
_NAMES_SHOWN = 3
_LENGTH_BYTES = 8
_HEADER_LIMIT = 100_000_000  # of the safetensors library, in bytes


def read_weights(card: ModelCard) -> State:
    """Read the weights of a bundle as float32 tensors on the CPU.

    The bytes that are digested are those that are parsed.

    Raises:
        BundleError: missing, pickled, another digest, or not finite.
    """
    content = read_content(card.folder)
    if fault := digest_fault(card, content):
        raise BundleError(fault)
    state = parse_weights(content)
    if fault := not_finite_fault(state):
        raise BundleError(fault)
    return state


def digest_fault(card: ModelCard, content: bytes) -> str:
    """Say that the bytes are not those of the card, "" if they are."""
    digest = hashlib.sha256(content).hexdigest()
    if digest == card.weights_sha256:
        return ""
    return (
        f"weights.safetensors has sha256 {digest}, the card says "
        f"{card.weights_sha256}: copy the bundle again, or correct the card if "
        "the change was meant"
    )


def parse_weights(content: bytes, name: str = WEIGHTS_NAME) -> State:
    """Parse safetensors as float32 tensors on the CPU.

    Raises:
        BundleError: pickled, or not safetensors; `name` is the file's, for the text.
    """
    if content.startswith(_ZIP) and b".npy" in content[_ZIP_NAME : 2 * _ZIP_NAME]:
        raise BundleError(f"{name} is an archive of NumPy: {_OTHER_REMEDY}")
    if content.startswith(_PICKLE_STARTS):
        raise BundleError(f"{name} is a pickle: {_REMEDY}")
    try:
        state: State = parse_safetensors(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise BundleError(f"{name} {_what_it_is(content)}") from error
    return {
        key: tensor.to(torch.float32) if tensor.is_floating_point() else tensor
        for key, tensor in state.items()
    }


def _what_it_is(content: bytes) -> str:
    """Say what is wrong with a file that is no safetensors.

    Source: the format: 8 bytes of length, a header in JSON with the place of each
    tensor behind it, and the tensors.
    """
    if not content:
        return "is empty: copy it again"
    if content.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS and not the weights: run `git lfs pull`"
    if content.lstrip()[:1] == b"<":
        return "is a web page and not the weights: download it again"
    size = _whole_size(content)
    if size > len(content):
        return (
            f"is broken off: {len(content)} of at least {size} bytes are here; "
            "download or copy it again"
        )
    return "cannot be parsed: save it with safetensors.torch.save_file"


def _whole_size(content: bytes) -> int:
    """Say how long the file should be at least, 0 where nothing says it."""
    if len(content) < _LENGTH_BYTES:
        return _LENGTH_BYTES
    size = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
    if size > _LENGTH_BYTES + _HEADER_LIMIT:  # no length at all
        return 0
    if size > len(content):
        return size
    try:
        header = json.loads(content[_LENGTH_BYTES:size])
        tensors = [item for item in header.values() if "data_offsets" in item]
        return size + max(int(item["data_offsets"][1]) for item in tensors)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError):
        return 0


def not_finite_fault(state: State) -> str:
    """Name the tensors that hold values which are no finite numbers, "" if none do."""
    names = [
        name
        for name, tensor in state.items()
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all())
    ]
    if not names:
        return ""
    shown = ", ".join(f"'{name}'" for name in names[:_NAMES_SHOWN])
    more = f" and {len(names) - _NAMES_SHOWN} more" if names[_NAMES_SHOWN:] else ""
    verb = "has" if len(names) == 1 else "have"
    return f"weights.safetensors: {shown}{more} {verb} values that are not finite"


def read_content(folder: Path) -> bytes:
    """Read the bytes of the weights file.

    Raises:
        BundleError: there is none, or it cannot be read.
    """
    try:
        return read_plain(folder / WEIGHTS_NAME)
    except FileNotFoundError:
        if pickled := pickled_files(folder):
            raise BundleError(f"{pickled[0]}: {_REMEDY}") from None
        if others := _named(folder, _OTHER_SUFFIXES):
            raise BundleError(f"{others[0]}: {_OTHER_REMEDY}") from None
        raise BundleError("weights.safetensors is missing") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BundleError(f"weights.safetensors cannot be read: {reason}") from error


def pickled_files(folder: Path) -> list[str]:
    """Name the files of the bundle that are weights in a pickle."""
    return _named(folder, PICKLE_SUFFIXES)


def _named(folder: Path, suffixes: frozenset[str]) -> list[str]:
    return sorted(
        path.name
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.suffix.lower() in suffixes
    )


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
