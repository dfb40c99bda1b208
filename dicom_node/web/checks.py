"""What /readyz looks at: can the node do its work now, and if not, what helps."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import db.schema
from config.settings import Settings
from db.engine import Database
from dicom_node.core.errors import NodeError

_MIB: Final = 1 << 20
_CONNECT_SECONDS: Final = 0.5
_FRESH_SECONDS: Final = 30.0

Look = Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverState:
    """What the receivers of this machine say of themselves.

    Args:
        silent_seconds: since the last sign of life, of each that gives any.
        storage_failing: how many could not write or sync their last instance.
        congested: how many reject new associations for now.
    """

    silent_seconds: tuple[float, ...] = ()
    storage_failing: int = 0
    congested: int = 0


def checks(
    settings: Settings, database: Database, receivers: Callable[[], ReceiverState]
) -> dict[str, Look]:
    """Return the checks by name; each returns a detail or raises NodeError.

    The text of the error names the remedy.
    """
    return {
        "database": partial(_database, database),
        "schema": partial(_schema, database),
        "disk": partial(_disk, settings),
        "receiver": partial(_receiver, settings, receivers),
        "storage": partial(_storage, receivers),
        "admission": partial(_admission, receivers),
    }


def free_bytes(settings: Settings) -> int | None:
    """Return what is free where instances are written; None if it cannot be asked."""
    try:
        found = os.statvfs(settings.instances_dir)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def disk_bytes(settings: Settings) -> int | None:
    """Return how large that disk is; None if it cannot be asked."""
    try:
        found = os.statvfs(settings.instances_dir)
    except OSError:
        return None
    return found.f_blocks * found.f_frsize


def _database(database: Database) -> str:
    with database.read() as connection:
        connection.exec_driver_sql("SELECT 1")
    return "answers"


def _schema(database: Database) -> str:
    if not db.schema.is_current(database):
        raise NodeError("another version's: run `dicom-node migrate`")
    return "this version's"


def _disk(settings: Settings) -> str:
    folder, limit = settings.instances_dir, settings.receive.min_free_bytes
    free = free_bytes(settings)
    if free is None:
        raise NodeError("the folder of instances is gone: mount it")
    found = os.statvfs(folder)
    if found.f_flag & os.ST_RDONLY or not os.access(folder, os.W_OK | os.X_OK):
        raise NodeError(
            "the folder of instances is read-only: look for disk errors, mount it "
            "for writing again"
        )
    if found.f_files and not found.f_favail:
        raise NodeError("no inode is left for another file: remove files")
    if free < limit:
        raise NodeError(
            f"{free // _MIB} MiB free, the limit is {limit // _MIB} MiB: free some "
            "space or lower receive.min_free_bytes; until then instances get 0xA700"
        )
    return f"{free // _MIB} MiB free"


def _receiver(settings: Settings, receivers: Callable[[], ReceiverState]) -> str:
    silent = [
        seconds
        for seconds in receivers().silent_seconds
        if not 0 <= seconds < _FRESH_SECONDS
    ]
    if silent:
        raise NodeError(
            f"{len(silent)} receivers gave no sign of life for {_FRESH_SECONDS:g} s: "
            "`serve` restarts them; if it happens again, look at the log"
        )
    ports = [settings.node.port] if settings.node.plain else []
    ports += [settings.tls.port] if settings.tls.port else []
    for port in filter(None, ports):  # 0 is any free port, which only `serve` knows
        _connect(settings.node.host, port)
    return "accepts connections"


def _connect(host: str, port: int) -> None:
    try:
        # The address of all interfaces is that of loopback to a caller (ip(7)).
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except OSError:
        raise NodeError(
            f"port {port} does not accept connections: see the receiver's lines in "
            "the log; `dicom-node check` names a configuration fault"
        ) from None


def _storage(receivers: Callable[[], ReceiverState]) -> str:
    if failing := receivers().storage_failing:
        raise NodeError(
            f"the last write of {failing} receivers failed: look for disk errors; the "
            "first instance that is stored again clears this"
        )
    return "written and synced"


def _admission(receivers: Callable[[], ReceiverState]) -> str:
    if congested := receivers().congested:
        raise NodeError(
            f"{congested} receivers reject new associations as temporary congestion: "
            "free some disk space, or bring the database back"
        )
    return "associations are taken"
