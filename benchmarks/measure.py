"""Interleaved rounds: every receiver of a row in turn, again and again."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.blaster import Sent, Task
from benchmarks.corpus import Files, Kind, Numbers, write_templates
from benchmarks.processes import BenchmarkError, cpu_seconds
from benchmarks.receivers import (
    AE_TITLE,
    FLOOR,
    Certificates,
    Conditions,
    Running,
    is_installed,
    launch,
)
from benchmarks.results import Measured, RowResult, Sample
from benchmarks.rows import Row
from benchmarks.senders import blast, storescu
from benchmarks.template import Template
from tests.peers import find_tool

_WARM_UP_IMAGES: Final = 24
_FEWEST_IMAGES: Final = 16  # of each association
_MOST_BYTES: Final = 512 << 20  # of a round: page cache and tmpfs are this machine's
_MOST_FILES: Final = 1200
_SETTLE_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How long to measure.

    Args:
        seconds: that a round of one receiver shall take, about.
    """

    rounds: int
    seconds: float


@dataclass(slots=True, kw_only=True)
class Place:
    """Folders of a run.

    Args:
        memory: on tmpfs where there is one.
        disk: on a file system that keeps what it syncs.
        certificates: None where TLS cannot be measured.
    """

    memory: Path
    disk: Path
    certificates: Certificates | None
    numbers: Numbers = field(default_factory=Numbers)
    _templates: dict[str, tuple[Path, ...]] = field(default_factory=dict)

    def templates(self, kind: Kind) -> tuple[Path, ...]:
        """Return the encoded images of a kind; made once."""
        if kind.name not in self._templates:
            found = write_templates(kind, self.memory / "templates")
            self._templates[kind.name] = found
        return self._templates[kind.name]

    def first_uid(self, images: int) -> int:
        """Reserve numbers for so many UIDs and return the first."""
        first = int(self.numbers.uid()[-38:])
        for _ in range(images):
            self.numbers.uid()
        return first


class Lane:
    """One receiver of a row, and how it is sent to."""

    def __init__(self, row: Row, receiver: str, place: Place) -> None:
        self.measured = Measured(receiver=receiver)
        self._row = row
        self._place = place
        base = place.disk if row.on_disk else place.memory
        self._folder = base / f"receiver-{receiver.replace(' ', '-')}"
        self._running: Running | None = None
        self._images = _WARM_UP_IMAGES

    def open(self) -> None:
        """Start the receiver."""
        row = self._row
        if not is_installed(self.measured.receiver):
            raise BenchmarkError("not installed")
        if row.tls and self._place.certificates is None:
            raise BenchmarkError("no certificates")
        conditions = Conditions(
            folder=self._folder,
            durability=row.durability,
            nodelay=row.sender == "blaster",
            associations=row.associations,
            tls=self._place.certificates if row.tls else None,
        )
        self._running = launch(self.measured.receiver, conditions)

    def close(self) -> None:
        """End the receiver and remove its folder."""
        if self._running is not None:
            self._running.program.end()
            self._running = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def warm_up(self, files: Files, seconds: float) -> None:
        """Send a few images and find out how many take `seconds`."""
        size = len(files.templates[0].content)
        most = min(_MOST_BYTES // size, _MOST_FILES * max(1, self._row.associations))
        for _ in range(2):
            speed = self._send(files).images_per_second
        fewest = _FEWEST_IMAGES * self._row.associations
        wanted = min(most, max(fewest, round(speed * seconds)))
        each = max(1, wanted // self._row.associations)
        self._images = each * self._row.associations

    def run(self, files: Files) -> None:
        """Measure one round."""
        self.measured.samples.append(self._send(files))

    def look_at_memory(self, files: Files) -> None:
        """Send one more round and look at the memory meanwhile."""
        running = self._require()
        if self._row.sender != "blaster":
            return
        seen: list[float] = []
        self._send(files, watch=lambda: seen.append(running.memory_mib()))
        self.measured.memory_mib = round(max(seen), 1) if seen else None

    def _send(self, files: Files, watch: Callable[[], None] | None = None) -> Sample:
        running = self._require()
        running.program.require_running()
        before = cpu_seconds(running.program.pid)
        if self._row.sender == "storescu":
            files.renew(self._images, self._place.numbers)
            sent = storescu(running.port, files.folder, self._images)
        else:
            sent = blast(self._task(running.port), watch)
            self.measured.tls = sent.tls
        time.sleep(_SETTLE_SECONDS)  # forked children end, and count when they have
        used = cpu_seconds(running.program.pid) - before
        running.forget()
        if self._row.on_disk:
            os.sync()  # what one receiver left unwritten must not slow the next
        return _sample(sent, used)

    def _task(self, port: int) -> Task:
        row, place = self._row, self._place
        tls = place.certificates if row.tls else None
        each = max(1, self._images // row.associations)
        return Task(
            port=port,
            called=AE_TITLE,
            associations=row.associations,
            images=each,
            templates=tuple(str(path) for path in place.templates(row.kind)),
            first_uid=place.first_uid((each + 2) * row.associations),
            bare=self.measured.receiver == FLOOR,
            tls=(str(tls.ca), str(tls.certificate), str(tls.private_key))
            if tls
            else None,
        )

    def _require(self) -> Running:
        if self._running is None:
            raise BenchmarkError("not started")
        return self._running


def measure_row(
    row: Row, place: Place, plan: Plan, on_step: Callable[[str], None]
) -> RowResult:
    """Measure one row: all of its receivers in turn, round by round.

    A receiver that fails is left out from then on, and its cell says why.

    Args:
        on_step: called before each step with the receiver's name.
    """
    templates = tuple(Template.load(path) for path in place.templates(row.kind))
    files = Files(place.memory / "files", templates)
    lanes = [Lane(row, receiver, place) for receiver in row.receivers]
    steps: list[Callable[[Lane], None]] = [
        Lane.open,
        lambda lane: lane.warm_up(files, plan.seconds),
        *[lambda lane: lane.run(files)] * plan.rounds,
        lambda lane: lane.look_at_memory(files),
    ]
    if row.sender == "storescu" and find_tool("storescu") is None:
        raise BenchmarkError("dcmtk's storescu is not installed")
    try:
        for step in steps:
            for lane in lanes:
                on_step(lane.measured.receiver)
                if lane.measured.problem:
                    continue
                try:
                    step(lane)
                except BenchmarkError as error:
                    lane.measured.problem = str(error)
    finally:
        for lane in lanes:
            lane.close()
        shutil.rmtree(files.folder, ignore_errors=True)
    return RowResult(
        row=row,
        image_bytes=len(templates[0].content),
        cells=[lane.measured for lane in lanes],
    )


def steps_of(row: Row, plan: Plan) -> int:
    """Return how often `on_step` will be called."""
    return len(row.receivers) * (plan.rounds + 3)


def _sample(sent: Sent, cpu: float) -> Sample:
    return Sample(images=sent.images, seconds=sent.seconds, cpu_seconds=round(cpu, 2))
