"""The role `worklist proxy`."""

import argparse
import logging

from dicom_node import app
from dicom_node.commands.roles import start_role
from dicom_node.core.errors import ConfigError
from dicom_node.proxying import DATABASE_SECONDS, build_proxy, proxy_metrics
from dicom_node.stop import Stop
from dicom_node.supervise import LISTENING

log = logging.getLogger("dicom_node.worklist")


def proxy(options: argparse.Namespace) -> int:
    """Serve the hospital's worklist with the node's priority until told to stop."""
    settings = start_role(options).settings
    if settings.worklist.proxy.port is None:
        raise ConfigError(
            "worklist.proxy.port is not set: set it, and where the hospital's "
            "worklist is"
        )
    stop = Stop().install()
    database = app.open_database(settings, busy_seconds=DATABASE_SECONDS)
    metrics = proxy_metrics(settings)
    served = build_proxy(settings, database, metrics)
    address = served.start()
    print(f"{LISTENING} {address}", flush=True)
    log.info("listening", extra={"host": address})
    while not stop.wait(1.0):
        pass
    served.drain(settings.work.drain_seconds)
    metrics.close()
    database.close()
    return 0
