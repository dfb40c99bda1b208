"""A delivery on its way to an archive, one turn at a time."""

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select

import db.work
from config.destinations import DestinationTable
from db.breaker import BreakerPolicy
from db.columns import AnyRow
from db.engine import Database
from db.tables import deliveries
from dicom_node.core.errors import LostRace
from dicom_node.core.states import WorkState
from dicom_node.core.types import Delivery
from dicom_node.deliver.prover import provers_of
from dicom_node.deliver.retry import ExponentialBackoff
from dicom_node.deliver.store_scu import DicomDestination
from dicom_node.delivering import Faults, Outbox, no_faults
from dicom_node.pipeline import on_delivery
from dicom_node.store.files import FileStore
from tests.integration.db.samples import (
    after,
    claim,
    queue_job,
    settlement,
)
from tests.integration.deliver.peers import COMPREHENSIVE_3D, make_report
from tests.unit.pipeline.parts import SteppedClock


@dataclass(slots=True, kw_only=True)
class Desk:
    """The deliver role in slow motion: `turn` works on whatever may be claimed."""

    database: Database
    outbox: Outbox
    clock: SteppedClock
    uid: str
    store: Path
    table: DestinationTable
    states: list[WorkState] = field(default_factory=list)

    def claim(self) -> Delivery | None:
        return db.work.claim_delivery(
            self.database, owner="deliver", now=self.clock.now(), lease_seconds=60
        )

    def turn(self) -> WorkState | None:
        """Claim and work once; None when nothing may be claimed now."""
        delivery = self.claim()
        if delivery is None:
            return None
        try:
            state = on_delivery(self.outbox, delivery)
        except LostRace:
            return None
        self.states.append(state)
        return state

    def skip(self, seconds: float = 0) -> None:
        """Let time pass until the delivery may be claimed, or for so long."""
        if seconds:
            self.clock.step(seconds)
        else:
            self.clock.time = max(self.clock.time, self.row().not_before)

    def run(self, turns: int = 20) -> AnyRow:
        """Work until the delivery is settled."""
        for _ in range(turns):
            self.skip()
            if self.turn() in (WorkState.DONE, WorkState.FAILED):
                return self.row()
        raise TimeoutError(f"not settled after {turns} turns: {self.states}")

    def row(self) -> AnyRow:
        with self.database.read() as connection:
            query = select(deliveries).order_by(deliveries.c.id).limit(1)
            return connection.execute(query).one()


def make_desk(
    database: Database,
    port: int,
    *,
    faults: Faults = no_faults,
    written_as: Sequence[str] = (COMPREHENSIVE_3D,),
    **settings: object,
) -> Desk:
    """Queue the delivery of a structured report to the archive on this port.

    Args:
        written_as: the SR classes of the report, best first.
    """
    table = DestinationTable.model_validate(
        {
            "name": "pacs",
            "ae_title": "PACS",
            "host": "127.0.0.1",
            "port": port,
            "timeout_seconds": 5,
            **settings,
        }
    )
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    written = [make_report(folder, sop_class) for sop_class in written_as]
    store = FileStore(folder / "reports", min_free_bytes=0)
    reports = [
        replace(one.report, file_key=store.put(one.path.read_bytes()))
        for one in written
    ]
    queue_job(database)
    db.work.settle_job(database, claim(database), settlement(*reports), now=after(3))
    clock = SteppedClock()
    clock.time = after(10)
    outbox = outbox_of(database, folder / "reports", table, at=clock.time)
    outbox = replace(outbox, clock=clock, faults=faults)
    return Desk(
        database=database,
        outbox=outbox,
        clock=clock,
        uid=str(reports[0].sop_instance_uid),
        store=folder / "reports",
        table=table,
    )


def outbox_of(
    database: Database, store: Path, table: DestinationTable, *, at: datetime
) -> Outbox:
    """Make what the deliver role delivers with, to this destination alone."""
    clock = SteppedClock()
    clock.time = at
    return Outbox(
        database=database,
        reports=FileStore(store, min_free_bytes=0),
        destinations={"pacs": DicomDestination(table, "AINODE")},
        provers=provers_of([table], "AINODE"),
        retry=ExponentialBackoff(
            first=timedelta(seconds=5),
            longest=timedelta(seconds=60),
            give_up_after=timedelta(hours=1),
        ),
        clock=clock,
        breaker=BreakerPolicy(
            failures=3, first=timedelta(seconds=30), longest=timedelta(seconds=120)
        ),
        chance=lambda: 0.0,
    )
