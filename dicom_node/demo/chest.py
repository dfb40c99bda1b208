"""Chest radiographs drawn from a statistical model; nobody's picture.

The model is a mean image, principal components of training images and, for each
class, how the components are spread; no image of a person can be read back from it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from dicom_node.core.errors import NodeError

MODEL_FILE: Final = Path(__file__).with_name("chest_model.npz")
MAX_STORED_VALUE: Final = 4095  # 12 bits
_WHITE: Final = 255.0  # grey levels of the training images

Pixels = npt.NDArray[np.uint16]
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ChestModel:
    """A statistical model of radiographs.

    Args:
        mean: (rows, columns), grey levels 0 to 255.
        components: (count, rows, columns), grey levels per unit of a coefficient.
        coefficients: (count,) of each picture that can be drawn, by name.
    """

    mean: _Floats
    components: _Floats
    coefficients: dict[str, _Floats]

    def draw(self, name: str) -> Pixels:
        """Draw a picture.

        Returns:
            (rows, columns), 0 (black) to 4095 (white).

        Raises:
            NodeError: the model has no such picture.
        """
        if name not in self.coefficients:
            raise NodeError(f"the demo's chest model has no picture '{name}'")
        image = self.mean + np.tensordot(
            self.coefficients[name], self.components, axes=1
        )
        stored: Pixels = np.rint(
            np.clip(image / _WHITE, 0.0, 1.0) * MAX_STORED_VALUE
        ).astype(np.uint16)
        return stored


def load_chest_model(file: Path = MODEL_FILE) -> ChestModel:
    """Read the model that ships with the demo.

    Raises:
        NodeError: the file is missing or not such a model.
    """
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return ChestModel(
                mean=arrays["mean"].astype(np.float32),
                components=arrays["components"].astype(np.float32)
                * arrays["scale"].astype(np.float32).reshape(-1, 1, 1),
                coefficients={
                    str(name): row.astype(np.float32)
                    for name, row in zip(
                        arrays["names"], arrays["coefficients"], strict=True
                    )
                },
            )
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        raise NodeError(
            f"the demo's chest model cannot be read ({type(error).__name__}): "
            "install dicom-node again"
        ) from None
