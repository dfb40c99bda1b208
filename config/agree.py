"""What the tables of the settings must agree on."""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from config.settings import Settings


def disagreements(settings: "Settings") -> list[str]:
    """Return what does not fit together, each with its remedy."""
    return [
        *_names(settings),
        *_reachable(settings),
        *_tls(settings),
        *_callers(settings),
    ]


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches what listens on this host."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
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


def _twice(names: Iterable[str]) -> list[str]:
    listed = list(names)
    return sorted({name for name in listed if listed.count(name) > 1})
