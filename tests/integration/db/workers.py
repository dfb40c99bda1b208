"""What the worker processes of the concurrency tests do (importable by spawn)."""

import time
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue

from db import work
from db.engine import Database
from dicom_node.core.types import Recorded
from tests.integration.db import samples
from tests.integration.db.samples import after


def claim_everything(url: str, owner: str, taken: "SimpleQueue[int | None]") -> None:
    """Claim jobs until there are none; tell the id of each."""
    database = Database(url)
    while True:
        job = work.claim_job(database, owner=owner, now=after(99), lease_seconds=60)
        if job is None:
            break
        taken.put(job.job_id)
    taken.put(None)
    database.close()


def claim_and_hang(url: str, told: Connection) -> None:
    """Claim a job, say so, and never settle it."""
    database = Database(url)
    job = samples.claim(database, owner="killed", at=100, lease=30)
    told.send(job)
    time.sleep(600)


def record_groups(
    url: str, owner: int, told: "SimpleQueue[tuple[int, list[str]]]"
) -> None:
    """Record the same 120 instances as the others, in groups of another size."""
    database = Database(url)
    receipts: list[str] = []
    items = [samples.received(f"1.{n % 4}", n, at=after(n)) for n in range(120)]
    size = 5 + 2 * owner
    for start in range(0, len(items), size):
        group = items[start : start + size]
        if owner % 2:
            group.reverse()
        outcomes = samples.enter_all(database, *group)
        for outcome in outcomes:
            assert isinstance(outcome, Recorded), outcome
            receipts.append(outcome.receipt)
    told.put((owner, receipts))
    database.close()


def record_until_killed(url: str, told: Connection) -> None:
    """Record one instance after the other; tell each one that was committed."""
    database = Database(url)
    number = 0
    while True:
        number += 1
        samples.enter(database, samples.received("1.7", number))
        told.send(number)
