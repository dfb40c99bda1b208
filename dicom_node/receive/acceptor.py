"""The Storage SCP: one port, many associations."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import pynetdicom
from pynetdicom import _config

from dicom_node.core.clock import Clock
from dicom_node.core.refusal import RefusedInstance
from dicom_node.core.types import AssociationRecord
from dicom_node.receive.admission import Admission
from dicom_node.receive.arriving import Arriving, Note
from dicom_node.receive.association import AcceptorAssociation, Ended, Services
from dicom_node.receive.commit import CommitOptions, GroupCommitter, Record
from dicom_node.receive.congestion import Congestion
from dicom_node.receive.events import EventHandler, OnCommitment
from dicom_node.receive.handlers import Counts, StoreHandler, Witnesses
from dicom_node.receive.incoming import Files, Incoming
from dicom_node.receive.journal import Journal, JournalTo
from dicom_node.receive.listeners import open_listeners
from dicom_node.receive.lobby import Listener, Lobby, LobbyLimits, Visit
from dicom_node.receive.messages import Handlers
from dicom_node.receive.options import ReceiveOptions
from dicom_node.receive.slots import Slots
from dicom_node.receive.turned_away import TurnedAway
from dicom_node.receive.visitor import SILENT

log = logging.getLogger("dicom_node.receive")

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


class Gauges(Protocol):
    """What `Acceptor.look` brings up to date."""

    def congested(self, congested: bool) -> None:
        """Say whether new associations are rejected for now."""

    def turned_away(self, reason: str, count: int) -> None:
        """Count connections that ended before an association."""

    def certificate_expires(self, at: datetime) -> None:
        """Say when the node's own certificate expires."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiveParts:
    """What the acceptor works with.

    Args:
        files: where data sets are written to while they arrive.
        record: enters instances whose files are published, in one transaction; only
            when it returned do their senders hear 0x0000.
        recorded_keys: says which of these file keys have a row.
        on_association: told once per association request, when all is over.
        on_refused: told of instances that were refused, up to a bound an association.
        on_arriving: told of studies of which a data set takes its time to come.
        congestion: says when nobody can be let in for now.
        on_commitment: records what an archive has committed; without it nobody is
            let in to say so.
    """

    files: Files
    record: Record
    recorded_keys: Callable[[Sequence[str]], frozenset[str]]
    on_association: Callable[[AssociationRecord], None]
    metrics: Metrics
    clock: Clock
    slots: Slots
    congestion: Congestion = field(default_factory=Congestion.never)
    on_commitment: OnCommitment | None = None
    on_refused: Callable[[Sequence[RefusedInstance]], None] = lambda _refused: None
    on_arriving: Note = lambda _arriving: None


class Acceptor:
    """Takes associations and answers C-ECHO and C-STORE."""

    def __init__(self, options: ReceiveOptions, parts: ReceiveParts) -> None:
        silence_pynetdicom()
        self._options = options
        self._parts = parts
        congestion = parts.congestion
        self._journal = Journal(
            JournalTo(
                association=congestion.watched(parts.on_association),
                refused=congestion.watched(parts.on_refused),
            ),
            congestion.await_database,
        )
        self._arriving = Arriving(parts.on_arriving, parts.clock)
        self._admission = Admission(
            (options.ae_title, *options.called),
            options.peers,
            slots=parts.slots,
            congested=congestion.reason,
        )
        committer = GroupCommitter(
            parts.files,
            CommitOptions(
                durable=options.durable,
                max_wait_seconds=options.commit_max_wait_ms / 1000,
                record=congestion.watched(parts.record),
                recorded_keys=parts.recorded_keys,
                committed=parts.metrics.committed,
            ),
        )
        self._services = Services(
            transfer_syntaxes=options.transfer_syntaxes,
            sop_classes=options.sop_classes,
            admission=self._admission,
            handlers=_handlers(
                options, parts, committer, self._journal.put, self._arriving.tell
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
        self._counted: dict[str, int] = {}

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

    def look(self, gauges: Gauges) -> None:
        """Bring the gauges up to date; it may wait for the disk."""
        gauges.congested(bool(self._parts.congestion.reason()))
        if self._options.tls is not None:
            gauges.certificate_expires(self._options.tls.expires)
        counts = self._lobby.turned_away if self._lobby else {}
        for reason, count in counts.items():
            gauges.turned_away(reason, count - self._counted.get(reason, 0))
        self._counted = counts

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
        while (left := self._open()) and time.monotonic() - started < seconds:
            for association in left:
                now = time.monotonic()
                if not association.idle:
                    idle_since.pop(association, None)
                elif now - idle_since.setdefault(association, now) > _IDLE_SECONDS:
                    association.hang_up()
            left[0].join(_POLL_SECONDS)
        for association in left:
            association.hang_up()
        until = time.monotonic() + _IDLE_SECONDS
        for association in left:
            association.join(max(0.0, until - time.monotonic()))
        self._parts.congestion.close()
        self._journal.close(_IDLE_SECONDS)
        self._arriving.close(0)
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


def _handlers(
    options: ReceiveOptions,
    parts: ReceiveParts,
    committer: GroupCommitter,
    on_refused: Callable[[RefusedInstance], None],
    on_arriving: Callable[[Incoming, str], None],
) -> Handlers:
    store = StoreHandler(
        parts.files,
        committer,
        limits=options.scan,
        clock=parts.clock,
        told=Witnesses(
            counts=parts.metrics, on_refused=on_refused, on_arriving=on_arriving
        ),
    )
    if parts.on_commitment is None:
        return Handlers(store=store)
    return Handlers(store=store, events=EventHandler(parts.on_commitment))


def silence_pynetdicom() -> None:
    """Keep identifiers and exception texts of pynetdicom out of every handler."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    for name in (pynetdicom.__name__, "pydicom"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False
