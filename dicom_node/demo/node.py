"""The node of the demo: its configuration and its process."""

import os
import socket
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import IO, Final

from dicom_node.child import die_with_parent
from dicom_node.core.errors import NodeError
from dicom_node.demo.output import Output

AE_TITLE = "AINODE"
QUIET_SECONDS = 2
MODEL = "cxr-pneumonia"
_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 60.0

CONFIGURATION: Final = """\
# A node, complete. Relative paths count from this file's folder.
[node]
ae_title = "{ae_title}"  # the name under which the PACS knows the node
host = "{host}"  # {host_says}
port = {port}
data_dir = "data"  # database, files and reports
[web]
port = {web_port}  # the page: http://127.0.0.1:{web_port}/
[study]
quiet_seconds = {quiet}  # without a new image for so long, a study is whole
{peers}[[destinations]]  # who gets the reports
name = "pacs"
ae_title = "{pacs_ae_title}"
host = "{pacs_host}"
port = {pacs_port}
[[routes]]  # which studies go to which model
name = "paediatric chest"
model = "{model}"
destinations = ["pacs"]
[routes.when]
modality = ["CR", "DX"]
[[worklist.rules]]  # what the reading list should show first
code = "233604007"  # pneumonia
at_least = "present"
urgency = "URGENT"
"""
_PEERS: Final = """\
[[peers]]  # who may send studies to the node
ae_title = "{pacs_ae_title}"
"""


def demo_configuration(
    *, port: int, web_port: int, pacs_ae_title: str, pacs_port: int
) -> str:
    """Write the configuration of the demo's node."""
    return CONFIGURATION.format(
        web_port=web_port,
        ae_title=AE_TITLE,
        host="127.0.0.1",
        host_says="reached from this machine only",
        port=port,
        quiet=QUIET_SECONDS,
        peers="",
        pacs_ae_title=pacs_ae_title,
        pacs_host="127.0.0.1",
        pacs_port=pacs_port,
        model=MODEL,
    )


def example_configuration() -> str:
    """Write a configuration that a reader completes with a PACS of their own."""
    return CONFIGURATION.format(
        web_port=8080,
        ae_title=AE_TITLE,
        host="0.0.0.0",  # noqa: S104 - an example that names its peers
        host_says="reached at every address of this machine",
        port=11112,
        quiet=10,
        peers=_PEERS.format(pacs_ae_title="YOURPACS"),
        pacs_ae_title="YOURPACS",
        pacs_host="192.0.2.10",
        pacs_port=104,
        model=MODEL,
    )


def free_port() -> int:
    """Return a TCP port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class NodeProcess:
    """`dicom-node serve` in a process of its own, which ends with the demo."""

    def __init__(self, output: Output) -> None:
        self._log = output.log
        self._ready = threading.Event()
        self._ended = threading.Event()
        # The user's own variables would win over the demo's file.
        variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("DICOM_NODE_")
        }
        config = str(output.config)
        with output.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", "dicom_node", "serve", "--config", config],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=variables,
                text=True,
                start_new_session=True,  # Ctrl-C is the demo's to handle
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        if self._process.stdout is not None:
            threading.Thread(
                target=self._read, args=(self._process.stdout,), daemon=True
            ).start()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def wait_ready(self) -> None:
        """Wait for the line that begins with `ready`.

        Raises:
            NodeError: the node ended or took too long; says what it said last.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while not self._ready.wait(0.1):
            if not self.running:
                raise NodeError(
                    f"the node ended while it started: {last_words(self._log)}"
                )
            if time.monotonic() > deadline:
                raise NodeError(
                    f"the node was not ready within {_READY_SECONDS:.0f} s: "
                    f"see {self._log}"
                )

    def stop(self) -> int:
        """Ask the node to end (SIGTERM), wait, and return its exit code."""
        if self.running:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        code = self._process.wait()
        self._ended.wait(5)
        return code

    def _read(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                if line.startswith("ready"):
                    self._ready.set()
        self._ended.set()


def last_words(log: Path) -> str:
    """Return the last line of the node's log, or where to look."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        lines = []
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][:300] if said else f"see {log}"
