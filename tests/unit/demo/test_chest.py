"""The statistical model that the demo draws its radiographs from."""

from pathlib import Path

import numpy as np
import pytest

from dicom_node.core.errors import NodeError
from dicom_node.demo.chest import load_chest_model

MEAN = np.array([[0, 100], [200, 255]], np.float16)
COMPONENTS = np.array([[[100, 10], [0, 0]], [[0, 0], [0, 127]]], np.int8)
SCALE = np.array([0.5, 2.0], np.float32)


def _write(path: Path, **changes: np.ndarray) -> Path:
    arrays = {
        "mean": MEAN,
        "components": COMPONENTS,
        "scale": SCALE,
        "names": np.array(["present", "absent"]),
        "coefficients": np.array([[2.0, 0.0], [-1.0, -0.5]], np.float32),
        **changes,
    }
    np.savez(path, **arrays)  # type: ignore[arg-type]  # numpy has flags there too
    return path


def test_a_picture_is_the_mean_and_its_components_clipped_to_12_bits(
    tmp_path: Path,
) -> None:
    model = load_chest_model(_write(tmp_path / "model.npz"))

    # grey levels by hand: 0 + 2 * 0.5 * 100, 100 + 2 * 0.5 * 10, 200, 255
    grey = np.array([[100, 110], [200, 255]])
    assert model.draw("present").tolist() == np.rint(grey / 255 * 4095).tolist()
    # -1 * 0.5 * 100 is below black; 255 - 0.5 * 2 * 127 is 128
    grey = np.array([[0, 95], [200, 128]])
    assert model.draw("absent").tolist() == np.rint(grey / 255 * 4095).tolist()
    assert model.draw("absent").dtype == np.uint16


def test_a_picture_that_the_model_lacks_is_an_error(tmp_path: Path) -> None:
    model = load_chest_model(_write(tmp_path / "model.npz"))

    with pytest.raises(NodeError, match="no picture 'lateral'"):
        model.draw("lateral")


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 no archive"])
def test_a_model_file_that_is_none_says_what_to_do(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "model.npz"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(NodeError, match="install dicom-node again"):
        load_chest_model(path)


def test_a_model_of_pickled_objects_is_refused(tmp_path: Path) -> None:
    names = np.array(["present", "absent"], dtype=object)

    with pytest.raises(NodeError, match="install dicom-node again"):
        load_chest_model(_write(tmp_path / "model.npz", names=names))


def test_the_model_that_ships_draws_two_different_radiographs() -> None:
    model = load_chest_model()

    present, absent = model.draw("present"), model.draw("absent")

    assert present.shape == absent.shape
    assert min(present.shape) >= 64
    assert 1000 < present.mean() < 3500
    assert np.abs(present.astype(int) - absent.astype(int)).mean() > 50
