"""Ports for the servers of the tests."""

import os
import socket
from contextlib import suppress
from itertools import cycle, islice
from random import SystemRandom

_PORTS = range(16_000, 32_000)  # ip(7), ip_local_port_range: 32768 and above


def free_port() -> int:
    """Return a TCP port on loopback that was free a moment ago.

    Below those that the system gives to whoever connects: it would give this one too.
    """
    for port in islice(_untried, len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


def _ports_of_this_worker() -> list[int]:
    """Return ports, in a random order, that no other process of this run gives out."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    ports = _PORTS[number::count]
    return SystemRandom().sample(ports, len(ports))


# A port is given a second time only when all others have been.
_untried = cycle(_ports_of_this_worker())
