"""`serve`: one child process per role, restarted when it dies, stopped in order."""

import logging
import os
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dicom_node.child import Signals
from dicom_node.core.errors import ConfigError, NodeError
from dicom_node.forked import Forked, Role, fork
from dicom_node.observe.metrics import RECEIVE, ServeMetrics
from dicom_node.observe.slots import SlotReading, read_slots
from dicom_node.observe.systemd import ServiceManager

log = logging.getLogger("dicom_node.serve")

LISTENING: Final = "listening"
EXIT_CONFIGURATION: Final = 2
EXIT_AT_ONCE: Final = 1
STUCK_SECONDS: Final = 30.0
# These say where they listen before the others start; a fault of theirs ends the node
# while it is cheap to end.
_ANNOUNCING: Final = (RECEIVE, "web", "proxy")
# What takes new work stops first; what shows how the node is, last.
_STOP_ORDER: Final = (RECEIVE, "proxy", "work", "deliver", "web")
_TICK_SECONDS: Final = 0.1
_FIRST_PAUSE_SECONDS: Final = 0.2
_LONGEST_PAUSE_SECONDS: Final = 10.0
# Nobody is heard while these are away, however often they were killed before.
_LONGEST_PAUSE_OF_PORTS_SECONDS: Final = 1.0
_STEADY_SECONDS: Final = 30.0
_KILL_AFTER_DRAIN_SECONDS: Final = 5.0


@dataclass
class _Child:
    role: str
    process: Forked
    started: float
    pause: float = _FIRST_PAUSE_SECONDS
    restart_at: float | None = None


