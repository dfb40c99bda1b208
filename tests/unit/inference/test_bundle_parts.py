"""Bundles appear whole or not at all, also where a process dies or two are at it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dicom_node.cli import main
from dicom_node.core.errors import BundleError
from inference.bundle_parts import part_folder, publish, remove_left_parts
from tests.peers import PROJECT

_WRITE = """
import sys
from pathlib import Path
from inference.bundle_parts import part_folder
with part_folder(Path(sys.argv[1])) as part:
    (part / "weights.safetensors").write_bytes(b"half")
    print(part, flush=True)
    sys.stdin.read()
"""


def _writer(bundles: Path) -> tuple[subprocess.Popen[str], Path]:
    """Start a process that is in the middle of writing a bundle."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITE, str(bundles)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_goes_with_the_next_models_command(
    tmp_path: Path,
) -> None:
    process, part = _writer(tmp_path / "models")
    with process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert (part / "weights.safetensors").exists()
    config = tmp_path / "node.toml"
    config.write_text(f'[models]\nfolder = "{tmp_path}/models"\n')
    assert main(["models", "--config", str(config), "list"]) == 0
    assert list((tmp_path / "models").iterdir()) == []


def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    process, part = _writer(tmp_path)
    with process:
        assert remove_left_parts(tmp_path) == 0
        with part_folder(tmp_path) as ours:
            assert ours != part
            publish(ours, tmp_path / "mine")
        assert (part / "weights.safetensors").exists()
        assert process.communicate("")[0] == ""
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_slower_of_two_with_one_name_destroys_nothing(tmp_path: Path) -> None:
    final = tmp_path / "m"
    with part_folder(tmp_path) as slow, part_folder(tmp_path) as fast:
        for part in (slow, fast):
            (part / "card.toml").write_text(part.name)
        publish(fast, final)
        with pytest.raises(BundleError, match="already is a model 'm'"):
            publish(slow, final)
    assert (final / "card.toml").read_text() == fast.name
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_folder_that_does_not_exist_has_no_parts(tmp_path: Path) -> None:
    assert remove_left_parts(None) == remove_left_parts(tmp_path / "none") == 0
