"""What `check` says of a port that the node wants, and of a certificate on it."""

import os
from datetime import UTC, datetime
from pathlib import Path

from config.settings import Settings
from dicom_node.core.errors import NodeError
from dicom_node.core.tls import EXPIRY_WARNING_DAYS
from dicom_node.listening import Place, PortTaken, listen
from dicom_node.observe.slots import read_slots


def look_at_port(settings: Settings, host: str, port: int, *, table: str) -> str:
    """Tell whether the node can listen there, or does already.

    Args:
        table: the settings that name both, as "web".

    Raises:
        NodeError: nobody can, this user may not, or another program does.
    """
    place = Place(
        host=host,
        port=port,
        host_setting=f"{table}.host",
        port_setting=f"{table}.port",
    )
    return look_at(settings, place)


def look_at(settings: Settings, place: Place) -> str:
    """Tell whether the node can listen in a place, or does already.

    Raises:
        NodeError: nobody can, this user may not, or another program does.
    """
    host, port = place.host, place.port
    try:
        listen(place).close()
    except PortTaken as error:
        if not _may_run(settings.metrics_dir):
            raise NodeError(str(error)) from None
        return (
            f"{host}:{port} is in use; fine if this node is running, else set "
            f"{place.port_setting} to a free one"
        )
    return f"{host}:{port} is free" if port else f"{host} has a free one"


def _may_run(folder: Path) -> bool:
    """Say whether a process of this node lives, or this user may not know it.

    Args:
        folder: what the node's processes on this machine count in.
    """
    try:
        os.scandir(folder).close()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return any(slot.alive for slot in read_slots(folder))


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
