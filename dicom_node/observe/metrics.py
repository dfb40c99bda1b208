"""What the processes count; `exposition` writes it for Prometheus.

Label values come from the configuration or from a list here, never from a sender.
"""

import os
import threading
import weakref
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, Protocol

from dicom_node.observe.histogram import Histogram
from dicom_node.observe.slots import Slot

Ended = Literal["released", "aborted", "rejected"]
ENDED: Final[tuple[Ended, ...]] = ("released", "aborted", "rejected")
RECEIVE: Final = "receive"
SERVE: Final = "serve"

INSTANCES: Final = "dicom_node_received_instances_total"
BYTES: Final = "dicom_node_received_bytes_total"
REFUSED: Final = "dicom_node_refused_instances_total"
ASSOCIATIONS: Final = "dicom_node_associations_total"
OPEN: Final = "dicom_node_associations_open"
STORE_SECONDS: Final = "dicom_node_store_seconds"
COMMIT_SECONDS: Final = "dicom_node_commit_seconds"
COMMIT_SIZE: Final = "dicom_node_commit_group_size"
STORAGE_FAILING: Final = "dicom_node_storage_failing"
STORAGE_ERRORS: Final = "dicom_node_storage_errors_total"
CONGESTED: Final = "dicom_node_congested"
TURNED_AWAY: Final = "dicom_node_connections_turned_away_total"
# In a slot it is the time; what is shown is how long that is off.
CERTIFICATE: Final = "dicom_node_tls_certificate_expires_seconds"
RECONCILED: Final = "dicom_node_reconcile_{}_total"
RECONCILE_OUTCOMES: Final = ("parts_removed", "adopted", "quarantined", "missing")
RESTARTS: Final = "dicom_node_role_restarts_total"

BUCKETS: Final[dict[str, tuple[float, ...]]] = {
    STORE_SECONDS: (
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60,
    ),
    COMMIT_SECONDS: (
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
    ),
    COMMIT_SIZE: (1, 2, 4, 8, 16, 32, 64),
}  # fmt: skip
_ELSEWHERE: Final = "other"


class Reconciled(Protocol):
    """What a reconcile run reports."""

    @property
    def parts_removed(self) -> int:
        """Return how many part files were removed."""

    @property
    def adopted(self) -> int:
        """Return how many files got a row."""

    @property
    def quarantined(self) -> int:
        """Return how many files could not get one."""

    @property
    def missing(self) -> int:
        """Return how many rows have no file."""


class _Places:
    """Where each of a receiver's numbers is in its slot."""

    def __init__(self, slot: Slot, called_ae_titles: Iterable[str]) -> None:
        self.slot = slot
        self.stored = {
            title: (
                slot.counter(INSTANCES, "called_ae", title),
                slot.counter(BYTES, "called_ae", title),
            )
            for title in (*called_ae_titles, _ELSEWHERE)
        }
        self.ended = {
            outcome: slot.counter(ASSOCIATIONS, "outcome", outcome) for outcome in ENDED
        }
        self.open = slot.gauge(OPEN)
        self.storage_failing = slot.gauge(STORAGE_FAILING)
        self.congested = slot.gauge(CONGESTED)
        self.certificate = slot.gauge(CERTIFICATE)
        self.storage_errors = slot.counter(STORAGE_ERRORS)
        self.store_seconds = Histogram(slot, STORE_SECONDS, BUCKETS[STORE_SECONDS])
        self.commit_seconds = Histogram(slot, COMMIT_SECONDS, BUCKETS[COMMIT_SECONDS])
        self.commit_size = Histogram(slot, COMMIT_SIZE, BUCKETS[COMMIT_SIZE])
        self.reconciled = {
            name: slot.counter(RECONCILED.format(name)) for name in RECONCILE_OUTCOMES
        }


