"""Hours of mixed traffic with aborts, repeats and kills; a check at the end."""

import argparse
import os
import secrets
import shutil
import signal
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final, cast

from rich.console import Console

from benchmarks.corpus import CT, DX, MR
from benchmarks.machine import places
from benchmarks.measure import Place
from benchmarks.part10 import read_images
from benchmarks.processes import (
    BenchmarkError,
    descriptors_of,
    pss_mib,
    threads_of,
    wait_idle,
)
from benchmarks.receivers import OURS, Conditions, Durability, Running, launch
from benchmarks.soak_check import Findings, check
from benchmarks.soak_senders import Journal, Orders, SoakSender, caller_context
from benchmarks.template import Template

_KINDS: Final = (MR, CT, DX)  # the most frequent first
_GROWTH: Final = 0.05
_SLACK: Final = 4  # MiB, threads or descriptors: less is no growth
_LINES: Final = 60
_ANSWER_SECONDS: Final = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SoakPlan:
    """How long, by how many, and with what.

    Args:
        gib: to send in all, evenly over the time; 0 is as much as goes.
        kill: kill -9 receiver processes now and then.
        files: a folder of DICOM files to send as well.
        tls: over mutual TLS, all of it.
    """

    minutes: float
    senders: int
    seed: int
    gib: float
    kill: bool
    durability: Durability
    files: Path | None
    tls: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The receiver processes at one moment, together."""

    seconds: float
    threads: int
    descriptors: int
    pss_mib: float
    answers: int


@dataclass(slots=True)
class Nemesis:
    """Kills a receiver process now and then, once the last one is back."""

    running: Running
    random: Random
    kills: int = 0
    _at: float | None = None
    _answers: int = 0

    def act(self, now: float, answers: int) -> None:
        """Kill if it is time to.

        Args:
            answers: that the senders have had so far.
        """
        if self._at is None and answers > self._answers:
            self._at = now + self.random.uniform(3, 30)
        if self._at is None or now < self._at:
            return
        self._at, self._answers = None, answers
        with suppress(ProcessLookupError, IndexError):
            os.kill(self.random.choice(self.running.receiver_pids()), signal.SIGKILL)
            self.kills += 1


def add_options(group: argparse._ArgumentGroup) -> None:
    """Add what a soak can be told."""
    group.add_argument("--minutes", type=float, default=5.0)
    group.add_argument("--senders", type=int, default=8)
    group.add_argument("--seed", type=int, help="of what happens; printed")
    group.add_argument("--gib", type=float, default=10.0, help="to send; 0: no limit")
    group.add_argument("--kill", action="store_true", help="kill -9 receivers")
    group.add_argument("--tls", action="store_true", help="send over mutual TLS")
    group.add_argument("--files", type=Path, help="DICOM files to send as well")


def plan_of(options: argparse.Namespace) -> SoakPlan:
    """Read the options."""
    durability = options.durability
    return SoakPlan(
        minutes=options.minutes,
        senders=options.senders,
        seed=secrets.randbelow(10**9) if options.seed is None else options.seed,
        gib=options.gib,
        kill=options.kill,
        durability=cast(
            Durability, "power-loss" if durability == "both" else durability
        ),
        files=options.files,
        tls=options.tls,
    )


def run(plan: SoakPlan, parent: Path | None) -> int:
    """Soak a node and check it; 0 when it kept every promise."""
    console = Console(highlight=False)
    console.print(
        f"seed {plan.seed}: {plan.senders} senders, {plan.minutes:g} minutes, "
        f"{plan.durability}{', TLS' if plan.tls else ''}"
    )
    with places(parent, tls=plan.tls) as place:
        folder = place.disk / "node"
        conditions = Conditions(
            folder=folder,
            durability=plan.durability,
            nodelay=False,
            tls=place.certificates,
        )
        running = launch(OURS, conditions)
        try:
            journal, moments, kills = _soak(plan, place, running, console)
            status = running.program.end()
        finally:
            running.program.end()
        found = check(folder / "data", journal.acknowledged)
        faults = _faults(plan, journal, moments, found)
        if status != 0:
            faults.append(f"the node ended with status {status}")
        if faults:
            kept = place.disk.parent / f"soak-{plan.seed}"
            shutil.move(folder, kept)
            console.print(f"the node's folder is kept: {kept}")
    _tell(console, journal, found, kills)
    for fault in faults:
        console.print(f"✗ {fault}")
    console.print("✗ a promise was broken" if faults else "✓ every promise was kept")
    return 1 if faults else 0


def _soak(
    plan: SoakPlan, place: Place, running: Running, console: Console
) -> tuple[Journal, list[Moment], int]:
    journal = Journal()
    begun = time.monotonic()
    seconds = plan.minutes * 60
    orders = Orders(
        port=running.port,
        seed=plan.seed,
        senders=plan.senders,
        templates=[
            [Template.load(path) for path in place.templates(kind)] for kind in _KINDS
        ],
        files=read_images(plan.files) if plan.files else [],
        bytes_per_second=plan.gib * (1 << 30) / seconds,
        ends_at=begun + seconds,
        tls=caller_context(place.certificates) if place.certificates else None,
    )
    senders = [SoakSender(number, orders, journal) for number in range(plan.senders)]
    nemesis = Nemesis(running, Random(f"{plan.seed}-nemesis"))
    moments: list[Moment] = []
    for sender in senders:
        sender.start()
    while any(sender.is_alive() for sender in senders):
        running.program.require_running()
        now = time.monotonic()
        if now - begun >= len(moments) * seconds / _LINES:
            moments.append(_look(running, journal, now - begun))
            _say(console, moments[-1])
        if plan.kill and now < orders.ends_at:
            nemesis.act(now, journal.counts["answers"])
        if now > orders.ends_at + _ANSWER_SECONDS:
            raise BenchmarkError("senders still wait for an answer")
        time.sleep(0.2)
    wait_idle(running.program.pid)
    moments.append(_look(running, journal, time.monotonic() - begun))
    _say(console, moments[-1])
    return journal, moments, nemesis.kills


def _look(running: Running, journal: Journal, seconds: float) -> Moment:
    threads = descriptors = 0
    memory = 0.0
    for pid in running.receiver_pids():
        with suppress(OSError):
            threads += threads_of(pid)
            descriptors += descriptors_of(pid)
            memory += pss_mib(pid)
    return Moment(
        seconds=round(seconds, 1),
        threads=threads,
        descriptors=descriptors,
        pss_mib=round(memory, 1),
        answers=journal.counts["answers"],
    )


def _say(console: Console, moment: Moment) -> None:
    console.print(
        f"{moment.seconds:8.0f} s {moment.answers:9} answers "
        f"{moment.threads:4} threads "
        f"{moment.descriptors:4} descriptors {moment.pss_mib:7.1f} MiB"
    )


def _faults(
    plan: SoakPlan, journal: Journal, moments: Sequence[Moment], found: Findings
) -> list[str]:
    faults = list(journal.faults)
    if not found.clean:
        faults.append("the node's files and rows are not what it acknowledged")
    if not found.acknowledged:
        faults.append("nothing was acknowledged")
    if not plan.kill:  # a new process begins anew
        faults += growth(moments[:-1])
    return faults


def growth(moments: Sequence[Moment]) -> list[str]:
    """Name what grew between the second fifth of the time and the last."""
    fifth = len(moments) // 5
    if not fifth:
        return []
    early, late = moments[fifth : 2 * fifth], moments[-fifth:]
    faults = []
    for name in ("threads", "descriptors", "pss_mib"):
        before = statistics.median(getattr(moment, name) for moment in early)
        after = statistics.median(getattr(moment, name) for moment in late)
        if after > before * (1 + _GROWTH) + _SLACK:
            faults.append(f"{name} grew from {before:g} to {after:g}")
    return faults


def _tell(console: Console, journal: Journal, found: Findings, kills: int) -> None:
    for what, number in sorted(journal.counts.items()):
        console.print(f"{what:<28}{number:>10}")
    console.print(f"{'receivers killed':<28}{kills:>10}")
    console.print(f"{'sent, MiB':<28}{journal.sent_bytes >> 20:>10}")
    for name in ("acknowledged", "files", "missing", "without_row", "without_file"):
        console.print(f"{name.replace('_', ' '):<28}{getattr(found, name):>10}")
    console.print(f"{'left over':<28}{found.left_over:>10}")
    for line in found.database_faults:
        console.print(f"database: {line}")
