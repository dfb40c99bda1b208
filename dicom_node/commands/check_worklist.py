"""What `check` looks at of the proxy: its port, and the hospital's worklist."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from config.settings import Settings
from dicom_node.commands.check_ports import days_left, look_at_port
from dicom_node.core.errors import NodeError
from dicom_node.core.tls import expiries
from dicom_node.proxying import port_tls
from dicom_node.worklist.proxy_check import ask_for_nobody
from dicom_node.worklist.proxy_messages import UpstreamError
from dicom_node.worklist.proxy_upstream import UpstreamPeer, connect


def looks_at_worklist(
    settings: Settings,
) -> Iterator[tuple[str, Callable[[Settings], str]]]:
    """Iterate over what there is to look at, by name."""
    proxy = settings.worklist.proxy
    if proxy.port is None:
        return
    yield "worklist proxy", _port
    if proxy.tls:
        yield "worklist proxy's TLS", _tls
    if proxy.upstream_certificate is not None:
        yield "worklist proxy's certificate upstream", _own_certificate
    yield "the hospital's worklist", _upstream


def _port(settings: Settings) -> str:
    proxy = settings.worklist.proxy
    port = proxy.port or 0
    return look_at_port(settings, proxy.host, port, table="worklist.proxy")


def _tls(settings: Settings) -> str:
    proxy = settings.worklist.proxy
    tls = port_tls(proxy)
    if tls is None:
        return "off"
    if proxy.ca is not None:
        end = max(expiries(proxy.ca, "worklist.proxy: ca"))
        days_left(end, "every certificate of worklist.proxy.ca")
    what = "worklist.proxy.certificate, or one of its chain,"
    return f"files fit together, good for {days_left(tls.expires, what)} days"


def _own_certificate(settings: Settings) -> str:
    setting = "worklist.proxy.upstream_certificate"
    path = settings.worklist.proxy.upstream_certificate or Path()
    return f"good for {days_left(min(expiries(path, setting)), setting)} days"


def _upstream(settings: Settings) -> str:
    """Query it, if it is known how the proxy will call."""
    table = settings.worklist.proxy
    peer = UpstreamPeer.from_table(table, caller="")
    where = f"{peer.called_ae_title} at {peer.host}:{peer.port}"
    try:
        with closing(connect(peer)):
            pass
    except UpstreamError as error:
        raise NodeError(
            f"{where} cannot be reached: {error}; start it, or check upstream_host and "
            "upstream_port in worklist.proxy"
        ) from None
    if not peer.calling_ae_title:
        return f"{where} listens; whom it lets in shows with the first query"
    try:
        ask_for_nobody(peer)
    except UpstreamError as error:
        raise NodeError(
            f"{where} takes no queries of {peer.calling_ae_title}: {error}"
        ) from None
    return f"{where} takes queries of {peer.calling_ae_title}"
