"""What the tables of the settings must agree on."""

from collections.abc import Callable, Collection, Iterable, Iterator
from ipaddress import ip_address
from itertools import combinations
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from config.settings import Settings


def disagreements(settings: "Settings", unsound: Collection[str] = ()) -> list[str]:
    """Return what does not fit together, each with its remedy.

    Args:
        unsound: tables and settings that could not be read, by their dotted names;
            nothing is said about them.
    """
    return [
        fault
        for check, names in _CHECKS
        if not any(_covers(one, other) for one in names for other in unsound)
        for fault in check(settings)
    ]


def _covers(one: str, other: str) -> bool:
    """Say whether of two dotted names one is the other or a part of it."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches what listens on this host."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_any(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _names(settings: "Settings") -> Iterator[str]:
    titles = [settings.node.ae_title, *(item.ae_title for item in settings.called)]
    for kind, names in (
        ("destination name", [item.name for item in settings.destinations]),
        ("route name", [item.name for item in settings.routes]),
        ("called AE title", [title.strip() for title in titles]),
    ):
        for name in _twice(names):
            yield f"{kind} '{name}' is used twice: names must differ"
    known = {item.name for item in settings.destinations}
    named = [(f"route '{item.name}'", item.destinations) for item in settings.routes]
    named += [
        (f"called AE title '{item.ae_title}'", item.destinations or ())
        for item in settings.called
    ]
    for who, destinations in named:
        for name in destinations:
            if name not in known:
                yield (
                    f"{who} names destination '{name}', which no [[destinations]] "
                    "table has"
                )


def _reachable(settings: "Settings") -> Iterator[str]:
    if not settings.loopback_only and not settings.peers:
        yield (
            "node.host is not loopback and there is no [[peers]] table: "
            "say who may call, or listen on 127.0.0.1"
        )
    proxy = settings.worklist.proxy
    if proxy.port is not None and not is_loopback(proxy.host) and not settings.peers:
        yield (
            "worklist.proxy.host is not loopback and there is no [[peers]] table: "
            "say who may call, or listen on 127.0.0.1"
        )
    web = settings.web
    if web.port and web.login_required and not web.token_file:
        why = (
            "web.behind_proxy is set"
            if web.behind_proxy
            else "web.host is not loopback"
        )
        yield (
            f"{why} and there is no web.token_file: name a file with a token that only "
            "this user may read, or listen on 127.0.0.1 without a proxy"
        )


def _tls(settings: "Settings") -> Iterator[str]:
    tls, node = settings.tls, settings.node
    if tls.port is None:
        if not node.plain:
            yield "node.plain is false and there is no tls.port: nothing would listen"
        return
    if tls.certificate is None or tls.private_key is None:
        yield "tls.port needs tls.certificate and tls.private_key"
    if tls.ca is None and tls.client_certificate == "required":
        yield (
            "tls.port needs tls.ca, who signs the callers' certificates; or set "
            'tls.client_certificate = "none"'
        )
    if node.plain and tls.port and tls.port == node.port:
        yield "tls.port and node.port are the same: TLS needs a port of its own"


def _callers(settings: "Settings") -> Iterator[str]:
    tls, proxy = settings.tls, settings.worklist.proxy
    for peer in settings.peers:
        secure = tls.port is not None or proxy.tls
        if not secure and (peer.certificate_subject or peer.username):
            yield (
                f"peer '{peer.ae_title}' has certificate_subject or username, which "
                "need TLS: set tls.port"
            )
        checked = (tls.port is not None and tls.ca) or (proxy.tls and proxy.ca)
        if secure and not checked and peer.certificate_subject:
            yield (
                f"peer '{peer.ae_title}' has certificate_subject, and without tls.ca "
                "no certificate is ever checked: set tls.ca"
            )


def _ports(settings: "Settings") -> Iterator[str]:
    node, web, proxy = settings.node, settings.web, settings.worklist.proxy
    ports = (
        ("node.port", node.host, node.port if node.plain else None),
        ("tls.port", node.host, settings.tls.port),
        ("web.port", web.host, web.port),
        ("worklist.proxy.port", proxy.host, proxy.port),
    )
    for (one, host, port), (other, other_host, other_port) in combinations(ports, 2):
        meet = host == other_host or _is_any(host) or _is_any(other_host)
        if port and port == other_port and meet and other != "tls.port":
            yield f"{one} and {other} are the same: each needs a port of its own"


def _twice(names: Iterable[str]) -> list[str]:
    listed = list(names)
    return sorted({name for name in listed if listed.count(name) > 1})


_Check = Callable[["Settings"], Iterator[str]]
_CHECKS: Final[tuple[tuple[_Check, tuple[str, ...]], ...]] = (
    (_names, ("node.ae_title", "called", "destinations", "routes")),
    (_reachable, ("node.host", "peers", "web", "worklist.proxy")),
    (_tls, ("node", "tls")),
    (_callers, ("peers", "tls", "worklist.proxy")),
    (_ports, ("node", "tls.port", "web", "worklist.proxy")),
)
