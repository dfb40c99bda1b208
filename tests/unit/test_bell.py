"""Roles wake one another; a hint that is lost costs nothing but time."""

import os
import subprocess
import sys
import time
from pathlib import Path

from dicom_node.bell import DELIVER, WORK, Bell, ring
from dicom_node.stop import Stop

LONG_SECONDS = 30.0


def test_a_bell_that_was_rung_before_is_not_waited_for(tmp_path: Path) -> None:
    with Bell(tmp_path, WORK) as bell:
        assert ring(tmp_path, WORK) == 1
        begun = time.monotonic()
        bell.wait(Stop(), LONG_SECONDS)
        assert time.monotonic() - begun < LONG_SECONDS / 2
        begun = time.monotonic()
        bell.wait(Stop(), 0.02)  # the hint was taken
        assert time.monotonic() - begun >= 0.02


def test_every_bell_of_a_role_is_rung_and_no_other(tmp_path: Path) -> None:
    with Bell(tmp_path, WORK), Bell(tmp_path, WORK), Bell(tmp_path, DELIVER):
        assert ring(tmp_path, WORK) == 2
        assert ring(tmp_path, DELIVER) == 1
    assert ring(tmp_path, WORK) == 0
    assert list(tmp_path.iterdir()) == []


def test_who_is_asked_to_stop_waits_no_longer(tmp_path: Path) -> None:
    stop = Stop()
    stop.set()
    with Bell(tmp_path, WORK) as bell:
        begun = time.monotonic()
        bell.wait(stop, LONG_SECONDS)
        bell.wait(stop, LONG_SECONDS)
        assert time.monotonic() - begun < LONG_SECONDS / 2


def test_the_bell_of_a_killed_process_is_forgotten(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys; from dicom_node.bell import *; "
        "Bell(pathlib.Path(sys.argv[1]), WORK); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert len(os.listdir(tmp_path)) == 1
    assert ring(tmp_path, WORK) == 0
    assert os.listdir(tmp_path) == []


def test_a_bell_that_nobody_listens_to_takes_any_number_of_hints(
    tmp_path: Path,
) -> None:
    with Bell(tmp_path, WORK):
        assert {ring(tmp_path, WORK) for _ in range(70_000 // 64)} == {1}
