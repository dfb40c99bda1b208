"""The ports that callers come to."""

import errno
import socket
from typing import Final

from dicom_node.core.errors import ConfigError
from dicom_node.receive.lobby import Listener
from dicom_node.receive.options import ReceiveOptions

# A burst of hundreds, half of it attackers, waits here and not for a SYN sent again.
_BACKLOG: Final = 1024


def open_listeners(options: ReceiveOptions) -> list[Listener]:
    """Open the port without TLS and the one with it, as far as they are wanted.

    Raises:
        ConfigError: an address cannot be listened on; the text has the remedy.
    """
    listeners = []
    if options.plain:
        listeners.append(Listener(listen(options.host, options.port)))
    if options.tls is not None:
        listener = listen(options.host, options.tls_port, setting="tls.port")
        listeners.append(Listener(listener, options.tls))
    return listeners


class PortTaken(ConfigError):
    """Somebody listens there already."""


def listen(host: str, port: int, *, setting: str = "node.port") -> socket.socket:
    """Open the listening socket.

    Raises:
        PortTaken: another program, or another node, has the port.
        ConfigError: the address or the port is none this user may listen on.
    """
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = min(found, key=lambda item: item[0])
        listener = socket.socket(family, kind, protocol)
    except OSError:
        raise ConfigError(
            f"node.host '{host}' is no address of this machine: use 127.0.0.1 or one "
            "of its own addresses"
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"port {port} on {host} is taken: stop the other program, or set "
                f"another {setting}"
            ) from None
        raise ConfigError(_explain(error, host, port, setting)) from None
    return listener


def _explain(error: OSError, host: str, port: int, setting: str) -> str:
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges: set a {setting} of 1024 or more"
    return (
        f"cannot listen on {host} port {port}: check node.host, it has to be an "
        "address of this machine"
    )
