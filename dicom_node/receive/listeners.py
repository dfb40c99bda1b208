"""The ports that callers come to."""

from typing import Final

from dicom_node.listening import Place, listen
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
        place = node_place(options.host, options.port, port_setting="node.port")
        listeners.append(Listener(listen(place)))
    if options.tls is not None:
        place = node_place(options.host, options.tls_port, port_setting="tls.port")
        listeners.append(Listener(listen(place), options.tls))
    return listeners


def node_place(host: str, port: int, *, port_setting: str) -> Place:
    """Return where the node listens for DICOM."""
    return Place(
        host=host,
        port=port,
        host_setting="node.host",
        port_setting=port_setting,
        backlog=_BACKLOG,
    )
