"""A supervisor over a test's roles: `python -m tests.integration.supervise.serve`."""

import os
import sys
from functools import partial
from pathlib import Path

from config.load import service_variables
from dicom_node.core.errors import ConfigError
from dicom_node.forked import Role
from dicom_node.observe.logs import configure_logs
from dicom_node.observe.systemd import ServiceManager
from dicom_node.supervise import Beats, Supervisor
from tests.integration.supervise import role


def main(folder: Path, drain_seconds: float) -> int:
    """Run the supervisor until it is stopped."""
    configure_logs("info")
    variables = service_variables(os.getpid())
    supervisor = Supervisor(
        roles=("receive", "web", "work", "deliver"),
        role=lambda name: Role(
            run=partial(role.main, name, folder), words=["a role of a test", name]
        ),
        drain_seconds=drain_seconds,
        on_ready=lambda address: print(f"ready {address}", flush=True),
        metrics_dir=folder / "metrics",
        manager=ServiceManager(variables.notify_socket, variables.watchdog_seconds),
        beats=Beats(limit_seconds=1.0),
    )
    try:
        return supervisor.run()
    except ConfigError:
        return 2


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), float(sys.argv[2])))
