"""Chest radiographs drawn from a statistical model; nobody's picture."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dicom_node.core.errors import NodeError

MODEL_FILE = Path(__file__).with_name("chest_model.npz")

Pixels = npt.NDArray[np.uint16]
MAX_STORED_VALUE = 4095  # 12 bits


def draw_chest(name: str, file: Path = MODEL_FILE) -> Pixels:
    """Draw one of the model's radiographs.

    Args:
        name: of a recipe in the model file, e.g. "present" or "absent".

    Returns:
        (rows, columns), 0 (black) to 4095 (white).

    Raises:
        NodeError: the file is missing or has no such recipe.
    """
    return _load(file).draw(name)


@dataclass(frozen=True, slots=True)
class _ChestModel:
    mean: npt.NDArray[np.float32]
    components: npt.NDArray[np.float32]
    recipes: dict[str, npt.NDArray[np.float32]]

    def draw(self, name: str) -> Pixels:
        if name not in self.recipes:
            raise NodeError(f"the demo's chest model cannot draw '{name}'")
        image = self.mean + np.tensordot(self.recipes[name], self.components, axes=1)
        grey = np.clip(image / 255.0, 0.0, 1.0)
        pixels: Pixels = np.rint(grey * MAX_STORED_VALUE).astype(np.uint16)
        return pixels


def _load(file: Path) -> _ChestModel:
    raise NotImplementedError(file)
