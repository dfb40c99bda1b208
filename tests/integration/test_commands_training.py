"""`train` and `evaluate` at the command line: what they refuse and what they tell."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from dicom_node.cli import main
from tests.peers import PROJECT

SHIPPED = PROJECT / "inference" / "bundles" / "cxr-pneumonia"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """One grey image of each class."""
    folder = tmp_path / "images"
    for name, level in (("NORMAL", 60), ("PNEUMONIA", 180)):
        (folder / name).mkdir(parents=True)
        plane = np.full((40, 48), level, dtype=np.uint8)
        PillowImage.fromarray(plane).save(folder / name / "one.png")
    return folder


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("evaluate", "--resamples", "0"),
        ("evaluate", "--seed", "-1"),
        ("train", "--seed", "-1"),
        ("train", "--threads", "-1"),
        ("train", "--image-size", "0"),
    ],
)
def test_a_number_that_cannot_be_is_wrong_usage(
    command: str, option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--bundle", "x", "--data", "x", f"{option}={value}"])
    assert ended.value.code == 2
    assert f"argument {option}: takes a whole number from" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_an_output_that_cannot_be_a_folder_is_told_before_the_work(
    command: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.touch()
    given = {
        "train": ["--base", str(SHIPPED / "weights.safetensors")],
        "evaluate": ["--bundle", str(SHIPPED)],
    }
    code = main(
        [command, *given[command], "--data", str(images), "--output", str(taken)]
    )
    assert code == 2
    assert capsys.readouterr().err == (
        "dicom-node: the output folder cannot be made (FileExistsError): "
        "give --output a folder that may be written\n"
    )


def test_evaluation_tells_the_files_that_it_could_not_read(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "NORMAL" / "broken.png").write_bytes(b"no picture")
    code = main(
        ["evaluate", "--bundle", str(SHIPPED), "--data", str(images), "--resamples=1"]
    )
    assert code == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("2 images, operating point ")
    assert told[1] == (
        "  left out: NORMAL/broken.png (not a readable image: UnidentifiedImageError)"
    )
