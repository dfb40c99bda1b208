"""The deliver role in a process that kills itself at a step of a delivery."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import db.work
from config.destinations import DestinationTable
from db.engine import Database
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.proof import CommitmentAnswer
from dicom_node.core.states import ReportKind
from dicom_node.core.types import ReportFile, Sent
from dicom_node.deliver.prover import DicomProver
from dicom_node.deliver.store_scu import DicomDestination
from dicom_node.pipeline import on_delivery
from tests.integration.prove.desk import Desk, outbox_of

STEPS = (
    "before it is sent",
    "after the C-STORE-RSP",
    "before it asks for commitment",
    "after it has asked for commitment",
    "after it is committed",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """Where and when a deliver process dies.

    Args:
        store: the folder of its reports.
    """

    step: str
    url: str
    store: Path
    table: DestinationTable
    at: datetime


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise RuntimeError("still alive")


class _Destination(DicomDestination):
    step = ""

    def send(
        self,
        reports: Sequence[ReportFile],
        *,
        chosen: SOPInstanceUID | None,
        on_chosen: Callable[[SOPInstanceUID], None],
    ) -> Sent:
        sent = super().send(reports, chosen=chosen, on_chosen=on_chosen)
        if self.step == "after the C-STORE-RSP":
            _die()
        return sent


class _Prover(DicomProver):
    step = ""

    def request(
        self,
        file: ReportFile,
        transaction_uid: str,
        *,
        on_answer: Callable[[CommitmentAnswer], bool],
        answered: Callable[[], bool],
    ) -> None:
        if self.step == "before it asks for commitment":
            _die()
        super().request(
            file, transaction_uid, on_answer=on_answer, answered=lambda: True
        )
        if self.step == "after it has asked for commitment":
            _die()

    def find(self, file: ReportFile) -> bool:
        if self.step == "after it is committed":
            _die()
        return super().find(file)


def _deliver(death: Death) -> None:
    database = Database(death.url)
    outbox = outbox_of(database, death.store, death.table, at=death.at)
    destination = _Destination(death.table, "AINODE")
    prover = _Prover(death.table, "AINODE")
    destination.step = prover.step = death.step

    def look(_kind: ReportKind, _file: ReportFile) -> Sequence[str]:
        if death.step == "before it is sent":
            _die()
        return ()

    dying = replace(
        outbox,
        destinations={"pacs": destination},
        provers={"pacs": prover},
        faults=look,
    )
    delivery = db.work.claim_delivery(
        database, owner="dying", now=death.at, lease_seconds=60
    )
    if delivery is not None:
        on_delivery(dying, delivery)


def die_at(step: str, desk: Desk, url: str) -> bool:
    """Deliver in another process that dies at this step; say whether it did."""
    death = Death(
        step=step, url=url, store=desk.store, table=desk.table, at=desk.clock.now()
    )
    process = multiprocessing.get_context("spawn").Process(
        target=_deliver, args=(death,)
    )
    process.start()
    process.join(60)
    died = process.exitcode == -signal.SIGKILL
    if process.exitcode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"it ended otherwise: {process.exitcode}")
    process.close()
    return died
