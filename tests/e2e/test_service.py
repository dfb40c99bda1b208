"""`serve` as an operator meets it: ready, drained, and clear about what is wrong."""

import dataclasses
import json
import socket
import sqlite3
from pathlib import Path

import pytest

from tests.e2e.conftest import StartNode
from tests.e2e.images import Sender, make_radiograph, new_study_uid
from tests.e2e.node import Node, NodeSettings
from tests.e2e.pacs import StandInPacs
from tests.peers import Address, accepts, echoscu, wait_until


def test_serve_says_ready_once_it_accepts_and_drains_on_sigterm(
    settings: NodeSettings, start_node: StartNode, pacs: StandInPacs
) -> None:
    node = start_node(settings)
    assert echoscu(node.address)
    study = new_study_uid()
    Sender(node.address).send([make_radiograph(study)])
    assert node.stop() == 0
    assert not accepts(node.address.port)
    assert "Traceback" not in node.running.output()

    start_node(settings)
    node.wait_settled(study)
    assert len(pacs.of_study(study)) == 1


def test_a_drained_node_ends_all_its_processes(
    settings: NodeSettings, start_node: StartNode
) -> None:
    node = start_node(settings)
    wait_until(lambda: len(node.pids()) == 4, what="all roles run")
    pids = node.pids()
    assert node.stop() == 0
    assert [role for role, pid in pids.items() if Path(f"/proc/{pid}").exists()] == []


def test_the_receiver_never_loads_torch(
    settings: NodeSettings, start_node: StartNode
) -> None:
    node = start_node(settings)
    Sender(node.address).send([make_radiograph(new_study_uid())])
    wait_until(lambda: len(node.pids()) == 4, what="all roles run")
    maps = {role: Path(f"/proc/{pid}/maps") for role, pid in node.pids().items()}
    wait_until(lambda: "libtorch" in maps["work"].read_text(), what="work loads torch")
    for role in ("serve", "receive", "deliver"):
        assert "libtorch" not in maps[role].read_text(), role


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
    for command in ("serve", "studies", "check"):
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


def test_studies_prints_an_empty_list_for_a_new_node(
    settings: NodeSettings, start_node: StartNode
) -> None:
    ended = start_node(settings).cli("studies", "--json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout) == []


def test_the_log_says_how_much_was_received_and_nothing_of_the_patient(
    settings: NodeSettings, start_node: StartNode
) -> None:
    node = start_node(settings)
    image = make_radiograph(new_study_uid())
    Sender(node.address).send([image])
    node.wait_settled(image.StudyInstanceUID)
    assert node.stop() == 0
    text = node.running.output()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    [stored] = [line for line in lines if line["event"] == "instance stored"]
    assert stored["size_bytes"] > len(image.PixelData)
    for secret in (image.PatientName, image.StudyInstanceUID, image.SOPInstanceUID):
        assert str(secret) not in text
