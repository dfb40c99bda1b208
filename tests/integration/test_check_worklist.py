"""`check` says whether the worklist behind the proxy answers."""

import json
from pathlib import Path

import pytest

from dicom_node.cli import main
from tests.integration.worklist.stations import hospital
from tests.peers import free_port

WHAT = "the hospital's worklist"


def look(
    capsys: pytest.CaptureFixture[str], folder: Path, port: int, *lines: str
) -> tuple[bool, str]:
    """Return (good, detail) of the worklist."""
    file = folder / "node.toml"
    table = [
        "[node]",
        f"port = {free_port()}",
        "[worklist.proxy]",
        "port = 0",
        'upstream_host = "127.0.0.1"',
        f"upstream_port = {port}",
        'upstream_ae_title = "HOSPITAL"',
        *lines,
    ]
    file.write_text("\n".join(table), encoding="utf-8")
    main(["check", "--config", str(file), "--json"])
    found = json.loads(capsys.readouterr().out)["checks"]
    (one,) = [item for item in found if item["what"] == WHAT]
    return one["good"], one["detail"]


@pytest.mark.parametrize("lines", [(), ('calling_ae_title = "AINODE"',)])
def test_a_worklist_that_is_down_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: tuple[str, ...]
) -> None:
    good, detail = look(capsys, tmp_path, free_port(), *lines)
    assert not good
    assert "upstream_port in worklist.proxy" in detail


@pytest.mark.parametrize(
    ("lines", "words"),
    [((), "listens"), (('calling_ae_title = "AINODE"',), "takes queries of AINODE")],
)
def test_a_worklist_that_answers_is_well(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    lines: tuple[str, ...],
    words: str,
) -> None:
    with hospital(lambda _: iter([(0x0000, None)])) as port:
        good, detail = look(capsys, tmp_path, port, *lines)
    assert good
    assert words in detail
