"""The composition root: from settings to the parts that run; names implementations."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import db.arrivals
import db.associations
import db.commitments
import db.instances
import db.probe
import db.refusals
import db.retention
import db.schema
from config.destinations import DestinationTable
from config.settings import Settings
from db.breaker import BreakerPolicy
from db.engine import Database
from dicom_node import __version__, pipeline
from dicom_node.core.clock import SystemClock
from dicom_node.core.errors import ReceiveError
from dicom_node.core.proof import CommitmentAnswer
from dicom_node.core.protocols import Destination
from dicom_node.core.states import ReportKind
from dicom_node.deliver.kinds import make_destination
from dicom_node.deliver.prover import provers_of
from dicom_node.deliver.retry import ExponentialBackoff
from dicom_node.messaging import build_suggest, build_writers
from dicom_node.observe.metrics import ReceiveMetrics
from dicom_node.quarantine import telling
from dicom_node.receive.acceptor import Acceptor, ReceiveParts
from dicom_node.receive.compare import FileCompare
from dicom_node.receive.congestion import Congestion, Supplies
from dicom_node.receive.options import ReceiveOptions
from dicom_node.receive.slots import Slots
from dicom_node.receive.stored import read_stored
from dicom_node.store.files import FileStore, sync_file
from dicom_node.store.instances import InstanceFiles
from dicom_node.store.reconcile import ReconcileReport, reconcile
from dicom_node.study.routes import RuleRouter
from dicom_node.writing import Writing

if TYPE_CHECKING:
    from inference.run.in_process import InProcessExecutor
    from inference.run.options import RunOptions

OUTBOX_THREADS_MAX = 6
# Linux writes back after 30 s, a journal commits every 5 s: older files are whole.
_UNSYNCED_SECONDS = 120.0


def open_database(settings: Settings, *, busy_seconds: float = 30.0) -> Database:
    """Open the database that the settings name.

    Args:
        busy_seconds: how long to wait for one that is locked or does not answer.

    Raises:
        DatabaseError: it has no schema, or that of another version.
    """
    return db.schema.open_checked(settings.database.url, busy_seconds=busy_seconds)


def instance_store(settings: Settings) -> InstanceFiles:
    """Open the folder of received instances."""
    return InstanceFiles(
        settings.instances_dir, min_free_bytes=settings.receive.min_free_bytes
    )


def report_store(settings: Settings) -> FileStore:
    """Open the folder of written reports; they may use the reserve of the disk."""
    return FileStore(settings.reports_dir, min_free_bytes=0)


def receive_metrics(settings: Settings) -> ReceiveMetrics:
    """Open what a receiver process counts in."""
    titles = (settings.node.ae_title, *(table.ae_title for table in settings.called))
    return ReceiveMetrics(settings.metrics_dir, titles)


def build_acceptor(
    settings: Settings,
    database: Database,
    *,
    options: ReceiveOptions,
    slots: Slots,
    metrics: ReceiveMetrics,
) -> Acceptor:
    """Wire the C-STORE SCP to the database and the instance store."""
    files = instance_store(settings)
    compare = FileCompare(files.path, options.scan)

    congestion = Congestion(
        Supplies(
            min_free_bytes=settings.receive.min_free_bytes,
            free_bytes=files.free_bytes,
            takes_writes=partial(db.probe.takes_writes, database),
            after_seconds=settings.receive.congestion_seconds,
        )
    )
    parts = ReceiveParts(
        files=files,
        record=partial(
            pipeline.on_instances, database, compare=compare, durable=options.durable
        ),
        recorded_keys=lambda keys: db.instances.recorded_keys(database, keys),
        on_association=partial(
            db.associations.record, database, durable=options.durable
        ),
        metrics=metrics,
        clock=SystemClock(),
        slots=slots,
        congestion=congestion,
        on_commitment=partial(_record_commitment, database),
        on_refused=partial(db.refusals.record, database, durable=options.durable),
        on_arriving=partial(db.arrivals.note, database),
    )
    return Acceptor(options, parts)


def _record_commitment(database: Database, answer: CommitmentAnswer) -> bool:
    return db.commitments.answer(
        database,
        answer.transaction_uid,
        committed=answer.committed,
        failed=answer.failed,
        now=SystemClock().now(),
    )


def reconcile_instances(settings: Settings, database: Database) -> ReconcileReport:
    """Bring the instance files and their rows together after a crash."""
    limits = ReceiveOptions.from_settings(settings).scan
    store = instance_store(settings)
    compare = FileCompare(store.path, limits)

    def adopt(key: str, path: Path) -> bool:
        sync_file(path)  # a repeat of it is acknowledged without a file of its own
        received = read_stored(
            key, path, called_ae_title=settings.node.ae_title, limits=limits
        )
        (outcome,) = pipeline.on_instances(database, (received,), compare=compare)
        if isinstance(outcome, ReceiveError):
            raise outcome
        return outcome.file_key in ("", key)

    return reconcile(
        store,
        db.instances.known_keys(database),
        adopt,
        recorded_keys=partial(db.instances.recorded_keys, database),
        latest=db.instances.latest_keys(database, seconds=_UNSYNCED_SECONDS),
        pruned_keys=db.retention.pruned_keys(database),
        on_quarantined=telling(database, settings.node.ae_title),
    )


def build_destinations(settings: Settings) -> dict[str, Destination]:
    """Make each configured destination."""
    return {
        table.name: build_destination(table, settings)
        for table in settings.destinations
    }


def build_destination(table: DestinationTable, settings: Settings) -> Destination:
    """Make one destination."""
    return make_destination(table, calling_ae_title=settings.node.ae_title)


def build_router(settings: Settings) -> RuleRouter:
    """Make the router of the TOML rule tables."""
    return RuleRouter(settings.routes, called=settings.called)


def build_retry(settings: Settings) -> ExponentialBackoff:
    """Make the retry policy of jobs and deliveries."""
    return ExponentialBackoff.from_settings(settings.work)


def build_executor(
    settings: Settings,
    *,
    on_lost: Callable[[], None] = lambda: None,
    is_guarded: bool = True,
) -> "InProcessExecutor":
    """Make the executor; imports torch, which a receiver must never do.

    Args:
        on_lost: called when the device is lost: the process is of no more use.
        is_guarded: False for files that are not the node's: nothing is noted.
    """
    from inference.run.in_process import InProcessExecutor

    options = run_options(settings)
    if not is_guarded:
        wish = replace(options.wish, batches=None)
        options = replace(options, guard_folder=None, wish=wish)
    return InProcessExecutor(
        settings.models.folder,
        options,
        python_classes=settings.models.python_classes,
        on_lost=on_lost,
    )


def run_options(settings: Settings) -> "RunOptions":
    """Say how models are run; imports torch."""
    from inference.pixels.layout import PixelLimits
    from inference.run.options import EngineWish, RunOptions

    table = settings.models
    return RunOptions(
        device=table.device,
        wish=EngineWish(
            engine=table.engine,
            precision=table.precision,
            recommendations=settings.engines_file,
            threads=table.threads,
            batches=settings.batches_file,
        ),
        max_batch_size=table.max_batch_size,
        max_wait_ms=table.max_wait_ms,
        memory_budget_bytes=table.memory_budget_bytes,
        limits=PixelLimits(
            frame_bytes=table.max_frame_bytes,
            image_bytes=table.max_image_bytes,
            inflated_bytes=table.max_inflated_bytes,
            seconds=table.max_decode_seconds,
            frame_seconds=table.max_frame_seconds,
        ),
        guard_folder=settings.guard_dir,
    )


def build_work(
    settings: Settings,
    database: Database,
    *,
    on_lost: Callable[[], None] = lambda: None,
) -> pipeline.Work:
    """Wire what turns a job into a report; load the models that routes name."""
    from dicom_node.report.builder import StructuredReportBuilder
    from dicom_node.report.writers import object_writers

    builder = StructuredReportBuilder(
        node_version=__version__, station_name=settings.node.ae_title
    )
    executor = build_executor(settings, on_lost=on_lost)
    executor.warm(dict.fromkeys(route.model for route in settings.routes))
    reports = report_store(settings)
    return pipeline.Work(
        database=database,
        instances=instance_store(settings),
        executor=executor,
        writing=Writing(
            database=database,
            reports=reports,
            report_builder=builder,
            destinations=build_destinations(settings),
            clock=SystemClock(),
            objects={
                route.name: frozenset(ReportKind(kind) for kind in route.objects)
                for route in settings.routes
            },
            suggest=build_suggest(settings),
            writers={
                **object_writers(builder.equipment, executor.limits, executor.guard),
                **build_writers(settings, database, reports),
            },
        ),
        clock=SystemClock(),
        attempts=settings.work.job_attempts,
        retry=build_retry(settings),
    )


def build_outbox(settings: Settings, database: Database) -> pipeline.Outbox:
    """Wire what turns a delivery into an object in the PACS."""
    from dicom_node.report.leaving import faults_in

    work = settings.work
    return pipeline.Outbox(
        database=database,
        reports=report_store(settings),
        destinations=build_destinations(settings),
        retry=build_retry(settings),
        clock=SystemClock(),
        provers=provers_of(settings.destinations, settings.node.ae_title),
        faults=faults_in,
        breaker=BreakerPolicy(
            failures=work.breaker_failures,
            first=timedelta(seconds=work.breaker_first_seconds),
            longest=timedelta(seconds=work.breaker_longest_seconds),
        ),
    )
