"""Nodes that end with their test, whatever happened to them."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.harness import FaultNode
from tests.faults.senders import SenderLog

MakeNode = Callable[..., FaultNode]


@pytest.fixture
def make_node(tmp_path: Path) -> Iterator[MakeNode]:
    """Make nodes in folders of their own; what still runs at the end is killed."""
    made: list[FaultNode] = []

    def make(**options: Any) -> FaultNode:
        folder = tmp_path / f"node{len(made)}"
        made.append(FaultNode(**{"folder": folder, **options}))
        return made[-1]

    yield make
    for node in made:
        if node.process is not None and node.alive():
            node.process.send_signal(signal.SIGCONT)
            node.kill()


@pytest.fixture
def log() -> SenderLog:
    """What the senders of this test heard."""
    return SenderLog()
