"""Fixtures for every test."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.orthanc import Orthanc, OrthancSettings, start_orthanc
from tests.peers import Machine, StoreScp, running_storescp
from tests.starter import Starter

# Tests share the cores: threads of a model that wait for one another sleep, for
# spinning takes the core from the one they wait for. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


_STARTER = pytest.StashKey[Starter]()


def pytest_configure(config: pytest.Config) -> None:
    """Start what starts nodes, once for all workers."""
    if not hasattr(config, "workerinput"):
        config.stash[_STARTER] = Starter()


def pytest_unconfigure(config: pytest.Config) -> None:
    """End what starts nodes."""
    if _STARTER in config.stash:
        config.stash[_STARTER].close()


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Where a test puts the programs it starts; they end with it."""
    machine = Machine()
    yield machine
    machine.stop()


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Orthanc]:
    """An empty Orthanc that takes every C-STORE."""
    running = start_orthanc(tmp_path / "orthanc")
    yield running
    running.stop()


@pytest.fixture
def make_orthanc(
    tmp_path: Path, machine: Machine
) -> Callable[[OrthancSettings], Orthanc]:
    """Start Orthancs with settings of one's own; they end with the test."""

    def make(settings: OrthancSettings) -> Orthanc:
        running = start_orthanc(tmp_path / f"orthanc-{settings.ae_title}", settings)
        machine.add(running.tool)
        return running

    return make


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[StoreScp]:
    """dcmtk's storescp, which accepts every transfer syntax."""
    with running_storescp(tmp_path / "storescp") as running:
        yield running
