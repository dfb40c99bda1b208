"""Kill -9 of any process at random moments: nothing acknowledged is lost, and each
(study, revision, model) has exactly one report in the PACS."""

import dataclasses
import os
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from pydicom import Dataset

from tests import postgres
from tests.e2e.conftest import StartNode
from tests.e2e.images import (
    Sender,
    dataset_digest,
    make_radiograph,
    new_study_uid,
    stored_digests,
)
from tests.e2e.node import Node, NodeSettings
from tests.e2e.pacs import StandInPacs
from tests.peers import echoscu, wait_until

STUDIES = 8
IMAGES_PER_STUDY = 3
SEED = int(os.environ.get("DICOM_NODE_TEST_SEED", "20261122"))
ROLES = ("receive", "work", "deliver", "serve")


@contextmanager
def _sending(sender: Sender, images: Sequence[Dataset]) -> Iterator[None]:
    """Send in the background, again and again, until everything is acknowledged."""
    done = threading.Event()

    def send() -> None:
        studies = [
            images[start : start + IMAGES_PER_STUDY]
            for start in range(0, len(images), IMAGES_PER_STUDY)
        ]
        for study in studies:
            while not done.is_set():
                sender.send(study)
                if all(image.SOPInstanceUID in sender.acknowledged for image in study):
                    break
                done.wait(0.1)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
        thread.join(90)
    finally:
        done.set()
        thread.join()


def _kill_at_random(node: Node, dice: random.Random, *, kills: int) -> list[str]:
    """Kill roles at random moments; `serve` is started again, as systemd would."""
    killed = []
    pause = threading.Event()
    order = [ROLES[number % len(ROLES)] for number in range(kills)]
    dice.shuffle(order)
    for role in order:
        pause.wait(dice.uniform(0.05, 2.5))
        node.kill(role)
        killed.append(role)
        if role == "serve":
            node.start()
    return killed


def _check(
    node: Node, pacs: StandInPacs, images: Sequence[Dataset], acknowledged: set[str]
) -> None:
    studies = list(dict.fromkeys(str(image.StudyInstanceUID) for image in images))
    found = node.wait_settled(*studies, seconds=150)
    kept = stored_digests(node.data_dir / "instances")
    for image in images:
        if image.SOPInstanceUID in acknowledged:
            assert kept[image.SOPInstanceUID] == dataset_digest(image)
    for uid in studies:
        expected = {
            image.SOPInstanceUID for image in images if image.StudyInstanceUID == uid
        }
        assert found[uid]["instances"] == len(expected & acknowledged)
        jobs = found[uid]["jobs"]
        assert len({(job["revision"], job["model"]) for job in jobs}) == len(jobs)
        done = [job for job in jobs if job["state"] != "CANCELLED"]
        assert [job["state"] for job in done] == ["DONE"] * len(done)
        said = [job["deliveries"][0]["sop_instance_uid"] for job in done]
        arrivals = pacs.of_study(uid)
        # Sent twice after a crash is fine as long as it is the same object.
        assert {item.sop_instance_uid for item in arrivals} == set(said)
        assert len({(item.sop_instance_uid, item.sha256) for item in arrivals}) == len(
            said
        )


@pytest.mark.slow
@pytest.mark.timeout(360)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_kill_9_of_any_process_loses_nothing_and_doubles_nothing(
    database: str, settings: NodeSettings, start_node: StartNode, pacs: StandInPacs
) -> None:
    if database == "postgresql":
        settings = dataclasses.replace(settings, database=postgres.new_database())
    dice = random.Random(SEED)
    images = [
        make_radiograph(study, number=number)
        for study in (new_study_uid() for _ in range(STUDIES))
        for number in range(1, IMAGES_PER_STUDY + 1)
    ]
    node = start_node(settings)
    sender = Sender(node.address)
    with _sending(sender, images):
        killed = _kill_at_random(node, dice, kills=8)
    assert set(killed) == set(ROLES)
    assert len(sender.acknowledged) == len(images), f"seed {SEED}, killed {killed}"
    _check(node, pacs, images, sender.acknowledged)
    leftovers = [path.name for path in node.data_dir.rglob("*.part")]
    assert node.stop() == 0
    assert leftovers == []


def test_a_killed_role_is_started_again(
    settings: NodeSettings, start_node: StartNode, pacs: StandInPacs
) -> None:
    node = start_node(settings)
    wait_until(lambda: len(node.pids()) == 4, what="all roles run")
    before = node.pids()
    left = node.data_dir / "reports" / "parts" / "left.part"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"half a report")
    orphan = node.data_dir / "reports" / "ab" / f"{'ab' * 32}.dcm"
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"a report that no row names")
    os.utime(orphan, (0, 0))
    for role in ("receive", "work", "deliver"):
        node.kill(role)

    def again() -> bool:
        now = node.pids()
        return len(now) == 4 and all(
            now[role] != before[role] for role in now if role != "serve"
        )

    wait_until(again, what="all roles run again")
    wait_until(lambda: not left.exists(), what="half a report is removed")
    wait_until(lambda: not orphan.exists(), what="the report without a row is removed")
    assert node.pids()["serve"] == before["serve"]
    wait_until(lambda: echoscu(node.address), what="the receiver answers", every=0.3)
    study = new_study_uid()
    Sender(node.address).send([make_radiograph(study)])
    node.wait_settled(study)
    assert len(pacs.of_study(study)) == 1
