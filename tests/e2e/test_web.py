"""The whole node seen over HTTP: ready, counted, and what happens to its roles."""

import dataclasses
import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartNode
from tests.e2e.images import Sender, make_radiograph, new_study_uid
from tests.e2e.node import Node, NodeSettings
from tests.peers import free_port, wait_until


@dataclasses.dataclass(frozen=True, slots=True)
class Watched:
    """A node and the port of its pages."""

    node: Node
    port: int

    def get(self, path: str) -> tuple[int, str]:
        """Return status and body."""
        url = f"http://127.0.0.1:{self.port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def ready(self) -> bool:
        """Say whether /readyz says so."""
        return self.get("/readyz")[0] == 200

    def wrong(self) -> list[str]:
        """Return the names of the checks that failed."""
        checks: list[dict[str, Any]] = json.loads(self.get("/readyz")[1])["checks"]
        return [check["what"] for check in checks if not check["good"]]

    def value(self, series: str) -> float:
        """Return one series of /metrics, 0 without it."""
        for line in self.get("/metrics")[1].splitlines():
            name, _, value = line.rpartition(" ")
            if name == "dicom_node_" + series:
                return float(value)
        return 0.0


Watch = Callable[[], Watched]


@pytest.fixture
def watch(settings: NodeSettings, start_node: StartNode) -> Watch:
    """Start a node with pages."""

    def start() -> Watched:
        port = free_port()
        extra = f"\n[web]\nport = {port}\n"
        return Watched(start_node(dataclasses.replace(settings, extra=extra)), port)

    return start


def test_a_node_that_is_ready_says_so_and_counts_what_it_does(watch: Watch) -> None:
    site = watch()
    assert site.ready()
    study = new_study_uid()
    image = make_radiograph(study)
    Sender(site.node.address).send([image, make_radiograph(study, number=2)])
    title = site.node.address.ae_title
    assert site.value(f'received_instances_total{{called_ae="{title}"}}') == 2
    size = site.value(f'received_bytes_total{{called_ae="{title}"}}')
    assert size > 2 * len(image.PixelData)
    assert site.value("commit_seconds_count") >= 1
    assert site.value("commit_group_size_sum") == 2
    assert site.value("store_seconds_count") == 2
    wait_until(
        lambda: site.value('associations_total{outcome="released"}') >= 1,
        what="the association has ended",
    )
    assert site.value("associations_open") == 0
    site.node.wait_settled(study)
    wait_until(lambda: site.value('deliveries{state="DONE"}') == 1, what="delivered")
    assert site.value('jobs{state="DONE"}') == 1
    for secret in (image.PatientName, image.PatientID, study):
        assert str(secret) not in site.get("/metrics")[1] + site.get("/readyz")[1]


def test_roles_that_die_come_back_and_what_they_counted_stays(watch: Watch) -> None:
    site = watch()
    image = make_radiograph(new_study_uid())
    Sender(site.node.address).send([image])
    title = site.node.address.ae_title
    counted = f'received_instances_total{{called_ae="{title}"}}'
    site.node.kill("receive")
    wait_until(
        lambda: site.value('role_restarts_total{role="receive"}') == 1,
        what="the restart is counted",
    )
    wait_until(site.ready, what="ready again")
    assert site.value(counted) == 1
    Sender(site.node.address).send([make_radiograph(new_study_uid())])
    assert site.value(counted) == 2


def test_each_of_several_receivers_counts_and_comes_back(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DICOM_NODE_RECEIVE__PROCESSES", "2")
    site = watch()
    slots = site.node.data_dir / "run" / "metrics"
    wait_until(lambda: len(list(slots.glob("receive-*"))) == 2, what="two processes")
    parent = site.node.pids()["receive"]
    children = Path(f"/proc/{parent}/task/{parent}/children")
    first, second = map(int, children.read_text().split())
    os.kill(first, signal.SIGKILL)
    wait_until(
        lambda: site.value('role_restarts_total{role="receive"}') == 1,
        what="the restart is counted",
    )
    site.node.running.process.send_signal(signal.SIGHUP)
    for _ in range(4):
        Sender(site.node.address).send([make_radiograph(new_study_uid())])
    title = site.node.address.ae_title
    assert site.value(f'received_instances_total{{called_ae="{title}"}}') == 4
    assert site.ready()
    assert str(second) in children.read_text().split()


def test_a_receiver_that_is_frozen_gives_no_sign_of_life(watch: Watch) -> None:
    """Its port still takes connections: the kernel does that."""
    site = watch()
    slot = site.node.data_dir / "run" / "metrics" / "receive-0.slot"
    wait_until(lambda: _beat(slot) > 0, what="the receiver gives a sign of life")
    first = _beat(slot)
    wait_until(lambda: _beat(slot) > first, what="it goes on")
    os.kill(site.node.pids()["receive"], signal.SIGSTOP)
    last = _beat(slot)
    assert time.monotonic() - last < 10
    os.kill(site.node.pids()["receive"], signal.SIGCONT)
    wait_until(lambda: _beat(slot) > last, what="it goes on")


def _beat(slot: Path) -> float:
    return memoryview(slot.read_bytes())[8:56].cast("d")[4]


def test_low_disk_refuses_and_says_so(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DICOM_NODE_RECEIVE__MIN_FREE_BYTES", str(1 << 60))
    site = watch()
    assert site.wrong() == ["disk"]
    assert site.value("disk_low") == 1
    sender = Sender(site.node.address)
    sender.send([make_radiograph(new_study_uid())])
    assert site.value('refused_instances_total{status="0xA700"}') == 1


def test_the_pages_are_there_while_the_node_drains(watch: Watch) -> None:
    """A load balancer must learn that this node takes nothing more."""
    site = watch()
    wait_until(lambda: len(site.node.pids()) >= 4, what="all roles run")
    os.kill(site.node.pids()["work"], signal.SIGSTOP)  # the drain waits for it
    site.node.running.process.send_signal(signal.SIGTERM)
    wait_until(lambda: site.wrong() == ["receiver"], what="no longer ready")
    assert site.get("/healthz") == (200, "alive\n")
    os.kill(site.node.pids()["work"], signal.SIGCONT)
    assert site.node.running.process.wait(60) == 0


def test_a_taken_web_port_ends_serve_with_status_2_and_a_remedy(
    settings: NodeSettings,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        extra = f"\n[web]\nport = {taken.getsockname()[1]}\n"
        node = Node(settings=dataclasses.replace(settings, extra=extra))
        node.write_configuration()
        ended = node.cli("serve")
    assert ended.returncode == 2
    assert "ready" not in ended.stdout
    assert "web.port" in ended.stderr
    assert "Traceback" not in ended.stderr
