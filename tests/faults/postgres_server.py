"""A PostgreSQL server of one test's own, to be stopped, frozen and started again."""

import os
import pwd
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from tests.faults.processes import tree
from tests.peers import require_tool, wait_until

_ACCOUNT = "postgres"  # the server refuses to run as root
_INITDB = ("-U", _ACCOUNT, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")


@dataclass(slots=True, kw_only=True)
class PostgresServer:
    """One server on a unix socket, with fsync as it comes."""

    folder: Path
    account: str | None
    process: subprocess.Popen[bytes] | None = field(default=None)

    @property
    def url(self) -> str:
        """URL of its one database."""
        return f"postgresql://{_ACCOUNT}@/postgres?host={self.folder}"

    def start(self) -> None:
        """Start and wait until it answers."""
        self.process = self._spawn(
            "postgres",
            *("-D", self.folder / "data", "-k", self.folder),
            *("-c", "listen_addresses=", "-c", "max_connections=40"),
        )
        wait_until(self._answers, what="PostgreSQL answers", seconds=30)

    def stop_at_once(self) -> None:
        """Stop as `pg_ctl stop -m immediate` does: a crash, recovered at the start."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait(30)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """SIGSTOP every process of the server: it neither answers nor hangs up."""
        pids = list(tree(self.process.pid)) if self.process else []
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in reversed(pids):
                os.kill(pid, signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _spawn(self, tool: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [require_tool(tool), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            user=self.account,
            extra_groups=None if self.account is None else [],
        )

    def make(self) -> None:
        """Make an empty cluster."""
        finished = self._spawn("initdb", "-D", self.folder / "data", *_INITDB).wait(120)
        if finished != 0:
            raise RuntimeError(f"initdb ended with {finished}")


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a server of one's own; skip the test where there is none."""
    require_tool("initdb")
    account = _ACCOUNT if os.geteuid() == 0 else None
    with TemporaryDirectory(prefix="dicom-node-pg-") as name:
        if account is not None:
            os.chown(name, pwd.getpwnam(account).pw_uid, -1)
        server = PostgresServer(folder=Path(name), account=account)
        server.make()
        server.start()
        try:
            yield server
        finally:
            server.stop_at_once()
