"""Routing and inference as they are, with somebody who looks on.

The parts that decide know nothing of metrics and of patients' keys; these stand in
front of them. The functions at the end wire them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import db.patients
from config.settings import Settings
from db.engine import Database
from dicom_node import app, pipeline
from dicom_node.core.clock import Clock, SystemClock
from dicom_node.core.patient import PatientDigest, PatientKeys
from dicom_node.core.protocols import Executor, Router
from dicom_node.core.types import InputFile, Prediction, RoutingDecision, Study
from dicom_node.observe.role_metrics import DeliverMetrics, WorkMetrics
from dicom_node.study.patients import PatientIndex


class Looker(Protocol):
    """Where what is seen is counted."""

    def study_routed(self, *, routed: bool, waited_seconds: float) -> None:
        """Count a study that was complete, so long after its last image."""

    def predicted(self, model: str, *, images: int, seconds: float) -> None:
        """Count a model's run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedRouter:
    """A router that counts, and lets each study be found by its patient.

    Args:
        remember: called before the study is routed; never raises.
    """

    router: Router
    remember: Callable[[Study], None]
    looker: Looker
    clock: Clock

    def route(self, study: Study) -> RoutingDecision:
        """Return the routes that take the study and every rule's verdict."""
        self.remember(study)
        decision = self.router.route(study)
        waited = (self.clock.now() - study.last_instance_at).total_seconds()
        self.looker.study_routed(routed=bool(decision.routes), waited_seconds=waited)
        return decision


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedExecutor:
    """An executor that counts."""

    executor: Executor
    looker: Looker

    def predict(self, model: str, files: Sequence[InputFile]) -> Prediction:
        """Return the prediction; raise InferenceError when there can be none."""
        found = self.executor.predict(model, files)
        seconds = (found.finished_at - found.started_at).total_seconds()
        self.looker.predicted(model, images=len(found.evaluated), seconds=seconds)
        return found

    def close(self) -> None:
        """Release devices and processes."""
        self.executor.close()


def work_metrics(settings: Settings) -> WorkMetrics:
    """Open what a worker counts in."""
    return WorkMetrics(settings.metrics_dir, {route.model for route in settings.routes})


def deliver_metrics(settings: Settings) -> DeliverMetrics:
    """Open what the role that delivers counts in."""
    return DeliverMetrics(
        settings.metrics_dir, [table.name for table in settings.destinations]
    )


def watched_router(
    settings: Settings, database: Database, metrics: WorkMetrics
) -> WatchedRouter:
    """Make the router, which counts and keeps whose studies they are.

    Raises:
        ConfigError: the key of the patients' digests cannot be used.
    """

    def remember(study: Study, digests: frozenset[PatientDigest]) -> None:
        db.patients.remember(database, study.study_id, digests)

    index = PatientIndex(
        PatientKeys(settings.patient_key_file),
        app.instance_store(settings).path,
        remember,
    )
    return WatchedRouter(
        router=app.build_router(settings),
        remember=index.remember,
        looker=metrics,
        clock=SystemClock(),
    )


def watched_work(parts: pipeline.Work, metrics: WorkMetrics) -> pipeline.Work:
    """Let what turns jobs into reports be counted."""
    watched = WatchedExecutor(executor=parts.executor, looker=metrics)
    return replace(parts, executor=watched, counters=metrics)
