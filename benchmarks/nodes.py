"""A whole node under measurement: images in, and its database tells what came."""

import shutil
import sqlite3
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from benchmarks.blaster import Sent
from benchmarks.blaster import Task as Sending
from benchmarks.corpus import Numbers
from benchmarks.processes import BenchmarkError, wait_for
from benchmarks.receivers import AE_TITLE, OURS, Conditions, Running, launch
from benchmarks.senders import blast

QUIET_SECONDS: Final = 0.5
_LONGEST_SECONDS: Final = 900.0
_ROUTE: Final = """
[study]
quiet_seconds = {quiet}
[models]
folder = "{models}"
device = "cpu"
{destination}
[[routes]]
name = "everything"
model = "{model}"
destinations = [{names}]
"""
_PREDICTIONS: Final = "SELECT count(*) FROM predictions"
_UNSETTLED: Final = "SELECT count(*) FROM jobs WHERE state IN ('QUEUED', 'RUNNING')"
_WITHOUT_RESULT: Final = (
    "SELECT (SELECT count(*) FROM jobs WHERE state = 'FAILED') + (SELECT count(*) "
    "FROM predictions WHERE outcome IN ('not_evaluated', 'failed'))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """What a node shall run.

    Args:
        models: folder of its bundles.
        pacs_port: where reports go to; None sends none.
    """

    folder: Path
    models: Path
    model: str
    quiet_seconds: float = QUIET_SECONDS
    pacs_port: int | None = None


def send_new(
    port: int,
    templates: tuple[str, ...],
    *,
    images: int,
    studies: int,
    numbers: Numbers,
) -> Sent:
    """Send new studies at once, one association each."""
    each = max(1, images // studies)
    first = int(numbers.uid()[-38:])
    for _ in range((each + 2) * studies):
        numbers.uid()
    return blast(
        Sending(
            port=port,
            called=AE_TITLE,
            associations=studies,
            images=each,
            templates=templates,
            first_uid=first,
        )
    )


class _Ledger:
    """The database of a node, asked with sqlite3, not with the node's own code.

    It is asked fifty times a second, on the cores that are measured: one connection,
    and only what has changed since.
    """

    def __init__(self, path: Path) -> None:
        address = f"file:{path}?mode=ro"
        self._connection = sqlite3.connect(address, uri=True, timeout=30)
        self._version = 0
        self._answers: dict[str, tuple[object, ...]] = {}

    def ask(self, query: str) -> tuple[object, ...]:
        """Return the first row."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        if version != self._version:
            self._answers.clear()
            self._version = version
        if query not in self._answers:
            self._answers[query] = self._connection.execute(query).fetchone()
        return self._answers[query]

    def close(self) -> None:
        """Let the database go."""
        self._connection.close()


@dataclass(slots=True)
class Node:
    """`serve` with its default settings but for folders, ports and quiet time."""

    plan: NodePlan
    _running: Running | None = None
    _numbers: Numbers = field(default_factory=Numbers)
    _ledger: _Ledger | None = None

    def __enter__(self) -> Self:
        self._running = launch(
            OURS,
            Conditions(
                folder=self.plan.folder,
                durability="process-crash",
                nodelay=True,
                node=_settings(self.plan),
            ),
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._ledger is not None:
            self._ledger.close()
        if self._running is not None:
            self._running.program.end()
        shutil.rmtree(self.plan.folder, ignore_errors=True)

    def send(self, templates: tuple[str, ...], *, images: int, studies: int) -> Sent:
        """Send new studies at once, one association each."""
        return send_new(
            self.running.port,
            templates,
            images=images,
            studies=studies,
            numbers=self._numbers,
        )

    def rate(self, templates: tuple[str, ...], *, images: int, studies: int) -> float:
        """Send, wait for the predictions; images per second without the quiet time.

        The clock starts with the first byte, not with the sender's process, and stops
        before the last picture is drawn.
        """
        before = self.predictions()
        sent = self.send(templates, images=images, studies=studies)
        self.wait_for_predictions(before + studies)
        took = time.monotonic() - sent.begun - self.plan.quiet_seconds
        self.wait_for_the_rest()
        self.running.forget()
        return sent.images / took

    def wait_for_predictions(self, number: int) -> None:
        """Wait until so many predictions are stored.

        Raises:
            BenchmarkError: a study was not evaluated, or it took too long.
        """

        def stored() -> bool:
            self.running.program.require_running()
            if self._count(_WITHOUT_RESULT):
                raise BenchmarkError("the node did not evaluate a study")
            return self.predictions() >= number

        wait_for(stored, what="the predictions are stored", seconds=_LONGEST_SECONDS)

    def wait_for_the_rest(self) -> None:
        """Wait until the pictures of all results are drawn.

        Raises:
            BenchmarkError: it took too long.
        """

        def settled() -> bool:
            self.running.program.require_running()
            return not self._count(_UNSETTLED)

        wait_for(settled, what="the pictures are drawn", seconds=_LONGEST_SECONDS)

    def predictions(self) -> int:
        """Count the stored predictions."""
        return self._count(_PREDICTIONS)

    def last_quiet_end(self) -> datetime:
        """Return when the quiet time of the latest study ended."""
        (text,) = self._ask("SELECT max(last_instance_at) FROM studies")
        last = datetime.fromisoformat(str(text))
        aware = last if last.tzinfo else last.replace(tzinfo=UTC)
        return datetime.fromtimestamp(
            aware.timestamp() + self.plan.quiet_seconds, tz=UTC
        )

    @property
    def running(self) -> Running:
        """The program; it must have been entered."""
        if self._running is None:
            raise BenchmarkError("the node was not started")
        return self._running

    def _count(self, query: str) -> int:
        (found,) = self._ask(query)
        return int(str(found))

    def _ask(self, query: str) -> tuple[object, ...]:
        if self._ledger is None:
            self._ledger = _Ledger(self.plan.folder / "data" / "node.db")
        return self._ledger.ask(query)


def _settings(plan: NodePlan) -> str:
    destination, names = "", ""
    if plan.pacs_port is not None:
        names = '"pacs"'
        destination = (
            f'[[destinations]]\nname = "pacs"\nkind = "dicom"\nae_title = "PACS"\n'
            f'host = "127.0.0.1"\nport = {plan.pacs_port}\n'
        )
    return _ROUTE.format(
        quiet=plan.quiet_seconds,
        models=plan.models,
        model=plan.model,
        destination=destination,
        names=names,
    )
