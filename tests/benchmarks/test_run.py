"""The benchmark, run whole on a small scale."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.receivers import FLOOR, OURS
from tests.peers import PROJECT

pytestmark = pytest.mark.slow


def benchmark(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments, "--folder", str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        cwd=PROJECT,
        check=False,
    )


def test_a_row_is_measured_on_us_and_on_the_bare_loop(tmp_path: Path) -> None:
    ended = benchmark(
        "receive",
        "--json",
        *("--only", "MR power-loss", "--rounds", "2", "--seconds", "0.05"),
        folder=tmp_path,
    )
    assert ended.returncode == 0, ended.stderr
    (row,) = json.loads(ended.stdout)["rows"]
    cells = {cell["receiver"]: cell for cell in row["receivers"]}
    for name in (OURS, FLOOR):
        assert cells[name]["problem"] == ""
        assert len(cells[name]["samples"]) == 2
        assert all(one["images"] >= 16 for one in cells[name]["samples"])
        assert cells[name]["memory_mib"] > 0
    assert os.listdir(tmp_path) == []


def test_a_soak_with_kills_finds_every_promise_kept(tmp_path: Path) -> None:
    ended = benchmark(
        "soak",
        *("--minutes", "0.1", "--senders", "3", "--gib", "0.3", "--seed", "1"),
        "--kill",
        folder=tmp_path,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "every promise was kept" in ended.stdout
    assert os.listdir(tmp_path) == []


def test_a_row_that_does_not_exist_is_named(tmp_path: Path) -> None:
    ended = benchmark("receive", "--only", "ultrasound", folder=tmp_path)
    assert ended.returncode == 1
    assert "no row is called 'ultrasound'" in ended.stderr
