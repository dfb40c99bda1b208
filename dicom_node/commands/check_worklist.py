"""What `check` looks at of the proxy: whether the hospital's worklist answers."""

import socket
from collections.abc import Callable, Iterator

from config.settings import Settings
from dicom_node.commands.check_ports import look_at_port
from dicom_node.core.errors import NodeError
from dicom_node.worklist.proxy_messages import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    UpstreamError,
)
from dicom_node.worklist.proxy_upstream import Upstream, UpstreamPeer


def looks_at_worklist(
    settings: Settings,
) -> Iterator[tuple[str, Callable[[Settings], str]]]:
    """Iterate over what there is to look at, by name."""
    if settings.worklist.proxy.port is not None:
        yield "worklist proxy", _port
        yield "the hospital's worklist", _upstream


def _port(settings: Settings) -> str:
    table = settings.worklist.proxy
    return look_at_port(table.host, table.port or 0, table="worklist.proxy")


def _upstream(settings: Settings) -> str:
    """Open an association with it, if it is known how the proxy will call."""
    table = settings.worklist.proxy
    address = (table.upstream_host, table.upstream_port)
    where = f"{table.upstream_ae_title} at {address[0]}:{address[1]}"
    try:
        if not table.calling_ae_title:
            socket.create_connection(address, table.timeout_seconds).close()
            return f"{where} listens; whom it lets in shows with the first query"
        peer = UpstreamPeer(
            host=table.upstream_host,
            port=table.upstream_port,
            called_ae_title=table.upstream_ae_title,
            calling_ae_title=table.calling_ae_title,
            timeout_seconds=table.timeout_seconds,
        )
        with Upstream(peer, EXPLICIT_VR_LITTLE_ENDIAN):
            return f"{where} takes queries of {table.calling_ae_title}"
    except (OSError, UnicodeError):
        raise NodeError(
            f"{where} cannot be reached: start it, or check upstream_host and "
            "upstream_port in worklist.proxy"
        ) from None
    except UpstreamError as error:
        raise NodeError(
            f"{where} takes no queries of {table.calling_ae_title}: {error}"
        ) from None
