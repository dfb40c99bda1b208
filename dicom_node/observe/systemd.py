"""Tell systemd how the node is: sd_notify(3), one datagram each."""

import contextlib
import logging
import math
import socket
import time
from typing import Final

log = logging.getLogger("dicom_node.serve")

_SEND_SECONDS: Final = 1.0


class ServiceManager:
    """The service manager that started `serve`; says nothing where there is none.

    Args:
        address: of the socket, NOTIFY_SOCKET; "" for none.
        watchdog_seconds: how long it waits for a sign of life; 0 for ever.
    """

    def __init__(self, address: str = "", watchdog_seconds: float = 0.0) -> None:
        # "@" is an address without a file: unix(7), abstract sockets.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._every = watchdog_seconds / 2
        # Not 0: the clock may have begun a moment ago, with the machine.
        self._alive_at = -math.inf

    def ready(self, status: str) -> None:
        """Say that start-up is done."""
        self._tell(f"READY=1\nSTATUS={status}")

    def stopping(self) -> None:
        """Say that the drain has begun."""
        self._tell("STOPPING=1\nSTATUS=draining")

    def alive(self) -> None:
        """Give a sign of life when one is due."""
        now = time.monotonic()
        if self._every and now - self._alive_at >= self._every:
            self._alive_at = now
            self._tell("WATCHDOG=1")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        # A service manager that does not listen must not keep the node from working.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out,
        ):
            out.settimeout(_SEND_SECONDS)
            out.sendto(message.encode(), self._address)
