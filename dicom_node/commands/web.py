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
from dicom_node.core.tls import TLSFiles, apply_profile, load_files
from dicom_node.listening import listen
from dicom_node.observe.logs import configure_logs
from dicom_node.service import Stop
from dicom_node.site import build_site
from dicom_node.supervise import LISTENING
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
    tls = https_context(settings.web)
    listener = listen(page_place(settings.web.host, settings.web.port))
    host, port = listener.getsockname()[:2]
    print(f"{LISTENING} {host}:{port}", flush=True)
    log.info("listening", extra={"host": host, "port": port})
    serve_pages(pages, listener, stopped=lambda: stop.asked, tls=tls)
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
    if web.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    apply_profile(context)
    files = TLSFiles(
        certificate=web.certificate, private_key=web.private_key, where="web"
    )
    load_files(context, files)
    return context
