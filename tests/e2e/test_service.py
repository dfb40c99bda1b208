"""`serve` as an operator meets it: ready, drained, and clear about what is wrong."""

import dataclasses
import json
import socket
import sqlite3
from pathlib import Path

import pytest
from pydicom import Dataset

from tests.e2e.conftest import StartNode
from tests.e2e.images import Sender, make_radiograph, new_study_uid
from tests.e2e.node import Node, NodeSettings
from tests.e2e.pacs import StandInPacs
from tests.peers import Address, accepts, echoscu, wait_until


def test_a_taken_port_ends_serve_with_status_2_and_a_remedy(
    settings: NodeSettings,
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        node = Node(settings=dataclasses.replace(settings, address=Address(port=port)))
        node.write_configuration()
        ended = node.cli("serve")
    assert ended.returncode == 2
    assert "ready" not in ended.stdout
    assert str(port) in ended.stderr
    assert "node.port" in ended.stderr or "another program" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("revision", ["", "r9999"], ids=["older", "newer"])
def test_another_schema_is_refused_with_the_remedy(
    revision: str, settings: NodeSettings
) -> None:
    node = Node(settings=settings)
    node.write_configuration()
    node.data_dir.mkdir()
    with sqlite3.connect(node.data_dir / "node.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        if revision:
            database.execute("INSERT INTO alembic_version VALUES (?)", [revision])
    database.close()
    ended = node.cli("serve")
    assert ended.returncode in {1, 2}
    assert "migrate" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_wrong_configuration_ends_with_status_2_and_names_the_key(
    settings: NodeSettings,
) -> None:
    node = Node(settings=dataclasses.replace(settings, extra="\n[nod]\nport = 1\n"))
    node.write_configuration()
    for command in ("serve", "studies"):
        ended = node.cli(command)
        assert ended.returncode == 2, command
        assert "nod" in ended.stderr
        assert "Traceback" not in ended.stderr


def test_check_names_a_destination_that_does_not_answer(
    settings: NodeSettings, pacs: StandInPacs
) -> None:
    node = Node(settings=settings)
    node.write_configuration()
    ended = node.cli("check")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    pacs.stop()
    ended = node.cli("check")
    assert ended.returncode != 0
    assert "pacs" in ended.stdout + ended.stderr


def test_a_new_node_is_ready_empty_and_loads_torch_in_its_worker_alone(
    settings: NodeSettings, start_node: StartNode
) -> None:
    node = start_node(dataclasses.replace(settings, own_interpreter=True))
    assert echoscu(node.address)
    listed = node.cli("studies", "--json")
    assert listed.returncode == 0
    assert json.loads(listed.stdout) == []
    wait_until(lambda: len(node.pids()) == 4, what="all roles run")
    maps = {role: Path(f"/proc/{pid}/maps") for role, pid in node.pids().items()}
    wait_until(lambda: "libtorch" in maps["work"].read_text(), what="work loads torch")
    for role in ("serve", "receive", "deliver"):
        assert "libtorch" not in maps[role].read_text(), role


def test_sigterm_drains_ends_every_process_and_loses_nothing(
    settings: NodeSettings, start_node: StartNode, pacs: StandInPacs
) -> None:
    node = start_node(settings)
    wait_until(lambda: len(node.pids()) == 4, what="all roles run")
    pids = node.pids()
    image = make_radiograph(new_study_uid())
    study = str(image.StudyInstanceUID)
    Sender(node.address).send([image])
    assert node.stop() == 0
    assert not accepts(node.address.port)
    assert [role for role, pid in pids.items() if Path(f"/proc/{pid}").exists()] == []

    start_node(settings)
    node.wait_settled(study)
    assert len(pacs.of_study(study)) == 1
    _assert_log(node, image)


def _assert_log(node: Node, image: Dataset) -> None:
    """The log says how much was received and nothing of the patient."""
    text = node.running.output()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    [ended] = [line for line in lines if line.get("instances") == 1]
    assert ended["event"] == "association ended"
    assert ended["size_bytes"] > len(image.PixelData)
    for secret in (image.PatientName, image.StudyInstanceUID, image.SOPInstanceUID):
        assert str(secret) not in text
    assert "Traceback" not in text
