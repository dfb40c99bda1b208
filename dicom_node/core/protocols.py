"""Seams: what the node asks of the parts that can be exchanged."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.states import Outcome, ReportKind, WorkState
from dicom_node.core.types import (
    InputFile,
    Prediction,
    Report,
    ReportFile,
    RoutingDecision,
    Sent,
    Study,
    Suggestion,
)
from dicom_node.core.writing import Result


class InstanceStore(Protocol):
    """Keeps files; what `put` returned is on stable storage."""

    def put(self, content: bytes) -> str:
        """Write, sync, rename; return the key."""

    def path(self, key: str) -> Path:
        """Return where the file with this key lies."""

    def intact(self, key: str) -> bool:
        """Say whether the file with this key holds what was kept under it."""

    def delete(self, key: str) -> None:
        """Remove the file; nothing happens if it is gone."""


class Compare(Protocol):
    """Compares two stored files; digests only say which ones are worth it."""

    def same_dataset(self, kept: str, other: str) -> bool:
        """Say whether the data sets under two file keys are the same bytes.

        Raises:
            StoreError: the kept file is gone, or is not any more what was received.
        """

    def same_pixels(self, kept: str, other: str) -> bool:
        """Say whether two files hold the same Pixel Data, as encoded, or both none.

        Raises:
            StoreError: as above.
        """


class Router(Protocol):
    """Decides which models look at a study."""

    def route(self, study: Study) -> RoutingDecision:
        """Return the routes that take the study and every rule's verdict."""


class Executor(Protocol):
    """Runs a model on the files of a study."""

    def predict(self, model: str, files: Sequence[InputFile]) -> Prediction:
        """Return the prediction; raise InferenceError when there can be none."""

    def close(self) -> None:
        """Release devices and processes."""


class ReportBuilder(Protocol):
    """Makes the structured reports of one prediction."""

    def build(
        self,
        files: Sequence[InputFile],
        prediction: Prediction,
        *,
        sop_class_uids: Sequence[str],
        predecessors: Sequence[Report],
    ) -> tuple[tuple[Report, bytes], ...]:
        """Return a report and its file's bytes for each SOP class."""


class ResultWriter(Protocol):
    """Writes one kind of object or message beside the structured report."""

    def write(
        self, result: Result, *, destination: str, earlier: Report | None
    ) -> tuple[Report, bytes] | None:
        """Return the report, without a file key, and its file's bytes.

        The same result gives the same bytes and identifiers, so that a run that is
        repeated sends nothing twice.

        Args:
            destination: whom it is for; "" for an object that is the same for all.
            earlier: what an earlier revision of the study sent there, if anything.

        Returns:
            None when there is nothing to say of this result in this form.

        Raises:
            ReportError: it cannot be written.
        """


class Suggest(Protocol):
    """Says how urgently a study should be read."""

    def suggest(self, prediction: Prediction, *, now: datetime) -> Suggestion | None:
        """Return the suggestion of the site's table, None without one."""


class Destination(Protocol):
    """Takes reports.

    Args:
        kinds: what it wants of a result.
        sop_class_uids: of structured reports, best first; () if it wants none.
    """

    name: str
    kinds: tuple[ReportKind, ...]
    sop_class_uids: tuple[str, ...]
    send_not_evaluated: bool

    def send(
        self,
        reports: Sequence[ReportFile],
        *,
        chosen: SOPInstanceUID | None,
        on_chosen: Callable[[SOPInstanceUID], None],
    ) -> Sent:
        """Send the best report the destination accepts, or the one chosen before.

        `on_chosen` is called before the first byte of a report leaves.

        Raises:
            DeliveryError: not taken; `retryable` says whether to try again.
        """

    def check(self) -> None:
        """Raise DeliveryError, with the remedy, unless the destination answers."""


class WorkCounters(Protocol):
    """Where the runs of jobs are counted."""

    def job_finished(self, outcome: Outcome, *, waited_seconds: float) -> None:
        """Count a run that ended, so long after its job was queued."""


class DeliveryCounters(Protocol):
    """Where attempts to deliver are counted."""

    def delivery_tried(
        self, destination: str, state: WorkState, *, waited_seconds: float
    ) -> None:
        """Count an attempt that left a delivery in this state, so long after queued."""


class RetryPolicy(Protocol):
    """Says when to try again."""

    def next_attempt(
        self, *, attempt: int, queued_at: datetime, now: datetime
    ) -> datetime | None:
        """Return the earliest time of the next attempt, None to give up."""
