"""A listening socket, or why there is none."""

import errno
import socket
from dataclasses import dataclass

from dicom_node.core.errors import ConfigError


class PortTaken(ConfigError):
    """Somebody listens there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to listen, and the settings that say so.

    Args:
        port: 0 is any free one.
        backlog: how many callers the kernel keeps waiting.
    """

    host: str
    port: int
    host_setting: str
    port_setting: str
    backlog: int = 64


def listen(place: Place) -> socket.socket:
    """Open the listening socket.

    Raises:
        PortTaken: another program, or another node, has the port.
        ConfigError: the address or the port is none this user may listen on.
    """
    try:
        found = socket.getaddrinfo(
            place.host, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = min(found, key=lambda item: item[0])
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError):
        raise ConfigError(
            f"{place.host_setting} '{place.host}' is no address of this machine: use "
            "127.0.0.1 or one of its own addresses"
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(place.backlog)
    except OSError as error:
        listener.close()
        raise _refusal(error, place) from None
    return listener


def _refusal(error: OSError, place: Place) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"port {place.port} on {place.host} is taken: stop the other program, or "
            f"set another {place.port_setting}"
        )
    if error.errno == errno.EACCES:
        return ConfigError(
            f"port {place.port} needs privileges: set a {place.port_setting} of 1024 "
            "or more"
        )
    return ConfigError(
        f"cannot listen on {place.host} port {place.port}: check "
        f"{place.host_setting}, it has to be an address of this machine"
    )
