"""What a fresh clone installs from, and what a wheel would hold."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distributions, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

from tests.peers import PROJECT


def _constraints() -> dict[str, str]:
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    found: dict[str, str] = {}
    for line in pins:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!]+)", line)
        assert match, f"not an exact pin: {line}"
        found[canonicalize_name(match[1])] = match[2]
    return found


def _project() -> dict[str, Any]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert isinstance(project, dict)
    return project


def _requirements() -> list[Requirement]:
    project = _project()
    listed = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        listed += extra
    found = [Requirement(text) for text in listed]
    return [item for item in found if item.name != project["name"]]


def test_every_dependency_is_pinned_within_its_bounds() -> None:
    pins = _constraints()
    for requirement in _requirements():
        pin = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin), requirement


def test_what_the_dependencies_need_is_pinned_too() -> None:
    pins = _constraints()
    waiting = [(canonicalize_name(item.name), item.extras) for item in _requirements()]
    seen: set[NormalizedName] = set()
    while waiting:
        name, extras = waiting.pop()
        assert name in pins
        if name in seen:
            continue
        seen.add(name)
        for text in requires(name) or ():
            item = Requirement(text)
            wanted = [{"extra": extra} for extra in (*extras, "")]
            if item.marker is None or any(map(item.marker.evaluate, wanted)):
                waiting.append((canonicalize_name(item.name), item.extras))


def test_what_is_installed_here_is_what_is_pinned() -> None:
    here: dict[str, str] = {
        canonicalize_name(item.metadata["Name"]): Version(item.version).public
        for item in distributions()
    }
    differing = {
        name: (here[name], pin)
        for name, pin in _constraints().items()
        if name in here and here[name] != pin
    }
    assert differing == {}


def test_torch_is_pinned_for_cpu_and_cuda_alike() -> None:
    pins = _constraints()
    assert pins["torch"] == "2.13.0"
    assert pins["torchvision"] == "0.28.0"
    assert [name for name in pins if name.startswith(("nvidia", "triton"))] == []


def test_no_dependency_is_under_the_gpl() -> None:
    assert "pylibjpeg-libjpeg" not in _constraints()


def test_make_help_names_every_target() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for target in ("install", "demo", "test", "check", "bench", "clean"):
        assert f"make {target} " in shown


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ('case "$*" in *version_info*) exit 1;; esac', "not a Python 3.11 or newer"),
        ('case "$*" in *ensurepip*) exit 1;; esac', "apt-get install python3-venv"),
    ],
    ids=["too old", "no venv module"],
)
def test_install_says_in_a_sentence_what_the_machine_lacks(
    script: str, sentence: str, tmp_path: Path
) -> None:
    fake = tmp_path / "python"
    fake.write_text(f'#!/bin/sh\n{script}\nexec {sys.executable} "$@"\n')
    fake.chmod(0o755)
    ended = subprocess.run(
        ["bash", PROJECT / "scripts" / "install", "core"],
        env={**os.environ, "PYTHON": str(fake), "VENV": str(tmp_path / "venv")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode != 0
    assert sentence in ended.stderr
    assert not (tmp_path / "venv").exists()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names in the wheel that a copy of the tracked files builds."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-z"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout: which files belong to it is not known")
    for name in listed.stdout.split("\0"):
        if name and (PROJECT / name).is_file() and not name.endswith(".safetensors"):
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(PROJECT / name, target)
    output = source / "out"
    pip = [sys.executable, "-m", "pip", "-q", "wheel", "--no-deps"]
    subprocess.run(
        [*pip, "--no-build-isolation", "-w", str(output), str(source)],
        check=True,
        capture_output=True,
    )
    [file] = output.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_the_four_packages_and_their_data(wheel: set[str]) -> None:
    tops = {name.split("/")[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "dicom_node",
        "inference",
        "db",
        "config",
    }
    assert "config/example.toml" in wheel
    assert "db/migrations/env.py" in wheel
    assert any(name.startswith("db/migrations/versions/r0001") for name in wheel)


def test_no_third_party_pixels_are_in_the_repository() -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=False
    ).stdout.splitlines()
    suffixes = (".dcm", ".jpg", ".jpeg", ".png", ".tif", ".bmp")
    images = [name for name in listed if name.lower().endswith(suffixes)]
    assert [
        name for name in images if not name.startswith(("docs/", "inference/bundles/"))
    ] == []


def test_what_is_set_for_pip_counts_for_uv(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://mirror/simple\ntimeout = 90\n"
        "[install]\nextra-index-url = https://one/simple\n  https://two/simple\n"
    )
    environment = {
        "PATH": os.environ["PATH"],
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
        "PIP_FIND_LINKS": "/wheels",
        "PIP_CERT": "/etc/authority.pem",
    }
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    told = {
        wanted: subprocess.run(
            [sys.executable, PROJECT / "scripts" / "uv_settings.py", wanted],
            input=listed,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for wanted in ("options", "env")
    }
    assert {
        "--default-index=https://mirror/simple",
        "--index=https://one/simple",
        "--index=https://two/simple",
        "--find-links=/wheels",
    } <= set(told["options"])
    assert "SSL_CERT_FILE=/etc/authority.pem" in told["env"]
    assert "UV_HTTP_TIMEOUT=90" in told["env"]
