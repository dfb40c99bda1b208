"""`serve`: one child process per role, restarted when it dies, stopped in order."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from dicom_node.core.errors import ConfigError, NodeError
from dicom_node.service import Stop

log = logging.getLogger("dicom_node.serve")

# Receive first: what stops first takes no new work (architecture: stop order).
ROLES = ("receive", "work", "deliver")
LISTENING = "listening"
EXIT_CONFIGURATION = 2
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_STEADY_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1


@dataclass
class _Child:
    role: str
    process: subprocess.Popen[str]
    started: float
    pause: float = _FIRST_PAUSE_SECONDS
    restart_at: float | None = None


@dataclass
class Supervisor:
    """Keeps the children of `serve` alive.

    Args:
        command: how to start a role, e.g. python -m dicom_node ROLE --config FILE.
        drain_seconds: how long a role may finish what it is doing.
        on_ready: called once with the address that the receiver listens on.
    """

    command: Callable[[str], Sequence[str]]
    drain_seconds: float
    on_ready: Callable[[str], None]
    stop: Stop = field(default_factory=Stop)
    _children: dict[str, _Child] = field(default_factory=dict)

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; return the exit code."""
        self.stop.install()
        try:
            self._start("receive")
            address = self._wait_listening()
            if self.stop.asked:
                return 0
            for role in ROLES[1:]:
                self._start(role)
            self.on_ready(address)
            while not self.stop.wait(0.1):
                self._look_after()
        finally:
            self._end()
        return 0

    def _start(self, role: str) -> None:
        pause = self._children[role].pause if role in self._children else None
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            list(self.command(role)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if role == "receive" else None,
            text=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
        child = _Child(role=role, process=process, started=time.monotonic())
        child.pause = pause or _FIRST_PAUSE_SECONDS
        self._children[role] = child
        log.info("role started", extra={"role": role, "pid": process.pid})

    def _wait_listening(self) -> str:
        """Read the address from the receiver's first line.

        Raises:
            ConfigError: the receiver cannot use its configuration; it has said why.
        """
        process = self._children["receive"].process
        line = process.stdout.readline() if process.stdout else ""
        if line.startswith(LISTENING):
            return line.removeprefix(LISTENING).strip()
        if self.stop.asked:
            return ""
        if process.wait() == EXIT_CONFIGURATION:
            raise ConfigError("")
        raise NodeError("the receiver did not start: see its log line above")

    def _look_after(self) -> None:
        now = time.monotonic()
        for role in ROLES:
            child = self._children[role]
            if child.restart_at is not None:
                if now >= child.restart_at:
                    self._start(role)
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
            child.pause = min(child.pause * 2, _LONGEST_PAUSE_SECONDS)

    def _end(self) -> None:
        """Stop the roles in order; what does not end in time is killed.

        A kill loses nothing: leases lapse and the work is done again.
        """
        for role in ROLES:
            child = self._children.get(role)
            if child is None or child.process.poll() is not None:
                continue
            child.process.send_signal(signal.SIGTERM)
            try:
                child.process.wait(self.drain_seconds + 5)
            except subprocess.TimeoutExpired:
                log.error("role killed", extra={"role": role})
                child.process.kill()
                child.process.wait()


def die_with_parent(parent: int) -> None:
    """Ask the kernel to end this child when `serve` dies, even by kill -9.

    Without it the receiver would keep the port and a restarted node could not listen.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
