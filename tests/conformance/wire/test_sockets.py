"""No sender waits for a delayed acknowledgement, as none can be told to prevent it."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from tests.conformance.wire.answers import read_pdu
from tests.conformance.wire.datasets import new_uid
from tests.conformance.wire.pair import Pair
from tests.conformance.wire.pdu import (
    ASSOCIATE_AC,
    COMMAND,
    LAST,
    P_DATA,
    Offer,
    Store,
    pdu,
    pdv,
)
from tests.integration.receive.node import until
from tests.peers import Address, storescu

# Linux delays an acknowledgement by 40 ms; so many images make it plain.
IMAGES = 20


@contextmanager
def accepted_end(connection: socket.socket) -> Iterator[socket.socket]:
    """Find the acceptor's socket of a connection among this process's descriptors."""
    for name in os.listdir("/proc/self/fd"):
        try:
            candidate = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # no socket, or closed by now
            continue
        with candidate:
            try:
                if candidate.getpeername() == connection.getsockname():
                    yield candidate
                    return
            except OSError:
                continue
    pytest.fail("the acceptor has no socket for the connection")


@pytest.mark.skipif(
    not hasattr(socket, "TCP_QUICKACK"), reason="Linux has TCP_QUICKACK"
)
def test_both_options_are_set_while_a_data_set_comes_in(pair: Pair) -> None:
    with socket.create_connection(("127.0.0.1", pair.node.port), 20) as connection:
        connection.sendall(Offer().encode())
        assert read_pdu(connection).kind == ASSOCIATE_AC
        command = Store(sop_instance_uid=new_uid()).encode()
        connection.sendall(
            pdu(P_DATA, pdv(3, COMMAND | LAST, command) + pdv(3, 0, b"\x08\0"))
        )
        with accepted_end(connection) as accepted:

            def option(name: int) -> bool:
                return bool(accepted.getsockopt(socket.IPPROTO_TCP, name))

            assert option(socket.TCP_NODELAY)
            until(lambda: option(socket.TCP_QUICKACK))


def test_a_stock_storescu_is_not_stalled(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TCP_NODELAY", raising=False)
    file = Path(str(get_testdata_file("CT_small.dcm")))

    def seconds(port: int) -> float:
        started = time.perf_counter()
        sent = storescu(Address(port=port), [file], options=["--repeat", str(IMAGES)])
        assert sent.returncode == 0, sent.stdout
        return time.perf_counter() - started

    ours, theirs = (min(seconds(port) for _ in range(3)) for port in pair.ports)
    # pynetdicom leaves both as they are, so it waits for every image.
    assert ours < theirs / 2
