"""The four steps over a real database, with parts at the seams."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import db.queries
import db.schema
import db.studies
import db.work
from config.settings import RouteTable
from db.engine import Database
from db.summary import StudySummary
from dicom_node.core.states import Outcome, WorkState
from dicom_node.deliver.retry import ExponentialBackoff
from dicom_node.pipeline import (
    Outbox,
    Work,
    on_delivery,
    on_instances,
    on_job,
    on_quiet_study,
)
from dicom_node.study.routes import RuleRouter
from dicom_node.writing import Writing
from tests.unit.pipeline.parts import (
    FolderStore,
    LineReports,
    ScriptedDestination,
    ScriptedExecutor,
    SteppedClock,
    received,
)

ROUTE = RouteTable(name="chest", model="m", destinations=("pacs",))


@dataclass
class Node:
    """The four steps over one database."""

    database: Database
    clock: SteppedClock
    work: Work
    executor: ScriptedExecutor
    pacs: ScriptedDestination
    outbox: Outbox
    instances: FolderStore

    def receive(self, number: int) -> None:
        item = received(self.instances, self.clock, number=number)
        on_instances(self.database, [item], compare=self.instances)

    def complete(self) -> None:
        self.clock.step(11)
        for study_id in db.studies.quiet(
            self.database, now=self.clock.now(), quiet_seconds=10, limit_seconds=3600
        ):
            on_quiet_study(self.database, study_id, RuleRouter([ROUTE]), self.clock)

    def infer(self) -> Outcome | None:
        job = db.work.claim_job(
            self.database, owner="t", now=self.clock.now(), lease_seconds=60
        )
        return on_job(self.work, job) if job else None

    def deliver(self) -> WorkState | None:
        delivery = db.work.claim_delivery(
            self.database, owner="t", now=self.clock.now(), lease_seconds=60
        )
        return on_delivery(self.outbox, delivery) if delivery else None

    def study(self) -> StudySummary:
        (only,) = db.queries.studies(self.database)
        return only


@contextmanager
def open_node(folder: Path) -> Iterator[Node]:
    """Make a new node in a folder."""
    url = f"sqlite:///{folder / 'node.db'}"
    db.schema.create_if_new(url)
    database = Database(url)
    clock = SteppedClock()
    executor, pacs = ScriptedExecutor(clock), ScriptedDestination()
    instances = FolderStore(folder / "instances")
    reports = FolderStore(folder / "reports")
    retry = ExponentialBackoff(
        first=timedelta(seconds=5),
        longest=timedelta(seconds=60),
        give_up_after=timedelta(hours=1),
    )
    work = Work(
        database=database,
        instances=instances,
        executor=executor,
        writing=Writing(
            database=database,
            reports=reports,
            report_builder=LineReports(),
            destinations={"pacs": pacs},
            clock=clock,
        ),
        clock=clock,
        attempts=3,
        retry=retry,
    )
    outbox = Outbox(
        database=database,
        reports=reports,
        destinations={"pacs": pacs},
        retry=retry,
        clock=clock,
    )
    yield Node(database, clock, work, executor, pacs, outbox, instances)
    database.close()
