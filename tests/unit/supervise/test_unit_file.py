"""The systemd unit that ships."""

import shutil
import subprocess
from pathlib import Path

import pytest

from config.settings import WorkTable
from tests.peers import PROJECT

UNIT = PROJECT / "deploy" / "dicom-node.service"


def _service() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_the_unit_is_one_that_systemd_reads_without_a_warning(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing: apt-get install systemd")
    # The program is not installed where the unit says.
    text = UNIT.read_text().replace("/opt/dicom-node/.venv/bin/dicom-node", "/bin/true")
    copy = tmp_path / UNIT.name
    copy.write_text(text)
    ended = subprocess.run(
        ["systemd-analyze", "verify", str(copy)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


def test_the_unit_gives_the_drain_its_time_and_signals_serve_alone() -> None:
    service = _service()
    drained = 3 * WorkTable().drain_seconds
    assert float(service["TimeoutStopSec"][0]) >= drained + 20
    assert service["KillMode"] == ["mixed"]
    assert service["Type"] == ["notify"]
    assert service["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    # A wrong configuration stays wrong: exit code 2 is not tried again.
    assert service["RestartPreventExitStatus"] == ["2"]


def test_the_unit_gives_no_right_that_the_node_does_not_need() -> None:
    service = _service()
    for key, value in {
        "User": "dicom-node",
        "UMask": "0077",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "PrivateTmp": "yes",
        "CapabilityBoundingSet": "",
        "LimitCORE": "0",
        "NoExecPaths": "/var/lib/dicom-node",
        "RestrictSUIDSGID": "yes",
    }.items():
        assert service[key] == [value], key
    assert service["SystemCallFilter"] == ["@system-service", "~@privileged"]
    assert "MemoryMax" in service
    assert "TasksMax" in service
