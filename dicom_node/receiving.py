"""The receiver role: processes on one port, each with its own acceptor and database.

The listening sockets are opened once and inherited, so all processes accept on them;
whoever is free takes the next connection.
"""

import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Thread
from typing import Final

from config.settings import Settings
from db.engine import Database
from dicom_node import app
from dicom_node.child import die_with_parent
from dicom_node.core.errors import NodeError
from dicom_node.observe.metrics import RECEIVE, ReceiveMetrics, ServeMetrics
from dicom_node.receive.acceptor import Acceptor
from dicom_node.receive.listeners import open_listeners
from dicom_node.receive.lobby import Listener
from dicom_node.receive.options import ReceiveOptions
from dicom_node.receive.slots import Slots
from dicom_node.stop import Stop

log = logging.getLogger("dicom_node.receive")

# Threads of one process wait for each other's Python at four associations and more: two
# processes took 1.4 times as many images where nobody syncs, no fewer where files are.
_PROCESSES: Final = 2
_CORES_PER_PROCESS: Final = 4
# An instance leaves no cycles behind: looking for them seldom is enough.
_OBJECTS_PER_COLLECTION: Final = 10_000
_BEAT_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
# Below what `serve` gives the role: it kills this process, too.
_GRACE_SECONDS: Final = 4.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiver:
    """What the receiver processes share."""

    settings: Settings
    options: ReceiveOptions
    listeners: tuple[Listener, ...]
    slots: Slots

    @classmethod
    def open(cls, settings: Settings) -> "Receiver":
        """Open the ports.

        Raises:
            ConfigError: one cannot be listened on, or a file cannot be used.
        """
        options = ReceiveOptions.from_settings(settings)
        return cls(
            settings=settings,
            options=options,
            listeners=tuple(open_listeners(options)),
            slots=Slots(options.max_associations, options.max_associations_per_peer),
        )

    @property
    def addresses(self) -> list[str]:
        """Where it listens, the port without TLS first."""
        names = [listener.socket.getsockname()[:2] for listener in self.listeners]
        return [f"{host}:{port}" for host, port in names]

    def run(self, stop: Stop) -> int:
        """Receive until asked to stop, then drain; return the exit code."""
        cores = len(os.sched_getaffinity(0))
        wanted = self.settings.receive.processes or processes_for(cores)
        if wanted == 1:
            return self.receive(stop, reconciles=True)
        return _Processes(self, wanted, stop).run()

    def receive(self, stop: Stop, *, reconciles: bool) -> int:
        """Be one receiver process; the threads and the database are its own."""
        self._reload_on_hangup()
        database = app.open_database(
            self.settings, busy_seconds=self.settings.receive.database_wait_seconds
        )
        metrics = app.receive_metrics(self.settings)
        acceptor = app.build_acceptor(
            self.settings, database, options=self.options, slots=self.slots,
            metrics=metrics,
        )  # fmt: skip
        # What is here now stays: the collector would look at it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_OBJECTS_PER_COLLECTION, 10, 10)
        acceptor.start(self.listeners)
        if reconciles:
            # After the port listens: a restart must not wait for a walk over all files.
            Thread(
                target=_reconcile,
                args=(self.settings, database, metrics, stop),
                name="reconcile",
                daemon=True,
            ).start()
        Thread(target=_look_around, args=(acceptor, metrics, stop), daemon=True).start()
        while not stop.wait(_BEAT_SECONDS):
            if acceptor.listening:
                metrics.beat()
        drained = acceptor.drain(self.settings.work.drain_seconds)
        log.info(
            "receiver stopped", extra={"reason": "drained" if drained else "timeout"}
        )
        metrics.close()
        if drained:  # else a thread may be in the middle of something
            with contextlib.suppress(NodeError):
                database.close()
        return 0

    def _reload_on_hangup(self) -> None:
        tls = self.options.tls
        if tls is None:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        else:
            signal.signal(signal.SIGHUP, lambda _number, _frame: tls.reload())


def processes_for(cores: int) -> int:
    """Return how many processes receive on so many cores: two, or one per four."""
    return max(min(_PROCESSES, cores), cores // _CORES_PER_PROCESS)


def _look_around(acceptor: Acceptor, metrics: ReceiveMetrics, stop: Stop) -> None:
    """Keep the gauges up to date; apart from the beat, as a disk may hang."""
    while not stop.wait(_BEAT_SECONDS):
        acceptor.look(metrics)


def _reconcile(
    settings: Settings, database: Database, metrics: ReceiveMetrics, stop: Stop
) -> None:
    """Reconcile, again and again until it came to its end."""
    pause = _PAUSE_SECONDS
    while not stop.asked:
        try:
            metrics.reconciled(app.reconcile_instances(settings, database))
        except Exception as error:  # noqa: BLE001 - a thread's edge
            log.error("reconcile ended early", extra={"error": type(error).__name__})
        else:
            return
        stop.wait(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


@dataclass
class _Processes:
    """Forks receivers and forks again when one dies; has no thread of its own."""

    receiver: Receiver
    wanted: int
    stop: Stop
    pids: dict[int, int] = field(default_factory=dict)  # pid -> number

    def __post_init__(self) -> None:
        folder = self.receiver.settings.metrics_dir
        self._metrics = ServeMetrics(folder, [RECEIVE])

    def run(self) -> int:
        signal.signal(signal.SIGHUP, self._pass_on)
        for number in range(self.wanted):
            self._fork(number)
        while not self.stop.wait(0.1):
            self._look_after(self._again)
        # As long as one process has them open the kernel lets callers in to wait.
        for listener in self.receiver.listeners:
            listener.socket.close()
        for pid in self.pids:
            os.kill(pid, signal.SIGTERM)
        seconds = self.receiver.settings.work.drain_seconds + _GRACE_SECONDS
        until = time.monotonic() + seconds
        while self.pids and time.monotonic() < until:
            self._look_after(lambda _number: None)
            time.sleep(0.02)
        for pid in self.pids:
            log.error("receiver killed", extra={"pid": pid})
            os.kill(pid, signal.SIGKILL)
        self._metrics.close()
        return 0

    def _fork(self, number: int, *, again: bool = False) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self.pids[pid] = number
            return
        code = 1
        try:
            die_with_parent(parent)
            self.stop.install()
            code = self.receiver.receive(self.stop, reconciles=again or number == 0)
        except Exception as error:  # noqa: BLE001 - a process's edge
            log.error("receiver failed", extra={"error": type(error).__name__})
        finally:
            os._exit(code)

    def _look_after(self, died: Callable[[int], None]) -> None:
        for pid, number in list(self.pids.items()):
            found, status = os.waitpid(pid, os.WNOHANG)
            if not found:
                continue
            del self.pids[pid]
            self.receiver.slots.reclaim(pid)
            log.info(
                "receiver ended",
                extra={"pid": pid, "exit_code": os.waitstatus_to_exitcode(status)},
            )
            died(number)

    def _again(self, number: int) -> None:
        log.error("receiver died, restarting", extra={"seconds": _PAUSE_SECONDS})
        if not self.stop.wait(_PAUSE_SECONDS):
            self._metrics.restarted(RECEIVE)
            self._fork(number, again=True)

    def _pass_on(self, number: int, _frame: object) -> None:
        for pid in self.pids:
            os.kill(pid, number)
