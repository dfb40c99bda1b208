"""Several processes on one database, and processes that are killed."""

import multiprocessing
from collections import Counter

import pytest

from db import queries, studies, work
from db.engine import Database
from dicom_node.core.errors import LostRace
from dicom_node.core.states import Receipt, WorkState
from dicom_node.core.types import Route
from tests.integration.db import samples, workers
from tests.integration.db.samples import after

SPAWN = multiprocessing.get_context("spawn")  # a Database must not cross a fork
JOBS = 200


def test_several_processes_claim_200_jobs_each_once(
    database: Database, url: str
) -> None:
    entered = samples.enter(database, samples.received())
    routes = [
        Route(name=f"r{number}", model=f"m{number}", destinations=("pacs",))
        for number in range(JOBS)
    ]
    made = samples.route_study(database, entered.study_id, *routes)
    taken = SPAWN.SimpleQueue()
    processes = [
        SPAWN.Process(
            target=workers.claim_everything, args=(url, f"worker {number}", taken)
        )
        for number in range(3)
    ]
    for process in processes:
        process.start()
    claimed: list[int] = []
    ended = 0
    while ended < len(processes):
        job_id = taken.get()
        if job_id is None:
            ended += 1
        else:
            claimed.append(job_id)
    for process in processes:
        process.join()
    assert sorted(claimed) == sorted(made)
    assert queries.counts(database).jobs[WorkState.RUNNING] == JOBS
    taken.close()


def test_the_job_of_a_killed_process_is_claimed_again_when_its_lease_lapsed(
    database: Database, url: str
) -> None:
    job_id = samples.queue_job(database)
    told, tell = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=workers.claim_and_hang, args=(url, tell))
    process.start()
    stale = told.recv()
    process.kill()
    process.join()
    nothing = work.claim_job(database, owner="next", now=after(129), lease_seconds=60)
    assert nothing is None
    job = samples.claim(database, owner="next", at=131)
    assert (job.job_id, job.attempt) == (job_id, 2)
    work.settle_job(database, job, samples.settlement(), now=after(140))
    with pytest.raises(LostRace):
        work.settle_job(database, stale, samples.settlement(), now=after(141))


def test_processes_that_record_the_same_groups_at_once_record_each_once(
    database: Database, url: str
) -> None:
    told = SPAWN.SimpleQueue()
    processes = [
        SPAWN.Process(target=workers.record_groups, args=(url, owner, told))
        for owner in range(3)
    ]
    for process in processes:
        process.start()
    receipts = [receipt for _ in processes for receipt in told.get()[1]]
    for process in processes:
        process.join()
    told.close()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert Counter(receipts) == {Receipt.NEW: 120, Receipt.REPEAT: 240}
    counted = queries.counts(database)
    assert (counted.instances, counted.repeats) == (120, 240)
    for number in range(4):
        (study_id,) = studies.identify(database, f"1.{number}")
        assert len(studies.load(database, study_id).instances) == 30


def test_every_instance_that_was_committed_is_there_after_kill_9(
    database: Database, url: str
) -> None:
    told, tell = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=workers.record_until_killed, args=(url, tell))
    process.start()
    tell.close()
    committed = [told.recv() for _ in range(25)]
    process.kill()
    process.join()
    while told.poll():
        try:
            committed.append(told.recv())
        except EOFError:
            break
    (study_id,) = studies.identify(database, "1.7")
    found = studies.load(database, study_id).instances
    numbers = {item.header.instance_number for item in found}
    assert set(committed) <= numbers
    assert len(numbers) <= len(committed) + 1
