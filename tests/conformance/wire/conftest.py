"""One pair of acceptors serves all tests of the folder."""

from collections.abc import Iterator

import pytest

from tests.conformance.wire.pair import Pair, running_pair


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Our acceptor and pynetdicom's, with the same limits."""
    with running_pair(tmp_path_factory.mktemp("wire")) as running:
        yield running
