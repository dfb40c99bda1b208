"""`serve` over roles of the test's own: order, signals, restarts, systemd."""

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from dicom_node.observe.metrics import RESTARTS
from dicom_node.observe.slots import read_slots
from tests.peers import PROJECT, ToolProcess, start_tool, wait_until

ROLES = ("receive", "web", "work", "deliver")


@dataclass(slots=True, kw_only=True)
class Serve:
    """A supervisor in a process of its own."""

    folder: Path
    tools: list[ToolProcess] = field(default_factory=list)

    def launch(
        self,
        modes: Mapping[str, str] | None = None,
        *,
        drain_seconds: float = 20,
        environment: dict[str, str] | None = None,
    ) -> "Serve":
        """Start it; a role without a mode works."""
        for role in ROLES:
            mode = (modes or {}).get(role, "works")
            (self.folder / f"{role}.mode").write_text(mode)
        self.tools.append(
            start_tool(
                [
                    sys.executable,
                    *("-m", "tests.integration.supervise.serve"),
                    self.folder,
                    str(drain_seconds),
                ],
                log=self.folder / "log",
                environment=environment,
                cwd=PROJECT,
            )
        )
        return self

    def start(self, *, drain_seconds: float = 20, **modes: str) -> "Serve":
        """Start it and wait until it is ready and every role runs."""
        self.launch(modes, drain_seconds=drain_seconds)
        wait_until(lambda: "ready" in self.output, what="ready")
        wait_until(
            lambda: {role for role, _ in self.said("starts")} == set(ROLES),
            what="all roles run",
        )
        return self

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.tools[0].process.pid

    @property
    def output(self) -> str:
        """What it printed and logged."""
        return self.tools[0].output()

    def said(self, word: str) -> list[tuple[str, int]]:
        """Return role and process id of each that said this, in order."""
        path = self.folder / "events"
        lines = path.read_text().splitlines() if path.exists() else []
        words = [line.split() for line in lines]
        return [(role, int(pid)) for role, event, pid in words if event == word]

    def signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        return self.tools[0].process.wait(30)

    def restarts(self, role: str) -> float:
        """Return how often it counted a restart of the role."""
        key = (RESTARTS, "role", role)
        return sum(
            slot.values.get(key, 0) for slot in read_slots(self.folder / "metrics")
        )


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    found = Serve(folder=tmp_path)
    yield found
    for tool in found.tools:
        if tool.process.poll() is None:
            tool.process.kill()  # its children end with it
            tool.process.wait(10)


def _gone(pid: int) -> bool:
    path = Path(f"/proc/{pid}/stat")
    try:
        return path.read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_what_listens_starts_first_the_receiver_stops_first_and_the_exit_code_is_0(
    serve: Serve,
) -> None:
    serve.start()
    assert "ready 127.0.0.1:4711" in serve.output
    began = [role for role, _ in serve.said("starts")]
    assert set(began[:2]) == {"receive", "web"}
    serve.signal(signal.SIGTERM)
    assert serve.wait() == 0
    ended = [role for role, _ in serve.said("ends")]
    assert ended == ["receive", "work", "deliver", "web"]


def test_ctrl_c_stops_in_the_same_order(serve: Serve) -> None:
    serve.start()
    assert all(os.getpgid(pid) == pid for _, pid in serve.said("starts"))
    serve.signal(signal.SIGINT)
    assert serve.wait() == 0
    assert next(role for role, _ in serve.said("ends")) == "receive"


def test_a_role_that_dies_is_started_again_and_counted(serve: Serve) -> None:
    serve.start(work="dies")
    wait_until(lambda: len(serve.said("starts")) == 5, what="work runs again")
    wait_until(lambda: serve.restarts("work") == 1, what="the restart is counted")
    assert serve.restarts("receive") == 0
    os.kill(dict(serve.said("starts"))["receive"], signal.SIGKILL)
    wait_until(lambda: serve.restarts("receive") == 1, what="receive is restarted")
    assert "Traceback" not in serve.output


def _started(serve: Serve, count: int) -> bool:
    return len(serve.said("starts")) == count


def test_a_receiver_that_is_killed_again_and_again_is_away_for_a_second_at_most(
    serve: Serve,
) -> None:
    serve.start()
    for number in range(1, 6):
        started = len(ROLES) + number
        os.kill(dict(serve.said("starts"))["receive"], signal.SIGKILL)
        wait_until(partial(_started, serve, started), what="receive runs again")
    lines = [json.loads(line) for line in serve.output.splitlines() if "{" in line]
    pauses = [line["seconds"] for line in lines if "role died" in line["event"]]
    assert pauses == [0.2, 0.4, 0.8, 1.0, 1.0]


def test_sighup_reaches_every_role_and_ends_none(serve: Serve) -> None:
    serve.start()
    serve.signal(signal.SIGHUP)
    wait_until(
        lambda: {role for role, _ in serve.said("reloads")} == set(ROLES),
        what="all roles reload",
    )
    serve.signal(signal.SIGTERM)
    assert serve.wait() == 0
    assert len(serve.said("starts")) == len(ROLES)


