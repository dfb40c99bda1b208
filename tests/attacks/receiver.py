"""The receiver under attack: `dicom-node receive` in processes of its own."""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import db.instances
import db.schema
from tests.peers import PROJECT, ToolProcess, start_tool, wait_until

MIB = 1 << 20
_LISTENING = "listening "
_STEADY = 20  # looks, 0.05 s apart
# Failures of ours; what a sender does wrong is a warning.
_FAULT_LEVELS = {"error", "critical"}


@dataclass(frozen=True, slots=True)
class Gauge:
    """What the receiver holds at one moment, over all its processes."""

    rss_bytes: int
    threads: int
    descriptors: int


@dataclass(slots=True, kw_only=True)
class Receiver:
    """A running receiver and all that a test may ask the system about it."""

    folder: Path
    port: int
    tool: ToolProcess
    _checked_bytes: int = 0
    _own: set[Path] = field(default_factory=set)

    @property
    def store(self) -> Path:
        """Where received instances lie."""
        return self.folder / "data" / "instances"

    def tls_port(self) -> int:
        """Return the port of [tls], the second that the log tells."""
        lines = [
            json.loads(line)
            for line in self.tool.output().splitlines()[:-1]
            if line.startswith("{")
        ]
        told = [line["host"] for line in lines if line["event"] == "listening"]
        return _port(told[1])

    def pids(self) -> tuple[int, ...]:
        """Return its processes, the first one being the parent."""
        return tuple(_with_children(self.tool.process.pid))

    def gauge(self) -> Gauge:
        """Measure it now."""
        pids = self.pids()
        return Gauge(
            sum(_status_kib(pid, "VmRSS") * 1024 for pid in pids),
            sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids),
            sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),
        )

    def forget_peak(self) -> None:
        """Begin to measure the peak anew."""
        for pid in self.pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """Return the largest resident size since `forget_peak`; nothing escapes it."""
        return sum(_status_kib(pid, "VmHWM") * 1024 for pid in self.pids())

    def files(self) -> list[Path]:
        """Return every file in the store, part files too."""
        return sorted(path for path in self.store.rglob("*") if path.is_file())

    def settle(self) -> None:
        """Wait until it rests; the files that it then has of its own are no strays."""
        counts: list[int] = []

        def rests() -> bool:
            counts.append(self.gauge().threads)
            return len(counts) > _STEADY and len(set(counts[-_STEADY:])) == 1

        wait_until(rests, what="the number of threads is steady")
        self._own = set(self._files_beside_store())

    def strays(self) -> list[Path]:
        """Return what lies in the node's folder and should not.

        In the store only files that the database knows may lie, elsewhere only what
        was there when the receiver settled.
        """
        keys = self.known_keys()
        stored = [path for path in self.files() if path.stem not in keys]
        beside = [path for path in self._files_beside_store() if path not in self._own]
        return stored + beside

    def _files_beside_store(self) -> Iterator[Path]:
        for path in self.folder.rglob("*"):
            database = path.name.startswith("node.db")
            if path.is_file() and self.store not in path.parents and not database:
                yield path

    def known_keys(self) -> set[str]:
        """Return the file key of every version that the database knows."""
        url = f"sqlite:///{self.folder / 'data' / 'node.db'}"
        database = db.schema.open_checked(url)
        try:
            return set(db.instances.known_keys(database))
        finally:
            database.close()

    def new_log(self) -> list[dict[str, Any]]:
        """Return the log lines since the last call; each has to be one JSON object."""
        content = self.tool.log.read_bytes()
        fresh = content[self._checked_bytes :]
        fresh = fresh[: fresh.rfind(b"\n") + 1]
        self._checked_bytes += len(fresh)
        lines = [
            line
            for line in fresh.decode("ascii").split("\n")
            if line and not line.startswith(_LISTENING)
        ]
        return [json.loads(line) for line in lines]


def faults(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines that tell of something this node did not foresee."""
    return [line for line in lines if line["level"] in _FAULT_LEVELS]


@contextmanager
def running_receiver(
    folder: Path,
    receive: Mapping[str, object],
    *,
    extra: str = "",
    command: str = "receive",
) -> Iterator[Receiver]:
    """Run a receiver on a free port with these keys of [receive]; end it well.

    Args:
        extra: further TOML at the end of the file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = "".join(f"{key} = {json.dumps(value)}\n" for key, value in receive.items())
    configuration = folder / "node.toml"
    configuration.write_text(
        '[node]\nae_title = "AINODE"\nport = 0\ndata_dir = "data"\n'
        f"[receive]\nprocesses = 1\nmin_free_bytes = 1000000\n{table}{extra}"
    )
    tool = start_tool(
        [sys.executable, "-m", "dicom_node", command, "--config", configuration],
        log=folder / "node.log",
        cwd=PROJECT,
    )
    try:
        wait_until(
            lambda: _LISTENING in tool.output() or tool.process.poll() is not None,
            what="the receiver listens",
            seconds=60,
        )
        if tool.process.poll() is not None:
            pytest.fail("the receiver ended: " + tool.output()[-2000:], pytrace=False)
        listening = tool.output().split(_LISTENING, 1)[1].split("\n", 1)[0]
        yield Receiver(folder=folder, port=_port(listening), tool=tool)
    finally:
        code = tool.stop(seconds=20)
        shutil.rmtree(folder / "data", ignore_errors=True)
    assert code == 0, f"the receiver ended with {code}"


def _port(address: str) -> int:
    return int(address.rsplit(":", 1)[1])


def _with_children(pid: int) -> Iterator[int]:
    yield pid
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError):  # the thread has just ended
            for child in listing.read_text().split():
                yield from _with_children(int(child))


def _status_kib(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0
