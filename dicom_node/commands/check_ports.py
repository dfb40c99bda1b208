"""What `check` says of a port that the node wants, and of a certificate on it."""

import errno
import socket
from datetime import UTC, datetime

from dicom_node.core.errors import NodeError
from dicom_node.core.tls import EXPIRY_WARNING_DAYS


def look_at_port(host: str, port: int, *, table: str) -> str:
    """Tell whether the node can listen there, or somebody does already.

    Args:
        table: the settings that name both, as "web".

    Raises:
        NodeError: nobody can, or this user may not.
    """
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = min(found, key=lambda item: item[0])
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1)
    except (OSError, UnicodeError) as error:
        return _explain(error, host, port, table)
    return f"{host}:{port} is free" if port else f"{host} has a free one"


def days_left(end: datetime, what: str) -> int:
    """Return for how many days a certificate is good.

    Raises:
        NodeError: it has expired, or is about to.
    """
    left = end - datetime.now(UTC)
    if left.total_seconds() < 0:
        raise NodeError(f"{what} has expired: renew it")
    if left.days < EXPIRY_WARNING_DAYS:
        raise NodeError(f"{what} expires in {left.days} days: renew it")
    return left.days


def _explain(error: OSError | UnicodeError, host: str, port: int, table: str) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return (
            f"{host}:{port} is in use; fine if this node is running, else set "
            f"{table}.port to a free one"
        )
    if number == errno.EACCES:
        raise NodeError(
            f"port {port} needs privileges: set a {table}.port above 1023"
        ) from None
    raise NodeError(
        f"{table}.host '{host}' is no address of this machine: use 127.0.0.1 or one "
        "of its own addresses"
    ) from None
