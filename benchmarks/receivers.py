"""The receivers side by side: ours and its peers, each started as its users do."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from benchmarks.processes import (
    Ended,
    Program,
    pss_mib,
    start,
    tree,
    wait_for,
    wait_idle,
    words_of,
)
from benchmarks.wire import (
    RELEASE_RQ,
    Titles,
    WireError,
    associate,
    connect,
    echo_request,
    read_pdu,
    read_status,
)
from tests.peers import PROJECT, find_tool, free_port

Durability = Literal["process-crash", "power-loss"]
AE_TITLE: Final = "BENCH"
OURS: Final = "dicom-node"
STORESCP: Final = "storescp"
STORESCP_TUNED: Final = "storescp +B -pdu 131072"
ORTHANC: Final = "Orthanc"
PYNETDICOM: Final = "pynetdicom storescp"
FLOOR: Final = "bare loop"
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """A certificate authority and what it signed, for both ends."""

    ca: Path
    certificate: Path
    private_key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Under what a receiver runs.

    Args:
        folder: of its own, empty.
        nodelay: TCP_NODELAY=1 in its environment.
        associations: how many will call at once.
        node: further TOML for ours.
        orthanc: further settings of Orthanc.
    """

    folder: Path
    durability: Durability
    nodelay: bool
    associations: int = 1
    tls: Certificates | None = None
    node: str = ""
    orthanc: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Running:
    """A receiver that answers.

    Args:
        storage: the folder below which its received files lie.
        receives: whether a process of its tree receives, by its command line.
    """

    program: Program
    port: int
    storage: Path
    receives: Callable[[list[str]], bool] = lambda _words: True

    def receiver_pids(self) -> list[int]:
        """Return the processes that receive."""
        return [pid for pid in tree(self.program.pid) if self.receives(words_of(pid))]

    def memory_mib(self) -> float:
        """Proportional set size of the processes that receive, together."""
        return sum(pss_mib(pid) for pid in self.receiver_pids())

    def forget(self) -> None:
        """Remove the received files: the next round needs the room."""
        for folder, _, names in os.walk(self.storage):
            for name in names:
                Path(folder, name).unlink(missing_ok=True)


def launch(name: str, conditions: Conditions) -> Running:
    """Start a receiver by its name and wait until it answers and rests.

    Raises:
        BenchmarkError: it does not start.
    """
    for _ in range(_ATTEMPTS - 1):
        try:
            return _launch_once(name, conditions)
        except Ended:  # another program may have taken its port first
            shutil.rmtree(conditions.folder, ignore_errors=True)
    return _launch_once(name, conditions)


def _launch_once(name: str, conditions: Conditions) -> Running:
    conditions.folder.mkdir(parents=True, exist_ok=True)
    running = _LAUNCHERS[name](conditions)
    try:
        wait_for(
            lambda: _answers(name, running, conditions), what=f"{name} answers a call"
        )
        wait_idle(running.program.pid)
    except BaseException:
        running.program.end()
        raise
    return running


def is_installed(name: str) -> bool:
    """Say whether this receiver can be measured here."""
    tools = {STORESCP: "storescp", STORESCP_TUNED: "storescp", ORTHANC: "Orthanc"}
    return name not in tools or find_tool(tools[name]) is not None


def _answers(name: str, running: Running, conditions: Conditions) -> bool:
    running.program.require_running()
    try:
        with connect("127.0.0.1", running.port, seconds=5) as connection:
            if name == FLOOR or conditions.tls:
                return True
            associate(connection, Titles(calling="BLASTER", called=AE_TITLE))
            connection.sendall(echo_request(1))
            status = read_status(connection, 1)
            connection.sendall(RELEASE_RQ)
            read_pdu(connection)
            return status == 0
    except (OSError, WireError):
        return False


def _ours(conditions: Conditions) -> Running:
    """`serve` with its default settings but for folder, port and durability."""
    folder, port = conditions.folder, free_port()
    node = [
        "[node]",
        f'ae_title = "{AE_TITLE}"',
        f"port = {port}",
        'data_dir = "data"',
        "[receive]",
        f'durability = "{conditions.durability}"',
    ]
    listens = port
    if conditions.tls:
        listens = free_port()
        node += [
            "[tls]",
            f"port = {listens}",
            f'certificate = "{conditions.tls.certificate}"',
            f'private_key = "{conditions.tls.private_key}"',
            f'ca = "{conditions.tls.ca}"',
        ]
    node.append(conditions.node)
    configuration = folder / "node.toml"
    configuration.write_text("\n".join(node) + "\n")
    program = start(
        [sys.executable, "-m", "dicom_node", "serve", "--config", configuration],
        log=folder / "log",
        nodelay=conditions.nodelay,
    )
    return Running(
        program=program,
        port=listens,
        storage=folder / "data" / "instances",
        receives=lambda words: "receive" in words,
    )


def _storescp(conditions: Conditions, *options: str) -> Running:
    received = conditions.folder / "received"
    received.mkdir()
    port = free_port()
    command = [str(find_tool("storescp")), *options, "-od", str(received)]
    if conditions.associations > 1:
        command.append("--fork")  # else it serves one association after the other
    if conditions.tls:
        tls = conditions.tls
        command += ["+tls", str(tls.private_key), str(tls.certificate)]
        command += ["+cf", str(tls.ca)]
    program = start(
        [*command, str(port)],
        log=conditions.folder / "log",
        nodelay=conditions.nodelay,
    )
    return Running(program=program, port=port, storage=received)


def _storescp_tuned(conditions: Conditions) -> Running:
    return _storescp(conditions, "+B", "-pdu", "131072")


def _orthanc(conditions: Conditions) -> Running:
    folder, port = conditions.folder, free_port()
    configuration: dict[str, object] = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "Plugins": [],
        "HttpServerEnabled": False,
        "DicomAet": AE_TITLE,
        "DicomPort": port,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowEcho": True,
        "DicomAlwaysAllowStore": True,
        "SyncStorageArea": conditions.durability == "power-loss",
    }
    if conditions.tls:
        configuration |= {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(conditions.tls.certificate),
            "DicomTlsPrivateKey": str(conditions.tls.private_key),
            "DicomTlsTrustedCertificates": str(conditions.tls.ca),
        }
    configuration |= conditions.orthanc
    file = folder / "orthanc.json"
    file.write_text(json.dumps(configuration, indent=2))
    program = start(
        [str(find_tool("Orthanc")), file],
        log=folder / "log",
        nodelay=conditions.nodelay,
    )
    return Running(program=program, port=port, storage=folder / "storage")


def _pynetdicom(conditions: Conditions) -> Running:
    received = conditions.folder / "received"
    received.mkdir()
    port = free_port()
    command = (sys.executable, "-m", "pynetdicom", "storescp")
    program = start(
        [*command, "-q", "-ba", "127.0.0.1", "-od", received, str(port)],
        log=conditions.folder / "log",
        nodelay=conditions.nodelay,
    )
    return Running(program=program, port=port, storage=received)


def _floor(conditions: Conditions) -> Running:
    received = conditions.folder / "received"
    received.mkdir()
    port = free_port()
    program = start(
        [sys.executable, "-m", "benchmarks.floor", str(port), received],
        log=conditions.folder / "log",
        folder=PROJECT,
    )
    return Running(program=program, port=port, storage=received)


_LAUNCHERS: Final[dict[str, Callable[[Conditions], Running]]] = {
    OURS: _ours,
    STORESCP: _storescp,
    STORESCP_TUNED: _storescp_tuned,
    ORTHANC: _orthanc,
    PYNETDICOM: _pynetdicom,
    FLOOR: _floor,
}
