"""What the roles behind the receiver count: routing, inference, delivery, the proxy.

Label values come from the configuration or from a list of this program.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from dicom_node.core.states import Outcome, WorkState
from dicom_node.observe.histogram import Histogram
from dicom_node.observe.slots import Slot

ROUTE_SECONDS: Final = "dicom_node_route_seconds"
RESULT_SECONDS: Final = "dicom_node_result_seconds"
DELIVERY_SECONDS: Final = "dicom_node_delivery_seconds"
INFERENCE_SECONDS: Final = "dicom_node_inference_seconds"
QUERY_SECONDS: Final = "dicom_node_worklist_query_seconds"
ROUTED: Final = "dicom_node_studies_routed_total"
IMAGES: Final = "dicom_node_inferred_images_total"
FINISHED: Final = "dicom_node_jobs_finished_total"
ATTEMPTS: Final = "dicom_node_delivery_attempts_total"
QUERIES: Final = "dicom_node_worklist_queries_total"
ANSWERS: Final = "dicom_node_worklist_answers_total"
PRUNED: Final = "dicom_node_pruned_studies_total"
PRUNED_BYTES: Final = "dicom_node_pruned_bytes_total"

_ENDS: Final = (WorkState.DONE, WorkState.QUEUED, WorkState.FAILED)
_WAITS: Final = (0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 14400)
ROLE_BUCKETS: Final[dict[str, tuple[float, ...]]] = {
    ROUTE_SECONDS: _WAITS,
    RESULT_SECONDS: _WAITS,
    DELIVERY_SECONDS: (*_WAITS, 86400),
    INFERENCE_SECONDS: _WAITS,
    QUERY_SECONDS: (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
}
ROLE_COUNTERS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    ROUTED: ("Studies that were complete, by what routing made of them.", ("state",)),
    IMAGES: ("Images that models evaluated.", ("model",)),
    FINISHED: ("Runs of jobs that ended, by what they found.", ("outcome",)),
    ATTEMPTS: ("Attempts to deliver, by what they led to.", ("destination", "state")),
    QUERIES: ("Worklist queries that ended.", ("outcome",)),
    ANSWERS: ("Answers passed on to them.", ()),
    PRUNED: ("Studies whose files retention removed.", ()),
    PRUNED_BYTES: ("Bytes of those files.", ()),
}
ROLE_HISTOGRAMS: Final = {
    ROUTE_SECONDS: "From a study's last instance until it was routed.",
    RESULT_SECONDS: "From there until a result was committed.",
    DELIVERY_SECONDS: "From there until a destination had it.",
    INFERENCE_SECONDS: "A model's run on a study.",
    QUERY_SECONDS: "From a worklist query to its last answer.",
}


class _RoleMetrics:
    """The numbers of one process; every method is cheap and any thread may call."""

    def __init__(self, folder: Path, role: str) -> None:
        self._slot = Slot(folder, role)
        self._histograms: dict[str, Histogram] = {}

    def close(self) -> None:
        """Leave the slot to the next process of this role."""
        self._slot.close()

    def _declare(self, histograms: Sequence[str]) -> None:
        for name in histograms:
            bounds = ROLE_BUCKETS[name]
            self._histograms[name] = Histogram(self._slot, name, bounds)

    def _begin(self, name: str, labels: Mapping[str, Iterable[str]]) -> None:
        """Start series at 0: a rate of one that appears with 1 would miss that."""
        for label, values in labels.items():
            for value in values:
                self._slot.counter(name, label, value)

    def _count(self, *key: str, by: float = 1.0) -> None:
        self._slot.add(self._slot.counter(*key), by)

    def _observe(self, name: str, seconds: float) -> None:
        with self._slot.lock:
            self._histograms[name].observe(self._slot.values, seconds)


class WorkMetrics(_RoleMetrics):
    """What a worker counts."""

    def __init__(self, folder: Path, models: Iterable[str]) -> None:
        super().__init__(folder, "work")
        self._declare((ROUTE_SECONDS, RESULT_SECONDS, INFERENCE_SECONDS))
        self._begin(ROUTED, {"state": ("routed", "ignored")})
        self._begin(FINISHED, {"outcome": [outcome.value for outcome in Outcome]})
        self._begin(IMAGES, {"model": models})

    def study_routed(self, *, routed: bool, waited_seconds: float) -> None:
        """Count a study that was complete, and how long ago its last image came."""
        self._count(ROUTED, "state", "routed" if routed else "ignored")
        self._observe(ROUTE_SECONDS, waited_seconds)

    def predicted(self, model: str, *, images: int, seconds: float) -> None:
        """Count a model's run."""
        self._count(IMAGES, "model", model, by=images)
        self._observe(INFERENCE_SECONDS, seconds)

    def job_finished(self, outcome: Outcome, *, waited_seconds: float) -> None:
        """Count a run of a job."""
        self._count(FINISHED, "outcome", outcome.value)
        if outcome is not Outcome.FAILED:
            self._observe(RESULT_SECONDS, waited_seconds)


class DeliverMetrics(_RoleMetrics):
    """What the role that delivers counts; it removes files, too."""

    def __init__(self, folder: Path, destinations: Iterable[str]) -> None:
        super().__init__(folder, "deliver")
        self._declare((DELIVERY_SECONDS,))
        for name in destinations:
            for state in _ENDS:
                self._slot.counter(ATTEMPTS, "destination", name, "state", state.value)
        for name in (PRUNED, PRUNED_BYTES):
            self._slot.counter(name)

    def delivery_tried(
        self, destination: str, state: WorkState, *, waited_seconds: float
    ) -> None:
        """Count an attempt."""
        self._count(ATTEMPTS, "destination", destination, "state", state.value)
        if state is WorkState.DONE:
            self._observe(DELIVERY_SECONDS, waited_seconds)

    def pruned(self, size_bytes: int) -> None:
        """Count a study whose files were removed."""
        self._count(PRUNED)
        self._count(PRUNED_BYTES, by=size_bytes)


class ProxyMetrics(_RoleMetrics):
    """What the worklist proxy counts."""

    def __init__(self, folder: Path, outcomes: Iterable[str]) -> None:
        super().__init__(folder, "proxy")
        self._declare((QUERY_SECONDS,))
        self._begin(QUERIES, {"outcome": outcomes})
        self._slot.counter(ANSWERS)

    def query_ended(self, outcome: str, *, answers: int, seconds: float) -> None:
        """Count a query."""
        self._count(QUERIES, "outcome", outcome)
        self._count(ANSWERS, by=answers)
        self._observe(QUERY_SECONDS, seconds)
