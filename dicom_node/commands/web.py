"""The role `web`: the page, its API, health and metrics over HTTP."""

import argparse
import logging
import ssl
from contextlib import closing

import db.schema
from config.settings import Settings
from config.web import WebTable
from db.people import has_users
from dicom_node.commands.screen import loaded
from dicom_node.core.errors import ConfigError, DatabaseError
from dicom_node.listening import listen
from dicom_node.observe.logs import configure_logs
from dicom_node.site import build_site
from dicom_node.stop import Stop
from dicom_node.supervise import LISTENING
from dicom_node.web.https import Https
from dicom_node.web.server import page_place, serve_pages

log = logging.getLogger("dicom_node.web")


def web(options: argparse.Namespace) -> int:
    """Serve until told to stop.

    A database that is down or has another schema is something to show, not to end by.
    """
    settings = loaded(options).settings
    configure_logs(settings.node.log_level)
    if not settings.web.port:
        raise ConfigError("web.port is 0, which is off: set one")
    stop = Stop().install()
    require_users(settings)
    pages = build_site(settings)
    https = Https.of(settings.web)
    listener = listen(page_place(settings.web.host, settings.web.port))
    host, port = listener.getsockname()[:2]
    print(f"{LISTENING} {host}:{port}", flush=True)
    log.info("listening", extra={"host": host, "port": port})

    def stopped() -> bool:
        if https is not None:
            https.look()
        return stop.asked

    context = None if https is None else https.context
    serve_pages(pages, listener, stopped=stopped, tls=context)
    log.info("web stopped")
    return 0


def require_users(settings: Settings) -> None:
    """Refuse to show the page to others than this machine's users without a login.

    A database that does not answer has no users to let in: that is to be shown.

    Raises:
        ConfigError: nobody could log in.
    """
    if not settings.web.login_required:
        return
    if not settings.web.secure:
        log.warning("passwords cross the network in plain text: set web.certificate")
    try:
        with closing(db.schema.open_checked(settings.database.url)) as database:
            found = has_users(database)
    except DatabaseError:
        return
    if not found:
        raise ConfigError(
            "others than this machine's users reach the page, and nobody can log in: "
            "`dicom-node users add NAME --role admin`"
        )


def https_context(web: WebTable) -> ssl.SSLContext | None:
    """Make the context of the port, None if it does not speak HTTPS.

    Raises:
        ConfigError: a file cannot be used.
    """
    https = Https.of(web)
    return None if https is None else https.context
