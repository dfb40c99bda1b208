"""Starts processes of the node by forking: what every one of them loads is loaded once.

A node of its own costs its test five seconds of a core before it is of any use, most of
them spent on torch and timm. Here one process beside the tests loads them, once the
first asks; each node is a fork of it, and from there on all that a node is: its own
arguments, environment, folder, streams, signals and roles. Not for tests of what is
loaded, of memory, or of the start itself.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

_PROJECT: Final = Path(__file__).resolve().parent.parent
_VARIABLE: Final = "NODE_STARTER"
# Longer than any command line: a role shows its own where this one's lies.
_ROOM: Final = "." * 1000


class Running(Protocol):
    """What tests ask of a process; `subprocess.Popen` is one."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit status, -N after signal N; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return what `poll` does."""

    def send_signal(self, sig: int) -> None:
        """Send a signal unless it has ended."""

    def kill(self) -> None:
        """Send SIGKILL."""


class Forked:
    """A process that the starter forked; only the starter can wait for it.

    Args:
        line: where the starter tells its process id, and its exit status.
    """

    def __init__(self, words: Sequence[str], line: socket.socket) -> None:
        self._words, self._line = words, line
        self._code: int | None = None
        self.pid = self._hear(None)

    def poll(self) -> int | None:
        """See `Running`."""
        if self._code is None:
            try:
                self._end(self._hear(0))
            except BlockingIOError:
                return None
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """See `Running`."""
        if self._code is None:
            try:
                self._end(self._hear(timeout))
            except TimeoutError:
                raise subprocess.TimeoutExpired(self._words, timeout or 0) from None
        assert self._code is not None
        return self._code

    def send_signal(self, sig: int) -> None:
        """See `Running`."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """See `Running`."""
        self.send_signal(signal.SIGKILL)

    def _hear(self, seconds: float | None) -> int:
        self._line.settimeout(seconds)
        said = self._line.recv(32)
        if not said:
            raise RuntimeError("the starter of nodes has ended: see its output above")
        return int(said)

    def _end(self, code: int) -> None:
        self._code = code
        self._line.close()


class Starter:
    """The process that starts others; it ends with the tests, also if they are killed.

    Workers of pytest find it by an environment variable.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="starter-")
        path = Path(self._folder.name) / "socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(path))
            listener.listen(64)
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.starting"),
                    *(str(listener.fileno()), _ROOM),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=[listener.fileno()],
                cwd=_PROJECT,
            )
        os.environ[_VARIABLE] = str(path)

    def close(self) -> None:
        """End it; what it started runs on."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        del os.environ[_VARIABLE]
        self._folder.cleanup()


def fork_node(
    arguments: Sequence[str],
    *,
    output: int,
    errors: int,
    environment: Mapping[str, str],
) -> Forked:
    """Start what `python -m dicom_node` would with these arguments.

    Args:
        output: descriptor of its standard output; `errors` of its other one.
    """
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line.connect(os.environ[_VARIABLE])
    asked = {"arguments": list(arguments), "environment": dict(environment)}
    socket.send_fds(line, [json.dumps(asked).encode()], [output, errors])
    return Forked(arguments, line)
