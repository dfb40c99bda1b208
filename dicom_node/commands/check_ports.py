"""What `check` says of a port that the node wants, and of a certificate on it."""

from datetime import UTC, datetime

from dicom_node.core.errors import NodeError
from dicom_node.core.tls import EXPIRY_WARNING_DAYS
from dicom_node.listening import Place, PortTaken, listen


def look_at_port(host: str, port: int, *, table: str) -> str:
    """Tell whether the node can listen there, or somebody does already.

    Args:
        table: the settings that name both, as "web".

    Raises:
        NodeError: nobody can, or this user may not.
    """
    place = Place(
        host=host,
        port=port,
        host_setting=f"{table}.host",
        port_setting=f"{table}.port",
    )
    return look_at(place)


def look_at(place: Place) -> str:
    """Tell whether the node can listen in a place, or somebody does already.

    Raises:
        NodeError: nobody can, or this user may not.
    """
    host, port = place.host, place.port
    try:
        listen(place).close()
    except PortTaken:
        return (
            f"{host}:{port} is in use; fine if this node is running, else set "
            f"{place.port_setting} to a free one"
        )
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
