"""Measure the node on this machine: `make bench`.

Receiving is measured with every promise kept: file and row on stable storage before
each 0x0000. The sender is dcmtk's storescu when it is there, else the node's own; it
shares the machine, and with few cores it is part of what is measured.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from pydicom import Dataset

from dicom_node.deliver.association import Peer
from dicom_node.deliver.send import send_files
from tests.e2e.bundle import write_bundle
from tests.e2e.images import make_radiograph, new_study_uid, save
from tests.e2e.node import Node, NodeSettings
from tests.peers import Address, find_tool, free_port, storescu, wait_until

_SIZE = 512  # rows and columns: 0.5 MiB, as a CT slice
_QUIET_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured.

    Args:
        images_per_second: of each round, over one association, durable.
        receiver_cpu_seconds: user and system, of the receiver process, all rounds.
        report_seconds: from the last acknowledgement to the written report, less the
            quiet time; of each study.
    """

    machine: str
    cores: int
    sender: str
    image_bytes: int
    images: int
    images_per_second: list[float]
    receiver_cpu_seconds: float
    report_seconds: list[float]


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dicom-node-bench-") as folder:
        figures = measure(Path(folder), images=options.images, rounds=options.rounds)
    if options.json:
        print(json.dumps(asdict(figures), indent=2))
    else:
        _print(figures)


def measure(folder: Path, *, images: int, rounds: int) -> Figures:
    """Start a node in `folder` and measure receiving and the way to a report."""
    write_bundle(folder / "models")
    outbox = folder / "node" / "outbox"
    node = Node(
        settings=NodeSettings(
            folder=folder / "node",
            models=folder / "models",
            address=Address(port=free_port()),
            quiet_seconds=_QUIET_SECONDS,
            routes='[[destinations]]\nname = "outbox"\nkind = "folder"\n'
            'folder = "outbox"\n'
            '[[routes]]\nname = "small"\nmodel = "tiny"\ndestinations = ["outbox"]\n'
            '[routes.when]\ncalling_ae_title = ["REPORT"]\n',
        )
    )
    node.start()
    try:
        wait_until(lambda: len(node.pids()) == 4, what="all roles run")
        _time_report(node, folder, outbox)  # the first waits for the model to load
        reports = [_time_report(node, folder, outbox) for _ in range(rounds)]
        before = _cpu_seconds(node.pids()["receive"])
        speeds = [
            _time_receiving(node, folder / f"round-{number}", images=images)
            for number in range(rounds)
        ]
        used = _cpu_seconds(node.pids()["receive"]) - before
    finally:
        node.stop()
    return Figures(
        machine=platform.machine(),
        cores=os.cpu_count() or 1,
        sender="dcmtk storescu" if find_tool("storescu") else "dicom-node send",
        image_bytes=2 * _SIZE * _SIZE,
        images=images,
        images_per_second=speeds,
        receiver_cpu_seconds=round(used, 2),
        report_seconds=reports,
    )


def _time_receiving(node: Node, folder: Path, *, images: int) -> float:
    study = new_study_uid()
    made = [make_radiograph(study, number=n, size=_SIZE) for n in range(images)]
    files = [save(image, folder) for image in made]
    begun = time.perf_counter()
    _send(node, files, calling="BENCH")
    return round(images / (time.perf_counter() - begun), 1)


def _time_report(node: Node, folder: Path, outbox: Path) -> float:
    image: Dataset = make_radiograph(new_study_uid(), size=_SIZE)
    had = _count(outbox)
    _send(node, [save(image, folder / "report")], calling="REPORT")
    acknowledged = time.perf_counter()
    wait_until(lambda: _count(outbox) > had, what="the report is written", every=0.005)
    return round(time.perf_counter() - acknowledged - _QUIET_SECONDS, 3)


def _send(node: Node, files: list[Path], *, calling: str) -> None:
    if find_tool("storescu"):
        sent = storescu(node.address, files, calling=calling, options=["-q"])
        if sent.returncode != 0:
            raise SystemExit("storescu failed: " + sent.stdout[-500:])
        return
    peer = Peer(
        host=node.address.host,
        port=node.address.port,
        called_ae_title=node.address.ae_title,
        calling_ae_title=calling,
    )
    if not send_files(files, peer).complete:
        raise SystemExit("the node did not take every image")


def _count(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*.dcm")) if folder.exists() else 0


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process and its ended children (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _print(figures: Figures) -> None:
    size = figures.image_bytes / (1 << 20)
    speed = statistics.median(figures.images_per_second)
    print(f"machine           {figures.machine}, {figures.cores} cores")
    print(f"sender            {figures.sender}, one association")
    print(f"images            {figures.images} of {size:.1f} MiB a round")
    print(
        f"received          {speed:.0f} images/s, {speed * size:.0f} MiB/s (median of "
        f"{len(figures.images_per_second)}: {_list(figures.images_per_second)})"
    )
    received = figures.images * len(figures.images_per_second)
    print(
        "receiver's CPU    "
        f"{1000 * figures.receiver_cpu_seconds / received:.2f} s per 1000 images"
    )
    print(
        f"to a report       {statistics.median(figures.report_seconds):.2f} s after "
        f"the quiet time, with a tiny model ({_list(figures.report_seconds)})"
    )


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


if __name__ == "__main__":
    main()
