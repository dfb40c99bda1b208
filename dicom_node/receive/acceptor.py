"""The Storage SCP: one port, many associations."""

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import pynetdicom
from pynetdicom import _config

from dicom_node.core.clock import Clock
from dicom_node.core.errors import ConfigError
from dicom_node.core.types import AssociationRecord
from dicom_node.receive.admission import Admission
from dicom_node.receive.association import AcceptorAssociation, Ended, Services
from dicom_node.receive.commit import CommitOptions, GroupCommitter, Record
from dicom_node.receive.handlers import Counts, StoreHandler
from dicom_node.receive.incoming import Files
from dicom_node.receive.journal import Journal
from dicom_node.receive.lobby import Listener, Lobby, LobbyLimits, Visit
from dicom_node.receive.options import ReceiveOptions
from dicom_node.receive.slots import Slots
from dicom_node.receive.turned_away import TurnedAway
from dicom_node.receive.visitor import SILENT

log = logging.getLogger("dicom_node.receive")

# A burst of hundreds, half of it attackers, waits here and not for a SYN sent again.
_BACKLOG = 1024
_POLL_SECONDS = 0.02
# An association that has said nothing for so long is not in the middle of anything.
_IDLE_SECONDS = 2.0


class Metrics(Counts, Protocol):
    """Counts what the receiver does; every call is cheap."""

    def association_opened(self) -> None:
        """Count an association that was accepted."""

    def association_ended(self, outcome: Ended) -> None:
        """Count the end of an association."""

    def committed(self, instances: int, seconds: float) -> None:
        """Count a group commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveParts:
    """What the acceptor works with.

    Args:
        files: where data sets are written to while they arrive.
        record: enters instances whose files are published, in one transaction; only
            when it returned do their senders hear 0x0000.
        recorded_keys: says which of these file keys have a row.
        on_association: told once per association request, when all is over.
    """

    files: Files
    record: Record
    recorded_keys: Callable[[Sequence[str]], frozenset[str]]
    on_association: Callable[[AssociationRecord], None]
    metrics: Metrics
    clock: Clock
    slots: Slots


class Acceptor:
    """Takes associations and answers C-ECHO and C-STORE."""

    def __init__(self, options: ReceiveOptions, parts: ReceiveParts) -> None:
        silence_pynetdicom()
        self._options = options
        self._parts = parts
        self._journal = Journal(parts.on_association)
        self._admission = Admission(
            (options.ae_title, *options.called), options.peers, slots=parts.slots
        )
        committer = GroupCommitter(
            parts.files,
            CommitOptions(
                durable=options.durable,
                max_wait_seconds=options.commit_max_wait_ms / 1000,
                record=parts.record,
                recorded_keys=parts.recorded_keys,
                committed=parts.metrics.committed,
            ),
        )
        self._services = Services(
            transfer_syntaxes=options.transfer_syntaxes,
            sop_classes=options.sop_classes,
            admission=self._admission,
            store=StoreHandler(
                parts.files,
                committer,
                limits=options.scan,
                clock=parts.clock,
                counts=parts.metrics,
            ),
            limits=options.messages,
            max_pdu_bytes=options.max_pdu_bytes,
            on_association=self._journal.put,
            opened=parts.metrics.association_opened,
            ended=parts.metrics.association_ended,
            clock=parts.clock,
        )
        self._lock = threading.Lock()
        self._associations: set[AcceptorAssociation] = set()
        self._lobby: Lobby | None = None

    def start(self, listeners: Sequence[Listener] | None = None) -> tuple[str, int]:
        """Listen; return the address, with the port the system chose for port 0.

        Args:
            listeners: already open, shared with other receivers.

        Raises:
            ConfigError: the address cannot be listened on; the text has the remedy.
        """
        if listeners is None:
            listeners = open_listeners(self._options)
        host, port = listeners[0].socket.getsockname()[:2]
        self._lobby = Lobby(
            listeners,
            self._begin,
            limits=LobbyLimits(seconds=self._options.acse_timeout_seconds),
            on_turned_away=self._turned_away,
        )
        self._lobby.start()
        return str(host), int(port)

    @property
    def listening(self) -> bool:
        """Whether connections are still looked after."""
        return self._lobby is not None and self._lobby.alive

    def drain(self, seconds: float) -> bool:
        """Take no new association, let those in progress finish, then stop.

        Returns:
            Whether all of them ended within `seconds` without being cut in a message.
        """
        self._admission.close()
        if self._lobby is not None:
            self._lobby.close()
        started = time.monotonic()
        idle_since: dict[AcceptorAssociation, float] = {}
        while self._open() and time.monotonic() - started < seconds:
            for association in self._open():
                now = time.monotonic()
                if not association.idle:
                    idle_since.pop(association, None)
                elif now - idle_since.setdefault(association, now) > _IDLE_SECONDS:
                    association.hang_up()
            time.sleep(_POLL_SECONDS)
        left = self._open()
        for association in left:
            association.hang_up()
        until = time.monotonic() + _IDLE_SECONDS
        for association in left:
            association.join(max(0.0, until - time.monotonic()))
        self._journal.close(_IDLE_SECONDS)
        log.info("drained", extra={"aborted": len(left)})
        return not left

    def _begin(self, visit: Visit) -> None:
        association = AcceptorAssociation(self._services, visit)
        with self._lock:
            self._associations = {
                item for item in self._associations if item.is_alive()
            } | {association}
            association.start()

    def _turned_away(self, told: TurnedAway) -> None:
        """Keep a record of connections that never came to an association request."""
        if told.reason == SILENT:
            return  # a port scan or a health check: nobody called
        times = f", {told.count} times" if told.count > 1 else ""
        self._journal.put(
            AssociationRecord(
                at=self._parts.clock.now(),
                calling_ae_title="",
                called_ae_title="",
                peer_address=told.address,
                accepted=False,
                reason=told.reason + times,
            )
        )

    def _open(self) -> list[AcceptorAssociation]:
        with self._lock:
            return [item for item in self._associations if item.is_alive()]


def silence_pynetdicom() -> None:
    """Keep identifiers and exception texts of pynetdicom out of every handler."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    for name in (pynetdicom.__name__, "pydicom"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False


def open_listeners(options: ReceiveOptions) -> list[Listener]:
    """Open the port without TLS and the one with it, as far as they are wanted.

    Raises:
        ConfigError: an address cannot be listened on; the text has the remedy.
    """
    listeners = []
    if options.plain:
        listeners.append(Listener(listen(options.host, options.port)))
    if options.tls is not None:
        listener = listen(options.host, options.tls_port, setting="tls.port")
        listeners.append(Listener(listener, options.tls))
    return listeners


class PortTaken(ConfigError):
    """Somebody listens there already."""


def listen(host: str, port: int, *, setting: str = "node.port") -> socket.socket:
    """Open the listening socket.

    Raises:
        PortTaken: another program, or another node, has the port.
        ConfigError: the address or the port is none this user may listen on.
    """
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = min(found, key=lambda item: item[0])
        listener = socket.socket(family, kind, protocol)
    except OSError:
        raise ConfigError(
            f"node.host '{host}' is no address of this machine: use 127.0.0.1 or one "
            "of its own addresses"
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"port {port} on {host} is taken: stop the other program, or set "
                f"another {setting}"
            ) from None
        raise ConfigError(_explain(error, host, port, setting)) from None
    return listener


def _explain(error: OSError, host: str, port: int, setting: str) -> str:
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges: set a {setting} of 1024 or more"
    return (
        f"cannot listen on {host} port {port}: check node.host, it has to be an "
        "address of this machine"
    )
