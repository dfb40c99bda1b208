"""How the threads of a worker wait."""

import subprocess
import sys

import pytest

_SCRIPT = """
import os, sys
import dicom_node.commands.roles
from dicom_node.workers import calm_threads
calm_threads()
print("torch" in sys.modules, os.environ["OMP_WAIT_POLICY"])
"""


def _say(environment: dict[str, str]) -> str:
    found = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        env=environment,
        capture_output=True,
        check=True,
        text=True,
    )
    return found.stdout.strip()


@pytest.mark.parametrize(
    ("given", "policy"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")]
)
def test_openmp_is_told_to_sleep_before_torch_is_there_unless_told_otherwise(
    given: dict[str, str], policy: str
) -> None:
    assert _say(given) == f"False {policy}"
