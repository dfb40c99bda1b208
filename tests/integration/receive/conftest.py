"""Raw peers end with their test."""

from collections.abc import Iterator

import pytest

from tests.integration.receive.wire import OPEN


@pytest.fixture(autouse=True)
def close_raw_peers() -> Iterator[None]:
    """Close every connection that a test left open."""
    yield
    while OPEN:
        OPEN.pop().close()
