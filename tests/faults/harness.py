"""The node as a process of its own, and what a fault may do to it.

Also for the attacks: start a node, look at its memory, threads and descriptors, ask
whether another sender is served.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.instances import make_study
from tests.faults.processes import Resources, connections, resources, tree
from tests.faults.senders import Association, SenderLog
from tests.peers import PROJECT, Address, wait_until
from tests.starter import Running, fork_node

FAULT_VARIABLE = "DICOM_NODE_FAULT"
GOOD_PEER = "127.0.0.2"
_LISTENS = re.compile(r"^(?:listening|ready .*?) ?127\.0\.0\.1:(\d+)", re.MULTILINE)

Scalar = str | int | float | bool
Tables = Mapping[str, Mapping[str, Scalar]]


@dataclass(slots=True, kw_only=True)
class FaultNode:
    """One node; may be killed and started again on the same folders.

    Args:
        folder: configuration and logs; never on the disk that is broken.
        data_dir: database and files; in `folder` if None.
        tables: settings by table, instead of the defaults.
        role: "receive" or "serve".
        database: a PostgreSQL URL, "" for SQLite in `data_dir`.
        more: further TOML at the end of the configuration.
        own_interpreter: started as users start it, for tests that look at memory;
            else forked (`tests.starter`).
    """

    folder: Path
    data_dir: Path = field(default=Path())
    tables: Tables = field(default_factory=dict)
    role: str = "receive"
    database: str = ""
    more: str = ""
    own_interpreter: bool = False
    port: int = 0
    process: Running | None = None

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.data_dir == Path():
            self.data_dir = self.folder / "data"

    @property
    def configuration(self) -> Path:
        """Its configuration file."""
        return self.folder / "node.toml"

    @property
    def instances_dir(self) -> Path:
        """Where received files lie."""
        return self.data_dir / "instances"

    @property
    def address(self) -> Address:
        """Where it listens."""
        return Address(port=self.port)

    @property
    def running(self) -> Running:
        """The process that was started."""
        if self.process is None:
            raise RuntimeError("the node was never started")
        return self.process

    def start(
        self,
        *,
        fault: str = "",
        environment: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
        seconds: float = 60.0,
    ) -> "FaultNode":
        """Start and wait until it listens.

        Args:
            fault: "<point>:<n>" kills a receiver at the n-th passing of the point.
            wrapper: a program that runs the node, with its arguments.
        """
        self.launch(fault=fault, environment=environment, wrapper=wrapper)
        self.port = wait_until(
            self._listening, what="the node listens or ended", seconds=seconds
        )
        if self.port < 0:
            raise RuntimeError("the node ended: " + self.log()[-3000:])
        return self

    def launch(
        self,
        *,
        fault: str = "",
        environment: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        """Start without waiting."""
        self.configuration.write_text(self._render())
        named = {FAULT_VARIABLE: fault} if fault else {}
        words = [self.role, "--config", str(self.configuration)]
        variables = {**os.environ, **named, **(environment or {})}
        with (
            (self.folder / "out.txt").open("wb") as out,
            (self.folder / "log.jsonl").open("wb") as log,
        ):
            if not wrapper and not self.own_interpreter:
                self.process = fork_node(
                    words,
                    output=out.fileno(),
                    errors=log.fileno(),
                    environment=variables,
                )
                return
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, "-m", "dicom_node", *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                cwd=PROJECT,
                env=variables,
            )

    def _listening(self) -> int:
        """Return the port, 0 for not yet, -1 for a process that ended."""
        said = _LISTENS.search((self.folder / "out.txt").read_text())
        if said:
            return int(said[1])
        return 0 if self.running.poll() is None else -1

    def _render(self) -> str:
        tables: dict[str, dict[str, Scalar]] = {
            "node": {"port": 0, "data_dir": str(self.data_dir), "log_level": "debug"},
            "receive": {"min_free_bytes": 1 << 20, "processes": 1},
        }
        if self.database:
            tables["database"] = {"url": self.database}
        for name, table in self.tables.items():
            tables.setdefault(name, {}).update(table)
        lines: list[str] = []
        for name, table in tables.items():
            lines.append(f"[{name}]")
            # JSON's strings, numbers and booleans are TOML's too.
            lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
        return "\n".join([*lines, self.more, ""])

    def log(self) -> str:
        """Return its log since the last start."""
        return (self.folder / "log.jsonl").read_text(errors="replace")

    def events(self) -> list[dict[str, object]]:
        """Return the log's lines; a line that is cut off or no JSON is left out."""
        found = []
        for line in self.log().splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def pids(self) -> list[int]:
        """Return the process ids of the node and its descendants."""
        return list(tree(self.running.pid)) if self.alive() else []

    def pids_of(self, role: str) -> list[int]:
        """Return the process ids of one role and its descendants under `serve`."""
        found = []
        for pid in self.pids():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                found += [pid] if role.encode() in words else []
        return found

    def alive(self) -> bool:
        """Say whether the process that was started runs."""
        return self.running.poll() is None

    def kill(self) -> None:
        """Kill -9 every process of the node, as a crash of the machine would."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.running.wait(30)

    def stop(self, *, seconds: float = 60.0) -> int:
        """SIGTERM; return the exit status."""
        self.running.send_signal(signal.SIGTERM)
        return self.running.wait(seconds)

    def resources(self) -> Resources:
        """Look at every process of the node."""
        return resources(self.pids())

    def wait_back_to(self, before: Resources, *, seconds: float = 15.0) -> Resources:
        """Wait until threads and descriptors are what they were; return them."""

        def back() -> Resources | None:
            now = self.resources()
            return (
                now
                if now.threads <= before.threads
                and now.descriptors <= before.descriptors
                else None
            )

        return wait_until(back, what=f"back to {before}", seconds=seconds, every=0.1)

    def serve_seconds(self, log: SenderLog, *, source: str = GOOD_PEER) -> float:
        """Let a good peer echo and store one image; return how long it took."""
        begun = time.monotonic()
        association = Association.open(self.port, log, source=source)
        if not association.echo():
            raise ConnectionError("no answer to C-ECHO")
        status = association.store(make_study(1)[0])
        association.release()
        if status != 0:
            raise ConnectionError(f"a good peer heard {status}")
        return round(time.monotonic() - begun, 3)

    def serves(self, log: SenderLog) -> bool:
        """Say whether a good peer is served now."""
        try:
            return self.serve_seconds(log) > 0
        except OSError:
            return False

    def warm_up(self, log: SenderLog, *, associations: int = 8) -> Resources:
        """Use it once, so that pools are full; return what it holds then."""
        held = [Association.open(self.port, log) for _ in range(associations)]
        for association in held:
            association.store(make_study(1)[0])
        for association in held:
            association.release()
        return self.settled()

    def settled(self) -> Resources:
        """Wait until no peer is connected; return what the node holds."""
        wait_until(
            lambda: connections(self.port) == 0,
            what="no connection is left",
            seconds=30,
        )
        last = self.resources()

        def steady() -> Resources | None:
            nonlocal last
            now = self.resources()
            same = (now.threads, now.descriptors) == (last.threads, last.descriptors)
            last = now
            return now if same else None

        return wait_until(steady, what="threads are steady", seconds=10, every=0.2)
