"""Several receiver processes on one port: one dies, the others and the port live."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.images import make_radiograph, new_study_uid, save
from tests.integration.receive.wire import (
    A_ASSOCIATE_AC,
    CT,
    EXPLICIT,
    STORE_RQ,
    RawPeer,
    command,
    message,
)
from tests.integration.receive.wire import associate_rq as request
from tests.peers import (
    Address,
    ToolProcess,
    accepts,
    echoscu,
    free_port,
    start_node,
    storescu,
    wait_until,
)

PROCESSES = 2
LIMIT = 4


@dataclass
class Receivers:
    """The role `receive` as a process of its own, with its children."""

    tool: ToolProcess
    address: Address
    data_dir: Path

    def children(self) -> set[int]:
        parent = self.tool.process.pid
        listing = Path(f"/proc/{parent}/task/{parent}/children").read_text()
        return {int(pid) for pid in listing.split()}

    def rows(self) -> int:
        with closing(sqlite3.connect(self.data_dir / "node.db")) as connection:
            (count,) = connection.execute("SELECT count(*) FROM versions").fetchone()
            return int(count)


@contextmanager
def running(folder: Path) -> Iterator[Receivers]:
    address = Address(port=free_port())
    configuration = folder / "node.toml"
    configuration.write_text(
        f'[node]\nae_title = "{address.ae_title}"\nport = {address.port}\n'
        f'data_dir = "data"\n[receive]\nprocesses = {PROCESSES}\n'
        f"max_associations = {LIMIT}\nmin_free_bytes = 0\n"
        "[work]\ndrain_seconds = 5\n"
    )
    words = ("receive", "--config", configuration)
    tool = start_node(words, log=folder / "receive.log")
    node = Receivers(tool, address, folder / "data")
    try:
        wait_until(lambda: accepts(address.port), what="the port listens", seconds=60)
        wait_until(lambda: len(node.children()) == PROCESSES, what="all receivers run")
        yield node
    finally:
        tool.stop(seconds=20)


def test_all_processes_receive_and_drain_with_exit_code_0(tmp_path: Path) -> None:
    study = new_study_uid()
    files = [
        save(make_radiograph(study, number=number), tmp_path) for number in range(8)
    ]
    with running(tmp_path) as node:
        for file in files:
            assert storescu(node.address, [file]).returncode == 0
        assert node.rows() == len(files)
        assert node.tool.stop(seconds=20) == 0
    assert "drained" in (tmp_path / "receive.log").read_text()


def test_a_receiver_that_is_killed_comes_back_and_its_places_are_free_again(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as node:
        held = [open_association(node.address.port) for _ in range(LIMIT)]
        assert not echoscu(node.address), "all places are taken, over all processes"
        for pid in node.children():
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: echoscu(node.address), what="receivers are back", seconds=30)
        wait_until(lambda: len(node.children()) == PROCESSES, what="all receivers run")
        for peer in held:
            peer.close()


def test_nobody_is_let_in_to_wait_while_the_processes_drain(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        peer = open_association(node.address.port)
        store = command(STORE_RQ, sop_class=CT, instance="1.2.3", dataset=True)
        peer.connection.sendall(message(1, store, bytes(4096))[:-1])
        os.kill(node.tool.process.pid, signal.SIGTERM)
        wait_until(
            lambda: not accepts(node.address.port), what="the port closes", seconds=4
        )
        assert node.children(), "the sender in the middle of a message is waited for"
        peer.close()
        assert node.tool.stop(seconds=20) == 0


def open_association(port: int) -> RawPeer:
    peer = RawPeer.connect(port)
    peer.connection.sendall(request({1: (CT, EXPLICIT)}))
    kind, _ = peer.read()
    assert kind == A_ASSOCIATE_AC
    return peer
