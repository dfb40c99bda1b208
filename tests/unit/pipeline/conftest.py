"""A node to test the steps on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.pipeline.node import Node, open_node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Give a new node."""
    with open_node(tmp_path) as opened:
        yield opened
