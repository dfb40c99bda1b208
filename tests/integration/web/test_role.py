"""`dicom-node web` beside nothing else: what it says of a node that is not well."""

import socket
import sqlite3
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import db.schema
from dicom_node.observe.metrics import ReceiveMetrics
from tests.faults.postgres_server import running_postgres
from tests.integration.web.site import Answer, Site
from tests.peers import (
    Machine,
    accepts,
    free_port,
    run_node,
    start_node,
    start_tool,
    wait_until,
)

StartWeb = Callable[..., Site]
_BEAT_AT = 8 + 4 * 8  # after the magic, the fifth number


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    """What accepts connections as a receiver does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def start_web(tmp_path: Path, machine: Machine, receiver: socket.socket) -> StartWeb:
    """Start the role in a folder with an empty SQLite database."""

    def start(
        *,
        receive: str = "min_free_bytes = 1",
        url: str = "",
        web: str = "",
        own_interpreter: bool = False,
    ) -> Site:
        port = free_port()
        (tmp_path / "data" / "instances").mkdir(parents=True)
        configuration = tmp_path / "node.toml"
        configuration.write_text(
            f"[node]\nport = {receiver.getsockname()[1]}\n[receive]\n{receive}\n"
            f'[database]\nurl = "{url}"\n[web]\nport = {port}\n{web}\n'
        )
        db.schema.create_if_new(url or f"sqlite:///{tmp_path}/data/node.db")
        words = ["web", "--config", str(configuration)]
        log = tmp_path / "web.log"
        tool = machine.add(
            start_tool([sys.executable, "-m", "dicom_node", *words], log=log)
            if own_interpreter
            else start_node(words, log=log)
        )
        wait_until(
            lambda: accepts(port) or tool.process.poll() is not None, what="web listens"
        )
        assert tool.process.poll() is None, tool.output()
        return Site(port=port)

    return start


def _wrong(answer: Answer) -> dict[str, str]:
    """Return the details of the checks that failed."""
    found = {
        item["what"]: item["detail"]
        for item in answer.json["checks"]
        if not item["good"]
    }
    assert answer.status == (503 if found else 200)
    assert answer.json["ready"] is not bool(found)
    return found


def _value(site: Site, series: str) -> float:
    for line in site.get("/metrics").body.decode().splitlines():
        name, _, value = line.rpartition(" ")
        if name == "dicom_node_" + series:
            return float(value)
    raise AssertionError(f"no {series}")


def test_a_healthy_node_is_ready_and_loads_no_dicom_library(
    start_web: StartWeb, machine: Machine
) -> None:
    site = start_web(own_interpreter=True)
    assert _wrong(site.get("/readyz")) == {}
    assert _value(site, "database_up") == 1
    assert _value(site, 'jobs{state="QUEUED"}') == 0
    [tool] = machine.tools
    loaded = Path(f"/proc/{tool.process.pid}/maps").read_text()
    assert "site-packages" in loaded
    assert "libtorch" not in loaded
    assert "numpy" not in loaded


def test_low_disk_is_named_with_what_senders_get(start_web: StartWeb) -> None:
    site = start_web(receive=f"min_free_bytes = {1 << 60}")
    wrong = _wrong(site.get("/readyz"))
    assert list(wrong) == ["disk"]
    assert "0xA700" in wrong["disk"]
    assert "receive.min_free_bytes" in wrong["disk"]
    assert _value(site, "disk_low") == 1


def test_a_receiver_that_does_not_listen_is_named(
    start_web: StartWeb, receiver: socket.socket
) -> None:
    site = start_web()
    port = receiver.getsockname()[1]
    assert _wrong(site.get("/readyz")) == {}
    receiver.close()
    wrong = wait_until(lambda: _wrong(site.get("/readyz")), what="it is missed")
    assert list(wrong) == ["receiver"]
    assert str(port) in wrong["receiver"]


def test_a_receiver_without_signs_of_life_and_failing_storage_are_named(
    start_web: StartWeb, tmp_path: Path
) -> None:
    site = start_web()
    metrics = ReceiveMetrics(tmp_path / "data" / "run" / "metrics", ["AINODE"])
    metrics.beat()
    metrics.storage_failed()
    wrong = wait_until(lambda: _wrong(site.get("/readyz")), what="it is noticed")
    assert list(wrong) == ["storage"]
    metrics.committed(1, 0.1)
    with (tmp_path / "data/run/metrics/receive-0.slot").open("r+b") as slot:
        slot.seek(_BEAT_AT)
        slot.write(struct.pack("=d", time.monotonic() - 31))
    wait_until(
        lambda: list(_wrong(site.get("/readyz"))) == ["receiver"],
        what="the silence is noticed",
    )
    metrics.beat()
    wait_until(lambda: not _wrong(site.get("/readyz")), what="ready again")
    metrics.close()


def test_another_schema_is_named_with_the_remedy(
    start_web: StartWeb, tmp_path: Path
) -> None:
    site = start_web()
    with closing(sqlite3.connect(tmp_path / "data" / "node.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'r0000'")
        database.commit()
    wrong = wait_until(lambda: _wrong(site.get("/readyz")), what="it is noticed")
    assert list(wrong) == ["schema"]
    assert "dicom-node migrate" in wrong["schema"]


def test_a_database_server_that_stops_freezes_and_comes_back_needs_no_restart(
    start_web: StartWeb,
) -> None:
    with running_postgres() as server:
        site = start_web(url=server.url)
        assert _wrong(site.get("/readyz")) == {}
        server.stop_at_once()
        both = {"database", "schema"}
        wait_until(lambda: both == set(_wrong(site.get("/readyz"))), what="it is gone")
        wait_until(lambda: _value(site, "database_up") == 0, what="metrics say so")
        server.start()
        wait_until(lambda: not _wrong(site.get("/readyz")), what="ready again")
        with server.frozen():
            wait_until(
                lambda: both == set(_wrong(site.get("/readyz"))), what="it hangs"
            )
            assert site.get("/healthz").status == 200
        wait_until(lambda: not _wrong(site.get("/readyz")), what="ready again")


def test_the_token_of_the_configuration_is_asked_for(
    start_web: StartWeb, tmp_path: Path
) -> None:
    token = tmp_path / "web.token"
    token.write_text("0123456789abcdef\n")
    token.chmod(0o600)
    site = start_web(web='token_file = "web.token"')  # counts from node.toml's folder
    assert site.get("/metrics").status == 401
    assert site.get("/readyz").json == {"ready": True}
    shown = site.get("/metrics", headers={"Authorization": "Bearer 0123456789abcdef"})
    assert shown.status == 200


def _ended(tmp_path: Path, web: str) -> subprocess.CompletedProcess[str]:
    configuration = tmp_path / "node.toml"
    configuration.write_text(f"[web]\n{web}\n")
    return run_node(["web", "--config", configuration])


def test_what_cannot_be_served_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for web, named in (
            (f"port = {port}", "another web.port"),
            ("port = 0", "web.port is 0"),
            (f'port = {port}\nhost = "0.0.0.0"', "web.token_file"),
            (f'port = {port}\nhost = "192.0.2.1"\ntoken_file = "t"', "web.token_file"),
        ):
            ended = _ended(tmp_path, web)
            assert ended.returncode == 2, web
            assert named in ended.stderr
            assert "Traceback" not in ended.stderr
