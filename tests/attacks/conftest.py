"""One receiver for each module, warmed up before its baseline is taken."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.attacks.datasets import real_ct
from tests.attacks.peer import CLOSED, Peer
from tests.attacks.receiver import Receiver, running_receiver

# Short, so that what the receiver waits for is over within a test.
SHORT: dict[str, object] = {
    "acse_timeout_seconds": 1.5,
    "dimse_timeout_seconds": 1.5,
    "network_timeout_seconds": 1.5,
    "max_instance_bytes": 32 << 20,
    "max_inflated_bytes": 64 << 20,
}


@pytest.fixture(scope="module")
def receiver(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Receiver]:
    """A receiver with short timeouts; a module's RECEIVE changes its settings."""
    table = SHORT | getattr(request.module, "RECEIVE", {})
    with running_receiver(tmp_path_factory.mktemp("node"), table) as running:
        warm_up(running)
        yield running


def warm_up(receiver: Receiver) -> None:
    """Let the receiver load what it loads late and open what it keeps open."""
    dataset, instance = real_ct()

    def send(_: int) -> int:
        with Peer(receiver.port) as peer:
            status = peer.established().store(dataset, instance).status
            peer.release()
            return status

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(16))) == {0}
    with Peer(receiver.port) as stranger:
        stranger.send(b"GET / HTTP/1.1\r\n\r\n")
        assert stranger.answer().kind == CLOSED
    receiver.settle()