@dataclass
class Supervisor:
    """Keeps the children of `serve` alive.

    Args:
        roles: "receive" among them; "work-2" is another of the kind of "work".
        role: what a child of this name does.
        drain_seconds: how long a role may finish what it is doing.
        on_ready: called once with the address that the receiver listens on.
        metrics_dir: where the roles keep what they count, and their signs of life.
    """

    roles: Sequence[str]
    role: Callable[[str], Role]
    drain_seconds: float
    on_ready: Callable[[str], None]
    metrics_dir: Path
    manager: ServiceManager = field(default_factory=ServiceManager)
    signals: Signals = field(default_factory=Signals)
    beats: "Beats" = field(default_factory=lambda: Beats())
    _children: dict[str, _Child] = field(default_factory=dict)

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; return the exit code."""
        self.signals.install()
        metrics = ServeMetrics(self.metrics_dir, self.roles)
        try:
            address = self._start_all()
            if not self.signals.asked:
                self.on_ready(address)
                self.manager.ready(f"receiving at {address}")
            while not self.signals.wait(_TICK_SECONDS):
                self.manager.alive()
                self._pass_on_hang_up()
                self._look_after(metrics)
                self._end_stuck()
        finally:
            self.manager.stopping()
            self._end()
            metrics.close()
        return EXIT_AT_ONCE if self.signals.at_once else 0

    def _start_all(self) -> str:
        """Start what announces itself, then the rest; return where it receives."""
        announcing = [role for role in self.roles if role in _ANNOUNCING]
        for role in announcing:
            self._start(role, announced=True)
        addresses = {role: self._wait_listening(role) for role in announcing}
        for role in self.roles:
            if role not in announcing and not self.signals.asked:
                self._start(role)
        return addresses[RECEIVE]

    def _start(self, role: str, *, announced: bool = False) -> None:
        pause = self._children[role].pause if role in self._children else None
        process = fork(self.role(role), heard=announced)
        child = _Child(role=role, process=process, started=time.monotonic())
        child.pause = pause or _FIRST_PAUSE_SECONDS
        self._children[role] = child
        log.info("role started", extra={"role": role, "pid": process.pid})

    def _wait_listening(self, role: str) -> str:
        """Read the address from the role's first line; "" when asked to stop.

        Raises:
            ConfigError: the role cannot use its configuration; it has said why.
        """
        process = self._children[role].process
        if process.stdout is None:
            raise NodeError("the role has no output to read")
        while not select.select([process.stdout], [], [], _TICK_SECONDS)[0]:
            if self.signals.asked:
                return ""
        line = process.stdout.readline()
        if line.startswith(LISTENING):
            return line.removeprefix(LISTENING).strip()
        if self.signals.asked:
            return ""
        if process.wait() == EXIT_CONFIGURATION:
            raise ConfigError("")
        raise NodeError(f"the role {role} did not start: see its log line above")

    def _pass_on_hang_up(self) -> None:
        if not self.signals.take_hang_up():
            return
        log.info("reload asked", extra={"signal": "SIGHUP"})
        for child in self._children.values():
            child.process.signal(signal.SIGHUP)

    def _look_after(self, metrics: ServeMetrics) -> None:
        now = time.monotonic()
        for role, child in list(self._children.items()):
            if child.restart_at is not None:
                if now >= child.restart_at:
                    self._start(role)
                    metrics.restarted(role)
                continue
            code = child.process.poll()
            if code is None:
                continue
            if now - child.started > _STEADY_SECONDS:
                child.pause = _FIRST_PAUSE_SECONDS
            log.error(
                "role died, restarting",
                extra={"role": role, "exit_code": code, "seconds": child.pause},
            )
            child.restart_at = now + child.pause
            longest = (
                _LONGEST_PAUSE_OF_PORTS_SECONDS
                if role in _ANNOUNCING
                else _LONGEST_PAUSE_SECONDS
            )
            child.pause = min(child.pause * 2, longest)

    def _end_stuck(self) -> None:
        """Kill a receiver that runs and gives no sign of life; it is started again."""
        ours = {child.process.pid for child in self._children.values()}
        for slot in self.beats.stuck(self.metrics_dir):
            if slot.pid in ours or slot.parent in ours:
                log.error(
                    "role stuck, killing", extra={"role": slot.role, "pid": slot.pid}
                )
                os.kill(slot.pid, signal.SIGKILL)

    def _end(self) -> None:
        """Stop the roles in order; what does not end in time is killed.

        A kill loses nothing: leases lapse and the work is done again.
        """
        for kind in _STOP_ORDER:
            running = [
                child
                for role, child in self._children.items()
                if role.partition("-")[0] == kind and child.process.poll() is None
            ]
            if not self.signals.at_once:
                for child in running:
                    child.process.signal(signal.SIGTERM)
            for child in running:
                if not self._ends(child.process):
                    log.error("role killed", extra={"role": child.role})
                    child.process.signal(signal.SIGKILL)
                    child.process.wait()

    def _ends(self, process: Forked) -> bool:
        """Wait for the process; say whether it ended before it has to be killed."""
        until = time.monotonic() + self.drain_seconds + _KILL_AFTER_DRAIN_SECONDS
        while not self.signals.at_once and time.monotonic() < until:
            self.manager.alive()
            if process.wait(_TICK_SECONDS) is not None:
                return True
        return process.poll() is not None


class Beats:
    """Notices receivers whose sign of life does not change.

    Args:
        limit_seconds: how long it may stay the same, in the time that this process
            was awake: a machine that slept has no stuck receivers.
    """

    _EVERY_SECONDS: Final = 1.0

    def __init__(
        self,
        limit_seconds: float = STUCK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit, self._clock = limit_seconds, clock
        self._looked_at = clock()
        self._seen: dict[int, tuple[float, float]] = {}  # pid: beat, silent for

    def stuck(self, metrics_dir: Path) -> list[SlotReading]:
        """Return the silent ones, each once; looks once a second."""
        now = self._clock()
        waited = now - self._looked_at
        if waited < self._EVERY_SECONDS:
            return []
        self._looked_at = now
        beating = {
            slot.pid: slot
            for slot in read_slots(metrics_dir)
            if slot.role == RECEIVE and slot.alive and slot.beat > 0
        }
        silent: dict[int, tuple[float, float]] = {}
        for pid, slot in beating.items():
            beat, seconds = self._seen.get(pid, (0.0, 0.0))
            same = seconds + min(waited, 2 * self._EVERY_SECONDS)
            silent[pid] = (slot.beat, same if slot.beat == beat else 0.0)
        found = [
            beating[pid] for pid, (_, same) in silent.items() if same > self._limit
        ]
        self._seen = silent
        for slot in found:
            del self._seen[slot.pid]
        return found
