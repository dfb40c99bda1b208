"""C-STORE to prepared tensor: our whole node beside Orthanc with a Python plugin."""

import shutil
import struct
import sysconfig
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from benchmarks.alone import Task
from benchmarks.contest import OURS, Contest, Wish, compete_timed
from benchmarks.corpus import CT, Kind, Numbers
from benchmarks.models import write_next_to_nothing
from benchmarks.nodes import Node, NodePlan, send_new
from benchmarks.pictures import write_picture_templates
from benchmarks.processes import BenchmarkError, wait_for
from benchmarks.receivers import (
    ORTHANC,
    Conditions,
    Running,
    is_installed,
    launch,
)
from tests.peers import PROJECT

WITH_PLUGIN: Final = "Orthanc + Python plugin"
_PLUGIN: Final = Path("/usr/share/orthanc/plugins/libOrthancPython.so")
_MODEL: Final = "nothing"
_ASSOCIATIONS: Final = (1, 4)
_LONGEST_SECONDS: Final = 300.0
_EXPECTED: Final = {OURS: 400.0, WITH_PLUGIN: 60.0}  # images a second, about


@dataclass(slots=True)
class OrthancWithPlugin:
    """Orthanc whose plugin prepares each image with pydicom and PIL as it is stored."""

    folder: Path
    _running: Running | None = None
    _sent: int = 0
    _numbers: Numbers = field(default_factory=Numbers)

    def __enter__(self) -> Self:
        settings = {
            "Plugins": [str(_PLUGIN)],
            "PythonScript": str(PROJECT / "benchmarks" / "orthanc_plugin.py"),
            "Benchmark": {
                "Folders": [str(PROJECT), sysconfig.get_path("purelib")],
                "Counter": str(self._counter),
            },
        }
        self._running = launch(
            ORTHANC,
            Conditions(
                folder=self.folder,
                durability="process-crash",
                nodelay=True,
                orthanc=settings,
            ),
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._running is not None:
            self._running.program.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _counter(self) -> Path:
        return self.folder / "prepared"

    def rate(self, templates: tuple[str, ...], *, images: int, studies: int) -> float:
        """Send, wait until all are prepared; images a second from the first byte."""
        if self._running is None:
            raise BenchmarkError("Orthanc was not started")
        sent = send_new(
            self._running.port,
            templates,
            images=images,
            studies=studies,
            numbers=self._numbers,
        )
        self._sent += sent.images
        wait_for(
            lambda: self._prepared() >= self._sent,
            what="the plugin has prepared all",
            seconds=_LONGEST_SECONDS,
        )
        took = time.monotonic() - sent.begun
        self._running.forget()
        return sent.images / took

    def _prepared(self) -> int:
        if not self._counter.is_file() or self._counter.stat().st_size < 8:
            return 0
        (number,) = struct.unpack("<Q", self._counter.read_bytes())
        return int(number)


def measure(task: Task) -> list[Contest]:
    """Compare on raw CT over one and over four associations."""
    return [_one(CT, number, task) for number in _ASSOCIATIONS]


def _one(kind: Kind, associations: int, task: Task) -> Contest:
    folder = Path(task.folder)
    models = folder / "models"
    if not models.is_dir():
        write_next_to_nothing(models, _MODEL)
    templates = write_picture_templates(kind, folder / "templates")
    number = f"{associations} association" + "s" * (associations > 1)
    contest = Contest(
        title=f"{kind.title} raw, C-STORE to tensor, {number}, {len(task.cores)} cores",
        wishes=[Wish(of=OURS, against=WITH_PLUGIN, at_least=6)],
        remarks=[
            "Ours is the whole of `serve` with a model of four tokens, to the stored "
            "prediction, less the quiet time; the plugin's OnStoredInstance does the "
            "same with pydicom and PIL and stores nothing. Neither syncs."
        ],
    )
    plan = NodePlan(folder=folder / "node", models=models, model=_MODEL)
    seconds = 4 * task.seconds  # a round has a beginning and an end of its own

    def images(name: str) -> int:
        return max(16 * associations, round(_EXPECTED[name] * seconds))

    with Node(plan) as node:
        lanes = {
            OURS: lambda: node.rate(
                templates, images=images(OURS), studies=associations
            )
        }
        if not (is_installed(ORTHANC) and _PLUGIN.is_file()):
            contest.missing(
                WITH_PLUGIN, "not installed: apt-get install orthanc-python"
            )
            return compete_timed(contest, lanes, task.rounds)
        with OrthancWithPlugin(folder / "orthanc") as orthanc:
            lanes[WITH_PLUGIN] = lambda: orthanc.rate(
                templates, images=images(WITH_PLUGIN), studies=associations
            )
            return compete_timed(contest, lanes, task.rounds)
