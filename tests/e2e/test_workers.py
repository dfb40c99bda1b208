"""Several worker processes share one queue; each job is done once."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from config.settings import Settings
from dicom_node.workers import bind_worker, name_workers, worker_arguments
from tests.e2e.bundle import write_bundle
from tests.e2e.conftest import StartNode
from tests.e2e.images import Sender, make_radiograph, new_study_uid
from tests.e2e.node import Node, NodeSettings
from tests.e2e.pacs import StandInPacs
from tests.peers import wait_until

OWN = "tests.unit.inference.own_models"


def _workers(node: Node) -> dict[str, int]:
    """Return the process id of each worker by its number."""
    parent = node.running.process.pid
    found = {}
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        try:
            words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        except OSError:
            continue
        if "--worker" in words:
            found[words[words.index("--worker") + 1]] = int(child)
    return found


def _evaluate(node: Node) -> str:
    study = new_study_uid()
    Sender(node.address).send([make_radiograph(study)])
    (job,) = node.wait_settled(study)[study]["jobs"]
    assert job["state"] == "DONE"
    return study


@pytest.mark.slow
def test_two_workers_share_the_queue_and_one_goes_on_without_the_other(
    settings: NodeSettings,
    start_node: StartNode,
    pacs: StandInPacs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DICOM_NODE_MODELS__WORKERS", "2")
    node = start_node(settings)
    wait_until(lambda: len(_workers(node)) == 2, what="two workers run", seconds=60)
    studies = [_evaluate(node)]
    for asleep in ("1", "2"):  # whatever this one does not do, the other does
        pid = _workers(node)[asleep]
        os.kill(pid, signal.SIGSTOP)
        studies.append(_evaluate(node))
        if asleep == "1":
            os.kill(pid, signal.SIGCONT)
    killed = _workers(node)["2"]
    os.kill(killed, signal.SIGKILL)
    studies.append(_evaluate(node))
    wait_until(
        lambda: _workers(node).get("2") not in (None, killed),
        what="the killed worker is started again",
        seconds=60,
    )
    for study in studies:
        assert len({item.sop_instance_uid for item in pacs.of_study(study)}) == 1
        assert len(pacs.of_study(study)) == 1
    assert node.stop() == 0


@contextmanager
def _held_in_loading(pipe: Path) -> Iterator[None]:
    """Wait until a worker loads a model that reads from a pipe, and keep it there."""

    def opened() -> int | None:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads yet
            return None

    descriptor = wait_until(opened, what="a model is being loaded", seconds=60)
    try:
        yield
    finally:
        os.close(descriptor)


def test_sigterm_ends_a_worker_that_loads_its_model_at_once(
    settings: NodeSettings,
    start_node: StartNode,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = write_bundle(tmp_path / "models")
    card = (bundle / "card.toml").read_text()
    own = f'python_class = "{OWN}:SlowToLoad"\n'
    lines = card.splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("options")]
    named = [own if line.startswith("architecture") else line for line in kept]
    (bundle / "card.toml").write_text("".join(named))
    pipe = tmp_path / "held"
    os.mkfifo(pipe)
    monkeypatch.setenv("HELD_IN_LOADING", str(pipe))
    node = start_node(
        replace(settings, models=bundle.parent, python_classes=f"{OWN}.*")
    )
    with _held_in_loading(pipe):
        begun = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - begun < settings.drain_seconds / 2
    assert "role killed" not in node.running.output()


def test_workers_share_the_cores_of_a_machine_without_cuda() -> None:
    settings = Settings.model_validate({"models": {"device": "cpu"}})
    assert bind_worker(settings, worker=1, workers=1) == settings
    cores = len(os.sched_getaffinity(0))
    for worker in (1, 2):
        bound = bind_worker(settings, worker=worker, workers=2)
        assert bound.models.threads == max(1, cores // 2)
        assert bound.models.device == "cpu"
    named = Settings.model_validate({"models": {"device": "cuda:1", "threads": 3}})
    assert bind_worker(named, worker=2, workers=2) == named


def test_every_worker_has_a_name_and_is_told_its_number() -> None:
    assert name_workers(1) == ("work",)
    assert worker_arguments("work", 1) == ["work"]
    assert name_workers(3) == ("work", "work-2", "work-3")
    assert worker_arguments("work-3", 3) == ["work", "--worker", "3", "--workers", "3"]
