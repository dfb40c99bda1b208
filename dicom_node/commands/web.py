"""The role `web`: health and metrics over HTTP."""

import argparse
import logging

from dicom_node.commands.screen import loaded
from dicom_node.core.errors import ConfigError
from dicom_node.observe.logs import configure_logs
from dicom_node.service import Stop
from dicom_node.site import build_site
from dicom_node.supervise import LISTENING
from dicom_node.web.server import listen, serve_pages

log = logging.getLogger("dicom_node.web")


def web(options: argparse.Namespace) -> int:
    """Serve health and metrics until told to stop.

    A database that is down or has another schema is something to show, not to end by.
    """
    settings = loaded(options).settings
    configure_logs(settings.node.log_level)
    if not settings.web.port:
        raise ConfigError("web.port is 0, which is off: set one")
    stop = Stop().install()
    pages = build_site(settings)
    listener = listen(settings.web.host, settings.web.port)
    host, port = listener.getsockname()[:2]
    print(f"{LISTENING} {host}:{port}", flush=True)
    log.info("listening", extra={"host": host, "port": port})
    serve_pages(pages, listener, stopped=lambda: stop.asked)
    log.info("web stopped")
    return 0
