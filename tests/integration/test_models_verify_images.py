"""`models verify --images`: a bundle on images of one's own, as a worker runs it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydicom import dcmread
from safetensors.torch import load_file, save_file

from dicom_node.cli import main
from inference.api import InputSpec, Window
from tests.unit.inference.cards import make_bundle
from tests.unit.inference.slices import write_stack

_WINDOWED = InputSpec(
    size=(32, 32),
    windowing="model",
    windows=(Window(center=40, width=80),),
    mean=(0.25,) * 3,
    std=(0.5,) * 3,
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "bundles" / "tiny", input=_WINDOWED)
    file = tmp_path / "node.toml"
    file.write_text('[models]\nfolder = "bundles"\ndevice = "cpu"\n', encoding="utf-8")
    return file


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    write_stack(folder, [0, 2], series="2.25.5", RescaleSlope=1, RescaleIntercept=0)
    return folder


def _verify(
    capsys: pytest.CaptureFixture[str], config: Path, *arguments: str
) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(
        ["models", "verify", *arguments, "--json", "--config", str(config)],
    )
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, document


def test_it_says_what_the_model_gets_of_each_image_and_what_it_costs(
    config: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in images.iterdir():  # half of it at the bottom of the window, half 40
        dataset = dcmread(path)
        pixels = np.zeros((dataset.Rows, dataset.Columns), np.uint16)
        pixels[:, : dataset.Columns // 2] = 40
        dataset.PixelData = pixels.tobytes()
        dataset.save_as(path)
    code, document = _verify(capsys, config, "tiny", "--images", str(images))
    assert code == 0
    assert document["faults"] == []
    for image in document["images"]:
        assert image["verdict"] == "evaluated"
        assert all(0 <= score <= 1 for score in image["scores"])
        found = image["input"]
        assert found["windowing"] == "model window"
        assert found["shape"] == [3, 32, 32]
        assert found["low"] == pytest.approx((0 - 0.25) / 0.5)
        # (40 - (40 - 0.5)) / (80 - 1) + 0.5, PS3.3 C.11.2.1.2.1
        shown = (40 - 39.5) / 79 + 0.5
        assert found["high"] == pytest.approx((shown - 0.25) / 0.5, abs=1e-5)
        assert found["white"] == 0
        assert found["doubts"] == []
    assert document["peak_memory_bytes"] > 1 << 20
    assert document["predict_seconds"] > 0


def test_an_image_that_is_even_grey_to_the_model_is_doubted(
    config: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in images.iterdir():  # all of it is above the window
        dataset = dcmread(path)
        pixels = np.arange(1000, 1000 + dataset.Rows * dataset.Columns, dtype=np.uint16)
        dataset.PixelData = pixels.tobytes()
        dataset.save_as(path)
    code, document = _verify(capsys, config, "tiny", "--images", str(images))
    assert code == 0
    doubts = [image["input"]["doubts"] for image in document["images"]]
    assert doubts == [["a frame is one even grey to the model"]] * 2


@pytest.mark.parametrize("value", [0, 40, 65535])
def test_an_image_of_one_value_gets_no_score(
    config: Path, images: Path, capsys: pytest.CaptureFixture[str], value: int
) -> None:
    first = sorted(images.iterdir())[0]
    dataset = dcmread(first)
    shape = (dataset.Rows, dataset.Columns)
    dataset.PixelData = np.full(shape, value, np.uint16).tobytes()
    dataset.save_as(first)
    code, document = _verify(capsys, config, "tiny", "--images", str(images))
    assert code == 1
    verdicts = [image["verdict"] for image in document["images"]]
    assert verdicts == [
        "every pixel has the same value: there is nothing to see",
        "evaluated",
    ]


def test_an_image_that_fails_makes_it_fail_and_says_why(
    config: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = dcmread(sorted(images.iterdir())[0])
    broken.BitsStored = 99
    broken.save_as(sorted(images.iterdir())[0])
    code, document = _verify(capsys, config, "tiny", "--images", str(images))
    assert code == 1
    assert document["faults"] == ["1 of 2 images failed"]
    verdicts = [image["verdict"] for image in document["images"]]
    assert verdicts == ["BitsStored does not fit BitsAllocated", "evaluated"]
    assert document["images"][0]["input"] is None


def test_a_model_that_takes_none_of_the_images_fails_with_the_reason(
    config: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = config.parent / "bundles" / "tiny" / "card.toml"
    text = card.read_text(encoding="utf-8")
    card.write_text(
        text.replace("[scope]\n", '[scope]\nmodalities = ["PT"]\n'), encoding="utf-8"
    )
    code, document = _verify(capsys, config, "tiny", "--images", str(images))
    assert code == 1
    assert document["faults"] == ["the model takes none of these images"]
    assert "the model covers PT" in document["images"][0]["verdict"]


def test_scores_that_are_not_numbers_fail_it(
    config: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights that are finite and yet overflow on these images."""
    folder = config.parent / "bundles" / "tiny"
    weights = load_file(folder / "weights.safetensors")
    head = next(name for name in weights if name.endswith("head.bias"))
    weights[head] = torch.full_like(weights[head], float("nan"))
    save_file(weights, folder / "weights.safetensors")
    code, document = _verify(capsys, config, "tiny", "--images", str(images))
    assert code == 1
    assert any("not finite" in fault for fault in document["faults"])
    assert "images" not in document  # a bundle with faults is not run


def test_images_without_a_bundle_and_missing_ones_are_wrong_usage(
    config: Path, images: Path, tmp_path: Path
) -> None:
    where = ["--config", str(config)]
    assert main(["models", "verify", "--images", str(images), *where]) == 2
    gone = str(tmp_path / "gone")
    assert main(["models", "verify", "tiny", "--images", gone, *where]) == 2


def test_people_read_range_time_and_memory(
    config: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--config", str(config)]
    capsys.readouterr()
    assert main(["models", "verify", "tiny", "--images", str(images), *where]) == 0
    printed = capsys.readouterr().out
    assert "card, digest and weights agree" in printed
    assert "3x32x32 from " in printed
    assert "2 images in " in printed
    assert " MiB" in printed
