"""What the end-to-end tests share: one bundle, and nodes that end with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.bundle import write_bundle
from tests.e2e.node import Node, NodeSettings
from tests.e2e.pacs import StandInPacs, running_pacs
from tests.peers import Address, free_port

StartNode = Callable[[NodeSettings], Node]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A [models] folder with the bundle `tiny`, which takes every image."""
    folder = tmp_path_factory.mktemp("models")
    write_bundle(folder)
    return folder


@pytest.fixture
def pacs() -> Iterator[StandInPacs]:
    """A PACS that takes every report."""
    with running_pacs(Address(port=free_port(), ae_title="PACS")) as running:
        yield running


@pytest.fixture
def settings(tmp_path: Path, models: Path, pacs: StandInPacs) -> NodeSettings:
    """A node in its own folder that reports to `pacs`."""
    return NodeSettings(
        folder=tmp_path / "node",
        models=models,
        address=Address(port=free_port()),
        destinations=[("pacs", pacs.address)],
    )


@pytest.fixture
def start_node() -> Iterator[StartNode]:
    """Start nodes; what still runs at the end is stopped."""
    nodes: list[Node] = []

    def start(settings: NodeSettings) -> Node:
        node = Node(settings=settings)
        nodes.append(node)
        return node.start()

    yield start
    for node in nodes:
        if node.tool is not None:
            node.tool.stop(seconds=30)
