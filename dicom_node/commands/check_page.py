"""What `check` looks at of the page: its port, certificate, token and logins."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import db.schema
from config.settings import Settings
from db.people import has_users
from dicom_node.commands.check_ports import days_left, look_at_port
from dicom_node.core.errors import NodeError
from dicom_node.core.tls import expiries

Look = Callable[[Settings], str]


def looks_at_page(settings: Settings) -> Iterator[tuple[str, Look]]:
    """Iterate over what there is to look at, by name."""
    if not settings.web.port:
        return
    yield "page", _port
    if settings.web.certificate is not None:
        yield "page's certificate", _certificate
    if settings.web.token_file is not None:
        yield "page's token", _token
    if settings.web.login_required:
        yield "page's logins", _logins


def _port(settings: Settings) -> str:
    web = settings.web
    state = look_at_port(settings, web.host, web.port, table="web")
    if web.login_required and not web.secure:
        return (
            f"{state}; passwords cross the network in plain text: set web.certificate "
            "and web.private_key"
        )
    return state


def _certificate(settings: Settings) -> str:
    from dicom_node.commands.web import https_context

    https_context(settings.web)
    end = min(expiries(settings.web.certificate or Path(), "web.certificate"))
    days = days_left(end, "web.certificate, or one of its chain,")
    return f"fits web.private_key, good for {days} days"


def _token(settings: Settings) -> str:
    from dicom_node.web.token import Token

    Token(settings.web.token_file or Path())
    return "readable by this user only"


def _logins(settings: Settings) -> str:
    path = settings.database.url.removeprefix("sqlite:///")
    there = path == settings.database.url or Path(path).exists()
    if there:
        with closing(db.schema.open_checked(settings.database.url)) as database:
            there = has_users(database)
    if not there:
        raise NodeError(
            "others than this machine's users reach the page, and nobody can log in: "
            "`dicom-node migrate`, then `dicom-node users add NAME --role admin`"
        )
    return "somebody can log in"
