"""Retention at work: what goes, by hand or by `serve`."""

import logging
import os
from collections.abc import Callable
from datetime import timedelta

import db.instances
import db.old_records
from config.retention import RetentionTable, parse_free
from config.settings import Settings
from db.engine import Database
from db.retention import Prunable
from dicom_node import app
from dicom_node.core.clock import SystemClock
from dicom_node.core.errors import NodeError, StoreError
from dicom_node.observe.role_metrics import DeliverMetrics
from dicom_node.stop import Stop
from dicom_node.store.orphans import ORPHAN_SECONDS, remove_orphans
from dicom_node.store.prune import Pruned, Pruner, PruneRules

log = logging.getLogger("dicom_node.store")


def build_pruner(
    settings: Settings,
    database: Database,
    *,
    stopped: Callable[[], bool] = lambda: False,
    on_pruned: Callable[[Pruned], None] = lambda _so_far: None,
) -> Pruner:
    """Wire what removes files to the stores."""
    return Pruner(
        database=database,
        instances=app.instance_store(settings),
        reports=app.report_store(settings),
        clock=SystemClock(),
        stopped=stopped,
        on_pruned=on_pruned,
    )


def disk_bytes(settings: Settings) -> int:
    """Return how large the disk of the instances is.

    Raises:
        StoreError: the folder is gone.
    """
    try:
        found = os.statvfs(settings.instances_dir)
    except OSError:
        raise StoreError("the folder of instances is gone: mount it") from None
    return found.f_blocks * found.f_frsize


def rules_of(table: RetentionTable, *, total_bytes: int) -> tuple[PruneRules, ...]:
    """Return what the [retention] table says of files."""
    states = frozenset(Prunable(state) for state in table.states)
    rules = []
    if table.keep_days:
        kept = timedelta(days=table.keep_days)
        rules.append(PruneRules(states=states, older_than=kept))
    if table.free:
        rules.append(
            PruneRules(
                states=states,
                older_than=timedelta(hours=table.free_keep_hours),
                until_free=parse_free(table.free, total_bytes=total_bytes),
            )
        )
    return tuple(rules)


def prune_records(database: Database, table: RetentionTable) -> int:
    """Remove the rows that the [retention] table lets go; return how many."""
    now, removed = SystemClock().now(), 0
    if table.records_days:
        before = now - timedelta(days=table.records_days)
        removed += db.old_records.remove_records(database, before=before)
    if table.audit_days:
        before = now - timedelta(days=table.audit_days)
        removed += db.old_records.remove_audit(database, before=before)
    return removed


def prune_loop(
    settings: Settings, database: Database, metrics: DeliverMetrics, stop: Stop
) -> None:
    """Look from time to time, until told to stop, for what may go."""
    table = settings.retention
    before = Pruned()

    def count(so_far: Pruned) -> None:
        nonlocal before
        metrics.pruned(so_far.size_bytes - before.size_bytes)
        before = so_far

    pruner = build_pruner(
        settings, database, stopped=lambda: stop.asked, on_pruned=count
    )
    while not stop.asked:
        try:
            for rules in rules_of(table, total_bytes=disk_bytes(settings)):
                before = Pruned()
                pruner.run(rules)
            prune_records(database, table)
        except NodeError as error:
            log.error("retention stopped", extra={"error": type(error).__name__})
        stop.wait(table.every_minutes * 60)


def tidy_reports(settings: Settings, database: Database) -> None:
    """Remove files of reports that no row names: their worker died before that.

    A day passes before, and the next start does what this one could not.
    """
    keys = db.instances.known_report_keys(database)
    store = app.report_store(settings)
    try:
        removed = remove_orphans(store, keys, older_seconds=ORPHAN_SECONDS)
    except Exception as error:  # noqa: BLE001 - a thread's edge
        log.error("reports not looked through", extra={"error": type(error).__name__})
        return
    if removed:
        log.warning("reports without a row removed", extra={"count": removed})
