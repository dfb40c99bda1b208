"""Write what all processes counted as Prometheus text."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from db.queries import Backlog
from dicom_node.observe import metrics
from dicom_node.observe.role_metrics import (
    ROLE_BUCKETS,
    ROLE_COUNTERS,
    ROLE_HISTOGRAMS,
)
from dicom_node.observe.slots import SlotReading, read_slots

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

_COUNTERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    metrics.INSTANCES: ("Instances answered with success.", ("called_ae",)),
    metrics.BYTES: ("Bytes of their data sets.", ("called_ae",)),
    metrics.REFUSED: ("Instances answered with another status.", ("status",)),
    metrics.ASSOCIATIONS: ("Associations that ended.", ("outcome",)),
    metrics.TURNED_AWAY: ("Connections ended before an association.", ("reason",)),
    metrics.STORAGE_ERRORS: ("Failures to write or sync a file.", ()),
    metrics.RESTARTS: ("Processes of a role that were started again.", ("role",)),
} | {
    metrics.RECONCILED.format(name): (text, ())
    for name, text in zip(
        metrics.RECONCILE_OUTCOMES,
        (
            "Part files removed at a start.",
            "Files without a row that got one.",
            "Files without a row that could not get one.",
            "Rows found without their file.",
        ),
        strict=True,
    )
}
_BUCKETS: Final = metrics.BUCKETS | ROLE_BUCKETS
_GAUGES: Final = {
    metrics.OPEN: "Associations in progress.",
    metrics.CONGESTED: "Receivers that reject associations for now.",
    metrics.STORAGE_FAILING: "Receivers whose last write failed.",
}
_HISTOGRAMS: Final = {
    metrics.STORE_SECONDS: "From an instance's last byte to its answer.",
    metrics.COMMIT_SECONDS: "Files synced and rows committed.",
    metrics.COMMIT_SIZE: "Instances that shared a commit.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is measured when somebody asks.

    Args:
        free_bytes: None when the disk could not be asked.
        size_bytes: of that disk.
        backlog: None when the database did not answer.
    """

    now: datetime
    version: str
    free_bytes: int | None
    min_free_bytes: int
    backlog: Backlog | None
    size_bytes: int | None = None


def metrics_text(folder: Path, surroundings: Surroundings) -> bytes:
    """Return every metric of the node; `folder` is the one of the slots."""
    registry = CollectorRegistry(auto_describe=False)
    slots = read_slots(folder)
    families = [*_shared(slots), *_asked(surroundings)]
    families += _certificate(slots, surroundings.now)
    registry.register(_Collected(families))
    return generate_latest(registry)


class _Collected(Collector):
    """What `prometheus_client` asks for its metrics."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._families


def _shared(slots: list[SlotReading]) -> Iterator[Metric]:
    """Sum over the slots: counters over all, gauges over living processes."""
    counted = _sum(slots)
    alive = _sum(slot for slot in slots if slot.alive)
    for name, (text, labels) in (_COUNTERS | ROLE_COUNTERS).items():
        counter = CounterMetricFamily(name, text, labels=labels)
        for key, value in counted[name].items():
            counter.add_metric(key[1::2], value)
        yield counter
    for name, text in _GAUGES.items():
        yield GaugeMetricFamily(name, text, value=sum(alive[name].values()))
    for name, text in (_HISTOGRAMS | ROLE_HISTOGRAMS).items():
        yield _histogram(name, text, counted)


_Sums = Mapping[str, Mapping[tuple[str, ...], float]]


def _sum(slots: Iterable[SlotReading]) -> _Sums:
    """Add up by name; the inner keys are the names and values of labels in turn."""
    sums: dict[str, dict[tuple[str, ...], float]] = defaultdict(
        lambda: defaultdict(float)
    )
    for slot in slots:
        for (name, *labels), value in slot.values.items():
            sums[name][tuple(labels)] += value
    return sums


def _histogram(name: str, text: str, counted: _Sums) -> Metric:
    buckets: list[tuple[str, float]] = []
    total = 0.0
    for bound in (*(f"{bound:g}" for bound in _BUCKETS[name]), "+Inf"):
        total += counted[name].get(("le", bound), 0.0)
        buckets.append((bound, total))
    return HistogramMetricFamily(
        name, text, buckets=buckets, sum_value=counted[name + "_sum"].get((), 0.0)
    )


def _certificate(slots: list[SlotReading], now: datetime) -> Iterator[Metric]:
    """Tell how long the certificate is good that expires first; none without TLS."""
    times = [
        slot.values.get((metrics.CERTIFICATE,), 0.0) for slot in slots if slot.alive
    ]
    if any(times):
        yield GaugeMetricFamily(
            metrics.CERTIFICATE,
            "Until the TLS certificate of the node expires.",
            value=min(filter(None, times)) - now.timestamp(),
        )


def _asked(found: Surroundings) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "dicom_node_database_up",
        "Whether the database answered.",
        value=found.backlog is not None,
    )
    info = GaugeMetricFamily(
        "dicom_node_info", "The version that runs.", labels=["version"]
    )
    info.add_metric([found.version], 1)
    yield info
    if found.free_bytes is not None:
        yield GaugeMetricFamily(
            "dicom_node_disk_free_bytes", "Free for instances.", value=found.free_bytes
        )
        yield GaugeMetricFamily(
            "dicom_node_disk_low",
            "Whether that is below receive.min_free_bytes.",
            value=found.free_bytes < found.min_free_bytes,
        )
    if found.size_bytes is not None:
        yield GaugeMetricFamily(
            "dicom_node_disk_size_bytes", "Of that disk.", value=found.size_bytes
        )
    if found.backlog is not None:
        yield from _backlog(found.backlog, found.now)


def _backlog(backlog: Backlog, now: datetime) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "dicom_node_studies_receiving",
        "Studies that are not complete yet.",
        value=backlog.receiving,
    )
    for kind, states in (
        ("jobs", backlog.jobs),
        ("deliveries", backlog.deliveries),
    ):
        family = GaugeMetricFamily(
            f"dicom_node_{kind}", f"{kind.capitalize()} by state.", labels=["state"]
        )
        for state, count in states.items():
            family.add_metric([state.value], count)
        yield family
    for kind, oldest in (
        ("job", backlog.oldest_job_at),
        ("delivery", backlog.oldest_delivery_at),
    ):
        waited = max(0.0, (now - oldest).total_seconds()) if oldest else 0.0
        yield GaugeMetricFamily(
            f"dicom_node_oldest_queued_{kind}_seconds",
            f"How long the oldest QUEUED {kind} waits; 0 without one.",
            value=waited,
        )
    yield from _destinations(backlog)


def _destinations(backlog: Backlog) -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        "dicom_node_deliveries_waiting",
        "Deliveries that wait or are under way.",
        labels=["destination"],
    )
    dead = GaugeMetricFamily(
        "dicom_node_dead_letters",
        "Deliveries given up, which wait for `retry`.",
        labels=["destination"],
    )
    cut_off = GaugeMetricFamily(
        "dicom_node_breaker_open",
        "Whether deliveries are held back since the destination does not answer.",
        labels=["destination"],
    )
    for name, found in sorted(backlog.destinations.items()):
        waiting.add_metric([name], found.waiting)
        dead.add_metric([name], found.dead)
        cut_off.add_metric([name], found.cut_off)
    yield from (waiting, dead, cut_off)