def test_a_second_sigterm_ends_everything_at_once(serve: Serve) -> None:
    serve.start(receive="stubborn")
    pids = [pid for _, pid in serve.said("starts")]
    serve.signal(signal.SIGTERM)

    began = time.monotonic()
    wait_until(
        lambda: time.monotonic() - began > 1.1, what="it counts as another request"
    )
    serve.signal(signal.SIGTERM)
    assert serve.wait() == 1
    assert time.monotonic() - began < 10
    assert all(_gone(pid) for pid in pids)


def test_one_request_that_is_sent_twice_still_drains(serve: Serve) -> None:
    serve.start()
    serve.signal(signal.SIGTERM)
    serve.signal(signal.SIGTERM)
    serve.signal(signal.SIGINT)
    assert serve.wait() == 0
    assert len(serve.said("ends")) == len(ROLES)


def test_what_does_not_end_in_time_is_killed_and_the_others_drain(
    serve: Serve,
) -> None:
    serve.start(drain_seconds=0.1, receive="stubborn")
    serve.signal(signal.SIGTERM)
    assert serve.wait() == 0
    assert [role for role, _ in serve.said("ends")] == ["work", "deliver", "web"]
    assert '"role killed", "role": "receive"' in serve.output


def test_a_receiver_that_gives_no_more_signs_of_life_is_replaced(serve: Serve) -> None:
    serve.start(receive="stuck")
    first = dict(reversed(serve.said("starts")))["receive"]
    wait_until(lambda: serve.restarts("receive") == 1, what="the receiver is replaced")
    assert _gone(first)
    assert "role stuck" in serve.output


@pytest.mark.parametrize("role", ["receive", "web"])
def test_a_configuration_fault_at_the_start_ends_the_node(
    role: str, serve: Serve
) -> None:
    serve.launch({role: "refuses"})
    assert serve.wait() == 2
    assert "ready" not in serve.output
    assert all(_gone(pid) for _, pid in serve.said("starts"))
    assert {name for name, _ in serve.said("starts")} <= {"receive", "web"}


def test_sigterm_before_the_receiver_listens_ends_the_node(serve: Serve) -> None:
    serve.launch({"receive": "dumb"})
    wait_until(
        lambda: "receive" in dict(serve.said("starts")), what="the receiver starts"
    )
    serve.signal(signal.SIGTERM)
    assert serve.wait() == 0
    assert "receive" in {role for role, _ in serve.said("ends")}
    assert {role for role, _ in serve.said("starts")} <= {"receive", "web"}
    assert "ready" not in serve.output


def test_the_end_of_serve_by_kill_9_is_the_end_of_its_roles(serve: Serve) -> None:
    serve.start()
    serve.signal(signal.SIGKILL)
    for role, pid in serve.said("starts"):
        wait_until(lambda pid=pid: _gone(pid), what=f"{role} ends")  # type: ignore[misc]  # a default binds the loop's value


def test_a_role_leaves_no_core_file_of_its_memory(serve: Serve) -> None:
    serve.start()
    for _, pid in serve.said("starts"):
        limits = Path(f"/proc/{pid}/limits").read_text().splitlines()
        [core] = [line for line in limits if line.startswith("Max core file size")]
        assert core.split()[4:6] == ["0", "0"]


def test_systemd_hears_ready_signs_of_life_and_stopping(
    serve: Serve, tmp_path: Path
) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(address)
        heard.settimeout(30)
        serve.launch(environment={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "200000"})
        ready = heard.recv(1024)
        assert ready == b"READY=1\nSTATUS=receiving at 127.0.0.1:4711"
        assert [heard.recv(1024), heard.recv(1024)] == [b"WATCHDOG=1"] * 2
        serve.signal(signal.SIGTERM)
        wait_until(
            lambda: heard.recv(1024).startswith(b"STOPPING=1"), what="STOPPING", every=0
        )
        assert serve.wait() == 0


def test_who_lists_processes_can_tell_the_roles_apart(serve: Serve) -> None:
    serve.start()
    for role, pid in serve.said("starts"):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        assert words == [b"a role of a test", role.encode()]


def test_a_role_has_no_file_and_no_socket_of_serve(serve: Serve) -> None:
    serve.start()
    for role, pid in serve.said("starts"):
        opened = {
            int(entry.name): os.readlink(entry)
            for entry in Path(f"/proc/{pid}/fd").iterdir()
        }
        assert set(opened) == {0, 1, 2}
        assert opened[0] == "/dev/null"
        heard = role in ("receive", "web")
        assert opened[1].startswith("pipe:") == heard
        assert (opened[1] == "/dev/null") != heard


def test_a_role_that_ends_by_an_error_is_logged_by_its_class_and_started_again(
    serve: Serve,
) -> None:
    serve.start(deliver="fails")
    wait_until(lambda: len(serve.said("starts")) == 5, what="deliver runs again")
    lines = [json.loads(line) for line in serve.output.splitlines() if "{" in line]
    assert [line["error"] for line in lines if "uncaught" in line["event"]] == [
        "ValueError"
    ]
    assert [line["exit_code"] for line in lines if "role died" in line["event"]] == [1]
    assert "DOE^JANE" not in serve.output
