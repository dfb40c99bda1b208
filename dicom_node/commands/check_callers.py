"""What `check` looks at of TLS, callers and called AE titles."""

import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from config.destinations import DestinationTable
from config.settings import CalledTable, PeerTable, Settings
from dicom_node.commands.check_ports import days_left, look_at
from dicom_node.core.errors import NodeError
from dicom_node.core.tls import expiries
from dicom_node.receive.identity import read_passcode
from dicom_node.receive.listeners import node_place
from dicom_node.receive.options import sop_classes_of
from dicom_node.receive.tls import ServerTLS

Look = Callable[[Settings], str]


def looks_at_callers(settings: Settings) -> Iterator[tuple[str, Look]]:
    """Iterate over what there is to look at, by name."""
    if settings.node.plain:
        yield "port", partial(_port, port=settings.node.port, setting="node.port")
    if settings.tls.port is not None:
        port = settings.tls.port
        yield "TLS port", partial(_port, port=port, setting="tls.port")
        yield "TLS", _tls
    for peer in settings.peers:
        if peer.passcode_file is not None:
            yield f"passcode of peer '{peer.ae_title}'", partial(_passcode, peer=peer)
        if peer.host:
            yield f"host of peer '{peer.ae_title}'", partial(_host, peer=peer)
    for called in settings.called:
        yield f"called AE title '{called.ae_title}'", partial(_called, called=called)
    for table in settings.destinations:
        if table.tls and table.certificate is not None:
            name = f"TLS certificate for destination '{table.name}'"
            yield name, partial(_own_certificate, table=table)


def _port(settings: Settings, *, port: int, setting: str) -> str:
    place = node_place(settings.node.host, port, port_setting=setting)
    return look_at(settings, place)


def _tls(settings: Settings) -> str:
    table = settings.tls
    tls = ServerTLS.from_table(table)
    if table.ca is not None:
        # Older authorities may stay in the file; one that is good has to be there.
        days_left(max(expiries(table.ca, "tls: ca")), "every certificate of tls.ca")
    days = days_left(tls.expires, "tls.certificate, or one of its chain,")
    callers = (
        "callers need a certificate"
        if table.client_certificate == "required"
        else "callers may come without a certificate"
    )
    return f"files fit together, good for {days} days, {callers}"


def _own_certificate(_settings: Settings, *, table: DestinationTable) -> str:
    setting = f"destination '{table.name}': certificate"
    days = days_left(min(expiries(table.certificate or Path(), setting)), setting)
    return f"good for {days} days"


def _passcode(_settings: Settings, *, peer: PeerTable) -> str:
    read_passcode(
        peer.passcode_file or Path(), f"peer '{peer.ae_title}': passcode_file"
    )
    return "readable by this user only"


def _host(_settings: Settings, *, peer: PeerTable) -> str:
    if "/" in peer.host:
        return f"the range {peer.host}"
    try:
        found = socket.getaddrinfo(peer.host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise NodeError(
            f"{peer.host} has no address: check the name and the name service; until "
            "then nobody is let in by this entry"
        ) from None
    return ", ".join(sorted({str(item[4][0]) for item in found}))


def _called(settings: Settings, *, called: CalledTable) -> str:
    count = len(sop_classes_of(called))
    classes = f"{count} SOP classes" if count else "every storage SOP class"
    quiet = called.quiet_seconds or settings.study.quiet_seconds
    return f"{classes}, a study is complete after {quiet:g} s"
