"""How long a study takes from its last image to the written report."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.processes import BenchmarkError
from dicom_node.deliver.association import Peer
from dicom_node.deliver.send import send_files
from tests.e2e.bundle import write_bundle
from tests.e2e.images import make_radiograph, new_study_uid, save
from tests.e2e.node import Node, NodeSettings
from tests.peers import Address, free_port, wait_until

_SIZE: Final = 512
_QUIET_SECONDS: Final = 1.0
_ROUTE: Final = """
[[destinations]]
name = "outbox"
kind = "folder"
folder = "outbox"
[[routes]]
name = "small"
model = "tiny"
destinations = ["outbox"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportTimes:
    """From the acknowledgement of a study's image to its written report.

    Args:
        seconds: of each study, without the quiet time.
    """

    quiet_seconds: float
    seconds: list[float]


def measure_report_time(folder: Path, *, rounds: int) -> ReportTimes:
    """Start a node with a tiny model in `folder` and time some studies."""
    write_bundle(folder / "models")
    node = Node(
        settings=NodeSettings(
            folder=folder / "node",
            models=folder / "models",
            address=Address(port=free_port()),
            quiet_seconds=_QUIET_SECONDS,
            routes=_ROUTE,
        )
    )
    node.start()
    try:
        _time_report(node, folder)  # the first waits for the model to load
        seconds = [_time_report(node, folder) for _ in range(rounds)]
    finally:
        node.stop()
    return ReportTimes(quiet_seconds=_QUIET_SECONDS, seconds=seconds)


def _time_report(node: Node, folder: Path) -> float:
    outbox = folder / "node" / "outbox"
    image = make_radiograph(new_study_uid(), size=_SIZE)
    had = _count(outbox)
    peer = Peer(
        host=node.address.host,
        port=node.address.port,
        called_ae_title=node.address.ae_title,
        calling_ae_title="BENCH",
    )
    if not send_files([save(image, folder / "report")], peer).complete:
        raise BenchmarkError("the node did not take the image")
    acknowledged = time.perf_counter()
    wait_until(lambda: _count(outbox) > had, what="the report is written", every=0.005)
    return round(time.perf_counter() - acknowledged - _QUIET_SECONDS, 3)


def _count(outbox: Path) -> int:
    return sum(1 for path in outbox.rglob("*.dcm")) if outbox.exists() else 0
