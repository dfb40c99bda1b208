"""The state of a training run on disk: safetensors and JSON, never pickle."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from dicom_node.core.errors import UsageError

_TENSORS, _STATE = "checkpoint.safetensors", "checkpoint.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A run after `step` steps.

    Args:
        tensors: weights, averaged weights and optimiser moments, by prefix.
        settings: what the run was started with; another run may not go on from it.
    """

    step: int
    tensors: Mapping[str, torch.Tensor]
    settings: Mapping[str, str | int | float]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint; the JSON file names the tensors it belongs to.

    A run that is killed while it writes leaves the one before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{checkpoint.step}.{_TENSORS}"
    tensors = {key: item.contiguous() for key, item in checkpoint.tensors.items()}
    save_file(tensors, folder / name)
    state = {
        "step": checkpoint.step,
        "tensors": name,
        "settings": dict(checkpoint.settings),
    }
    part = folder / f"{_STATE}.part"
    part.write_text(json.dumps(state, indent=1), encoding="utf-8")
    os.replace(part, folder / _STATE)
    for old in folder.glob(f"*.{_TENSORS}"):
        if old.name != name:
            old.unlink()


def load_checkpoint(
    folder: Path, settings: Mapping[str, str | int | float]
) -> Checkpoint | None:
    """Read the checkpoint of a folder; None when there is none.

    Raises:
        UsageError: it belongs to a run with other settings.
    """
    path = folder / _STATE
    if not path.is_file():
        return None
    state = json.loads(path.read_text(encoding="utf-8"))
    for name, value in settings.items():
        if state["settings"].get(name) != value:
            raise UsageError(
                f"the checkpoint was made with another {name}: "
                "train without resume, or into another folder"
            )
    return Checkpoint(
        step=int(state["step"]),
        tensors=load_file(folder / str(state["tensors"])),
        settings=state["settings"],
    )


def remove_checkpoint(folder: Path) -> None:
    """Delete a finished run's checkpoint."""
    for path in (*folder.glob(f"*.{_TENSORS}"), *folder.glob(f"{_STATE}*")):
        path.unlink()
