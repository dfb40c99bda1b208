"""sd_notify as systemd reads it."""

import socket
from pathlib import Path

import pytest

from config.load import service_variables
from dicom_node.observe.systemd import ServiceManager


def _listening(address: str) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    found.bind(address)
    found.settimeout(5)
    return found


def test_ready_and_stopping_reach_the_socket(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with _listening(address) as heard:
        manager = ServiceManager(address)
        manager.ready("receiving at 127.0.0.1:11112")
        assert heard.recv(1024) == b"READY=1\nSTATUS=receiving at 127.0.0.1:11112"
        manager.stopping()
        assert heard.recv(1024).splitlines()[0] == b"STOPPING=1"


def test_an_abstract_address_is_understood() -> None:
    name = f"dicom-node-test-{id(object())}"
    with _listening("\0" + name) as heard:
        ServiceManager("@" + name).ready("x")
        assert heard.recv(1024).startswith(b"READY=1")


def test_signs_of_life_come_at_half_the_watchdog_time(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with _listening(address) as heard:
        often = ServiceManager(address, 1e-9)
        often.alive()
        assert heard.recv(1024) == b"WATCHDOG=1"
        often.alive()
        assert heard.recv(1024) == b"WATCHDOG=1"
        seldom = ServiceManager(address, 3600.0)
        seldom.alive()
        assert heard.recv(1024) == b"WATCHDOG=1"
        seldom.alive()
        ServiceManager(address).alive()
        heard.setblocking(False)
        with pytest.raises(BlockingIOError):
            heard.recv(1024)


def test_a_machine_that_has_just_started_gets_its_first_sign_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(tmp_path / "notify")
    monkeypatch.setattr("time.monotonic", lambda: 3.0)
    with _listening(address) as heard:
        manager = ServiceManager(address, 60.0)
        manager.alive()
        assert heard.recv(1024) == b"WATCHDOG=1"


def test_nobody_there_harms_nothing(tmp_path: Path) -> None:
    ServiceManager().ready("x")
    ServiceManager(str(tmp_path / "gone"), 1.0).alive()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ("", 0.0)),
        ({"NOTIFY_SOCKET": "/run/systemd/notify"}, ("/run/systemd/notify", 0.0)),
        ({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "30000000"}, ("@x", 30.0)),
        (
            {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "7"},
            ("@x", 1.0),
        ),
        (
            {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "8"},
            ("@x", 0.0),
        ),
        ({"NOTIFY_SOCKET": "vsock:2:1", "WATCHDOG_USEC": "soon"}, ("", 0.0)),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, ("/n", 0.0)),
    ],
)
def test_the_variables_of_systemd_are_read(
    variables: dict[str, str], expected: tuple[str, float]
) -> None:
    found = service_variables(7, variables)
    assert (found.notify_socket, found.watchdog_seconds) == expected