class ReceiveMetrics:
    """What a receiver process counts; every method is cheap and any thread may call.

    After a fork the child counts in a slot of its own.

    Args:
        folder: of the slots, `Settings.metrics_dir`.
        called_ae_titles: the node's own; another one is counted as "other".
    """

    def __init__(self, folder: Path, called_ae_titles: Iterable[str]) -> None:
        self._folder, self._titles = folder, tuple(called_ae_titles)
        self._lock = threading.Lock()
        self._places: _Places | None = None
        self._bind()
        _receivers.add(self)

    def instance_stored(self, called_ae: str, size_bytes: int, seconds: float) -> None:
        """Count an instance answered with success.

        Args:
            seconds: from its last byte to its answer.
        """
        at = self._places or self._bind()
        instances, size = at.stored.get(called_ae) or at.stored[_ELSEWHERE]
        with at.slot.lock:
            values = at.slot.values
            values[instances] += 1
            values[size] += size_bytes
            at.store_seconds.observe(values, seconds)

    def instance_refused(self, status: int) -> None:
        """Count an instance answered with another status than success."""
        slot = (self._places or self._bind()).slot
        slot.add(slot.counter(REFUSED, "status", f"0x{status & 0xFFFF:04X}"))

    def association_opened(self) -> None:
        """Count an association that was accepted."""
        at = self._places or self._bind()
        at.slot.add(at.open)

    def association_ended(self, outcome: Ended) -> None:
        """Count the end of an association; a rejected one was never opened."""
        at = self._places or self._bind()
        with at.slot.lock:
            at.slot.values[at.ended[outcome]] += 1
            if outcome != "rejected":
                at.slot.values[at.open] = max(0.0, at.slot.values[at.open] - 1)

    def committed(self, instances: int, seconds: float) -> None:
        """Count a group commit that succeeded: files synced, rows committed."""
        at = self._places or self._bind()
        with at.slot.lock:
            values = at.slot.values
            at.commit_seconds.observe(values, seconds)
            at.commit_size.observe(values, instances)
            values[at.storage_failing] = 0.0

    def storage_failed(self) -> None:
        """Note that files could not be written or synced; a commit takes it back."""
        at = self._places or self._bind()
        with at.slot.lock:
            at.slot.values[at.storage_errors] += 1
            at.slot.values[at.storage_failing] = 1.0

    def congested(self, congested: bool) -> None:
        """Say whether new associations are rejected as "temporary congestion"."""
        at = self._places or self._bind()
        with at.slot.lock:
            at.slot.values[at.congested] = float(congested)

    def turned_away(self, reason: str, count: int) -> None:
        """Count connections that ended before an association; a reason of a list."""
        if count:
            slot = (self._places or self._bind()).slot
            slot.add(slot.counter(TURNED_AWAY, "reason", reason), count)

    def certificate_expires(self, at: datetime) -> None:
        """Say when the certificate that callers are shown expires."""
        place = self._places or self._bind()
        with place.slot.lock:
            place.slot.values[place.certificate] = max(0.0, at.timestamp())

    def reconciled(self, report: Reconciled) -> None:
        """Count what a reconcile run did."""
        at = self._places or self._bind()
        at.slot.add(at.reconciled["parts_removed"], report.parts_removed)
        at.slot.add(at.reconciled["adopted"], report.adopted)
        at.slot.add(at.reconciled["quarantined"], report.quarantined)
        at.slot.add(at.reconciled["missing"], report.missing)

    def beat(self) -> None:
        """Say that connections are still looked after; at least every 5 seconds.

        From the first beat on, `serve` restarts a receiver that is silent for 30 s.
        """
        (self._places or self._bind()).slot.beat()

    def close(self) -> None:
        """Leave the slot to the next receiver; late calls count nowhere."""
        _receivers.discard(self)
        if self._places:
            self._places.slot.close()

    def forked(self) -> None:
        """Let go of the parent's slot; the next call claims another."""
        if self._places:
            self._lock = self._places.slot.lock = threading.Lock()
            self._places.slot.let_go()
            self._places = None

    def _bind(self) -> _Places:
        with self._lock:
            if self._places is None:
                self._places = _Places(Slot(self._folder, RECEIVE), self._titles)
            return self._places


class ServeMetrics:
    """What a process counts that keeps others alive."""

    def __init__(self, folder: Path, roles: Iterable[str]) -> None:
        self._slot = Slot(folder, SERVE)
        self._restarts = {
            role: self._slot.counter(RESTARTS, "role", role) for role in roles
        }

    def restarted(self, role: str) -> None:
        """Count that a role was started again."""
        self._slot.add(self._restarts[role])

    def close(self) -> None:
        """Leave the slot to the next `serve`."""
        self._slot.close()


_receivers: weakref.WeakSet[ReceiveMetrics] = weakref.WeakSet()


def _forked() -> None:
    for metrics in list(_receivers):
        metrics.forked()


os.register_at_fork(after_in_child=_forked)
