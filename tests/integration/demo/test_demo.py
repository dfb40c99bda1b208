"""The demo as a user starts it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from tests.peers import ToolProcess, start_tool, wait_until

pytestmark = pytest.mark.slow
SECONDS = 120


def _run(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    # A user's own settings must not reach the demo's node.
    environment = {**os.environ, "DICOM_NODE_NODE__PORT": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "dicom_node", "demo", "--json", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=environment,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def _still_running(folder: Path) -> list[str]:
    """Return the command lines of processes that name the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if any(str(folder) in word for word in words):
            found.append(" ".join(words))
    return found


def test_the_demo_shows_every_outcome_checks_itself_and_ends_its_processes(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "out"

    code, document = _run("--output", folder)

    assert [check for check in document["checks"] if not check["passed"]] == []
    assert code == 0
    outcomes = [job["outcome"] for s in document["studies"] for job in s["jobs"]]
    assert sorted(outcomes) == ["absent", "not_evaluated", "present"]
    assert sum(s["state"] == "IGNORED" for s in document["studies"]) == 2
    kept = [path.suffix for path in (folder / "pacs" / "reports").iterdir()]
    # A report and a summary picture of each of two studies, drawn beside it.
    assert sorted(kept) == [".dcm"] * 4 + [".png"] * 2
    assert document["seconds"] < SECONDS
    assert _still_running(folder) == []


def test_own_files_are_answered_and_a_broken_one_makes_the_demo_fail(
    tmp_path: Path,
) -> None:
    content = Path(str(get_testdata_file("CT_small.dcm", download=False))).read_bytes()
    own = tmp_path / "own"
    own.mkdir()
    (own / "good.dcm").write_bytes(content)
    (own / "cut.dcm").write_bytes(content[: len(content) // 4 * 2])
    (own / "notes.txt").write_text("no image")

    code, document = _run("--output", tmp_path / "out", "--data", own)

    assert code == 1
    (failed,) = [check for check in document["checks"] if not check["passed"]]
    assert "cut.dcm" in failed["fault"]
    (study,) = document["studies"]
    assert study["state"] == "IGNORED"
    assert _still_running(tmp_path / "out") == []


def test_a_demo_that_is_stopped_leaves_no_process_behind(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    source = get_testdata_file("CT_small.dcm", download=False)
    (own / "ct.dcm").write_bytes(Path(str(source)).read_bytes())
    folder = tmp_path / "out"
    command: list[str | Path] = [sys.executable, "-m", "dicom_node", "demo"]
    demo = start_tool(
        [*command, "--data", own, "--output", folder], log=tmp_path / "screen"
    )
    try:
        wait_until(
            lambda: _config_processes(folder), what="the node starts", seconds=60
        )
        demo.process.send_signal(signal.SIGTERM)
        assert _end(demo) == 128 + signal.SIGTERM
    finally:
        demo.stop()

    assert _still_running(folder) == []


def _config_processes(folder: Path) -> list[str]:
    config = str(folder / "node.toml")
    return [line for line in _still_running(folder) if config in line]


def _end(demo: ToolProcess) -> int:
    return demo.process.wait(60)
