"""The node as its users run it: `python -m dicom_node serve`, a process of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from dicom_node.cli import main
from tests.peers import (
    PROJECT,
    Address,
    ToolProcess,
    run_node,
    start_node,
    start_tool,
    wait_until,
)

FINISHED = {"DONE", "FAILED", "CANCELLED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """What a test wants of its node.

    Args:
        destinations: name and address of each; every route delivers to all.
        database: SQLAlchemy URL, "" for SQLite in the node's folder.
        routes: TOML instead of the one route that sends everything to `model`.
        extra: further TOML at the end of the file.
        python_classes: glob of classes that cards may name.
        own_interpreter: started as users start it; else forked (`tests.starter`).
    """

    folder: Path
    models: Path
    address: Address
    destinations: Sequence[tuple[str, Address]] = ()
    model: str = "tiny"
    database: str = ""
    quiet_seconds: float = 1.0
    drain_seconds: float = 20.0
    routes: str = ""
    extra: str = ""
    python_classes: str = ""
    own_interpreter: bool = False


@dataclass(slots=True, kw_only=True)
class Node:
    """One node; may be killed and started again on the same folder."""

    settings: NodeSettings
    tool: ToolProcess | None = field(default=None)

    @property
    def address(self) -> Address:
        """Where it listens."""
        return self.settings.address

    @property
    def configuration(self) -> Path:
        """Its configuration file."""
        return self.settings.folder / "node.toml"

    @property
    def data_dir(self) -> Path:
        """Where its database and files lie."""
        return self.settings.folder / "data"

    @property
    def running(self) -> ToolProcess:
        """The `serve` process."""
        if self.tool is None:
            raise RuntimeError("the node was never started")
        return self.tool

    def write_configuration(self) -> None:
        """Write node.toml as a user would."""
        self.settings.folder.mkdir(parents=True, exist_ok=True)
        self.configuration.write_text(render(self.settings))

    def launch(self) -> ToolProcess:
        """Start `serve` without waiting for it."""
        self.write_configuration()
        log = self.settings.folder / "serve.log"
        words: list[str | Path] = ["serve", "--config", self.configuration]
        if self.settings.own_interpreter:
            self.tool = start_tool([*_command(), *words], log=log, cwd=PROJECT)
        else:
            self.tool = start_node(words, log=log)
        return self.tool

    def start(self) -> "Node":
        """Start `serve` and wait for its `ready` line."""
        log = self.settings.folder / "serve.log"
        before = self._ready_lines(log)
        tool = self.launch()
        wait_until(
            lambda: self._ready_lines(log) > before or tool.process.poll() is not None,
            what="the node says ready",
            seconds=60,
        )
        if tool.process.poll() is not None:
            raise RuntimeError("serve ended: " + tool.output()[-3000:])
        return self

    @staticmethod
    def _ready_lines(log: Path) -> int:
        if not log.exists():
            return 0
        lines = log.read_text(errors="replace").splitlines()
        return sum(line.startswith("ready") for line in lines)

    def stop(self) -> int:
        """SIGTERM, as systemd does; return the exit status."""
        return self.running.stop(seconds=self.settings.drain_seconds + 25)

    def pids(self) -> dict[str, int]:
        """Return the process id of each living role, "serve" being the parent."""
        parent = self.running.process.pid
        found = {"serve": parent}
        listing = Path(f"/proc/{parent}/task/{parent}/children")
        with contextlib.suppress(OSError):
            for child in listing.read_text().split():
                with contextlib.suppress(OSError):
                    words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                    for role in ("receive", "work", "deliver"):
                        if role.encode() in words:
                            found[role] = int(child)
        return found

    def kill(self, role: str) -> None:
        """Kill -9 one role, or "serve"; nothing happens if it is gone already."""
        pid = self.pids().get(role)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if role == "serve":
            self.running.process.wait(10)

    def cli(
        self, *arguments: str, seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run another sub-command on this node's configuration."""
        words = [*arguments, "--config", str(self.configuration)]
        if not self.settings.own_interpreter:
            return run_node(words, seconds=seconds)
        return subprocess.run(
            _command(*words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            cwd=PROJECT,
            check=False,
        )

    def studies(self) -> dict[str, dict[str, Any]]:
        """Return `studies --json`, by Study Instance UID.

        The command line runs in this process: polling must not cost a start each.
        """
        printed, complained = StringIO(), StringIO()
        with redirect_stdout(printed), redirect_stderr(complained):
            code = main(["studies", "--json", "--config", str(self.configuration)])
        if code != 0:
            raise RuntimeError("studies failed: " + complained.getvalue())
        return {
            item["study_instance_uid"]: item for item in json.loads(printed.getvalue())
        }

    def wait_settled(
        self, *study_instance_uids: str, revision: int = 1, seconds: float = 90
    ) -> dict[str, dict[str, Any]]:
        """Wait until these studies are routed and all their work has ended."""
        seen: list[bytes] = []

        def settled() -> dict[str, dict[str, Any]] | None:
            state = self._database_state()
            if state and seen == [state]:
                return None
            seen[:] = [state]
            found = self.studies()
            done = all(
                uid in found
                and found[uid]["revision"] >= revision
                and is_settled(found[uid])
                for uid in study_instance_uids
            )
            return found if done else None

        return wait_until(
            settled, what="all work has ended", seconds=seconds, every=0.2
        )

    def _database_state(self) -> bytes:
        """Return what every commit changes: the head of SQLite's WAL index.

        Nothing of PostgreSQL, and nothing while no process has the database open.
        """
        try:
            with (self.data_dir / "node.db-shm").open("rb") as index:
                return index.read(48)
        except OSError:
            return b""


def is_settled(study: dict[str, Any]) -> bool:
    """Say whether nothing will happen any more to this study by itself."""
    if study["state"] == "RECEIVING":
        return False
    if study["state"] == "IGNORED":
        return True
    return bool(study["jobs"]) and all(
        job["state"] in FINISHED
        and all(delivery["state"] in FINISHED for delivery in job["deliveries"])
        for job in study["jobs"]
    )


def render(settings: NodeSettings) -> str:
    """Write the configuration file's text."""
    names = ", ".join(f'"{name}"' for name, _ in settings.destinations)
    database = f'[database]\nurl = "{settings.database}"\n' if settings.database else ""
    tables = "".join(
        f'[[destinations]]\nname = "{name}"\nkind = "dicom"\n'
        f'ae_title = "{peer.ae_title}"\nhost = "{peer.host}"\nport = {peer.port}\n'
        'objects = ["sr"]\n'  # one object a result: the tests count them
        for name, peer in settings.destinations
    )
    everything = (
        f'[[routes]]\nname = "everything"\nmodel = "{settings.model}"\n'
        f"destinations = [{names}]\n[routes.when]\n"
    )
    return (
        f'[node]\nae_title = "{settings.address.ae_title}"\n'
        f'host = "127.0.0.1"\nport = {settings.address.port}\ndata_dir = "data"\n'
        f"{database}"
        "[receive]\nmin_free_bytes = 1000000\n"
        f"[study]\nquiet_seconds = {settings.quiet_seconds}\n"
        "[work]\npoll_seconds = 0.5\nlease_seconds = 6\nretry_first_seconds = 1\n"
        "retry_longest_seconds = 2\n"
        f"drain_seconds = {settings.drain_seconds}\n"
        f'[models]\nfolder = "{settings.models}"\ndevice = "cpu"\nthreads = 1\n'
        f'python_classes = ["{settings.python_classes}"]\n'
        f"{tables}"
        f"{settings.routes or everything}"
        f"{settings.extra}"
    )


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dicom_node", *arguments]
