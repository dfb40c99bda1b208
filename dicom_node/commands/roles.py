"""`serve` and the roles receive, work and deliver; and `migrate`."""

import argparse
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import db.schema
from config.load import Loaded, armed_fault, service_variables
from config.settings import Settings
from dicom_node import __version__, app, pruning, service, watching
from dicom_node.alone import only_serve
from dicom_node.bell import DELIVER, WORK
from dicom_node.commands.carry_out import carry_out
from dicom_node.commands.screen import loaded
from dicom_node.core.clock import SystemClock
from dicom_node.core.errors import ConfigError
from dicom_node.core.loading import uncollected
from dicom_node.forked import Role
from dicom_node.lanes import Lanes
from dicom_node.loops import Loop, run_loops
from dicom_node.observe.logs import configure_logs
from dicom_node.observe.metrics import RECEIVE
from dicom_node.observe.systemd import ServiceManager
from dicom_node.receive.faults import arm
from dicom_node.receiving import Receiver
from dicom_node.stop import Stop
from dicom_node.streams import leave_at_once
from dicom_node.supervise import LISTENING, Supervisor
from dicom_node.workers import (
    bind_worker,
    calm_threads,
    count_workers,
    name_workers,
    settle_memory,
    worker_arguments,
)
from inference.bundle_parts import remove_left_parts
from inference.pixels import faults

log = logging.getLogger("dicom_node.roles")

EXIT_DEVICE_LOST = 3
# Roles whose command has another name.
_ARGUMENTS = {"proxy": ["worklist", "proxy"]}


def serve(options: argparse.Namespace) -> int:
    """Run the node, each role in a process of its own."""
    found = start_role(options)
    settings, node = found.settings, found.settings.node
    service_manager = service_variables(os.getpid())
    if left := remove_left_parts(settings.models.folder):
        log.warning("unfinished bundles removed", extra={"count": left})

    workers = count_workers(settings.models)

    def role(name: str) -> Role:
        config = ["--config", str(found.file)] if found.file else []
        arguments = _ARGUMENTS.get(name, [name])
        if name.startswith(WORK):
            arguments = worker_arguments(name, workers)
        words = [sys.executable, "-m", "dicom_node", *arguments, *config]
        return Role(run=partial(_run_role, name, found, workers), words=words)

    def on_ready(address: str) -> None:
        # A full disk that takes no line must not keep the node from working.
        with contextlib.suppress(OSError):
            print(
                f"ready {node.ae_title} {address} dicom-node {__version__}", flush=True
            )

    supervisor = Supervisor(
        roles=(
            "receive",
            *(["web"] if settings.web.port else []),
            *(["proxy"] if settings.worklist.proxy.port is not None else []),
            *name_workers(workers),
            "deliver",
        ),
        role=role,
        drain_seconds=settings.work.drain_seconds,
        on_ready=on_ready,
        metrics_dir=settings.metrics_dir,
        manager=ServiceManager(
            service_manager.notify_socket, service_manager.watchdog_seconds
        ),
    )
    sqlite = settings.database.url.startswith("sqlite")
    with only_serve(settings.metrics_dir.parent, on_this_host=not sqlite):
        return supervisor.run()


def _run_role(name: str, found: Loaded, workers: int) -> int:
    """Carry a role out in a child of `serve`; it reads the configuration anew."""
    kind, _, number = name.partition("-")
    options = argparse.Namespace(
        config=found.file, worker=int(number or 1), workers=workers
    )
    return carry_out(_role_of(kind), options)


def _role_of(kind: str) -> Callable[[argparse.Namespace], int]:
    if kind == "web":
        from dicom_node.commands.web import web

        return web
    if kind == "proxy":
        from dicom_node.commands.proxy import proxy

        return proxy
    return {RECEIVE: receive, WORK: work, DELIVER: deliver}[kind]


def receive(options: argparse.Namespace) -> int:
    """Run the C-STORE SCP."""
    settings = start_role(options).settings
    fault = armed_fault()
    if fault and not fault.startswith(faults.PREFIX):
        arm(fault)
    stop = Stop().install()
    receiver = Receiver.open(settings)
    for address in receiver.addresses:
        log.info("listening", extra={"host": address})
    print(f"{LISTENING} {receiver.addresses[0]}", flush=True)
    return receiver.run(stop)


def work(options: argparse.Namespace) -> int:
    """Complete studies, route them and infer."""
    calm_threads()
    settings = bind_worker(
        start_role(options).settings, worker=options.worker, workers=options.workers
    )
    if (fault := armed_fault()).startswith(faults.PREFIX):
        faults.arm(fault)
    _remove_dead_parts(settings)
    stop = Stop().install()
    lost, loaded = threading.Event(), threading.Event()
    database = app.open_database(settings)
    threading.Thread(
        target=pruning.tidy_reports, args=(settings, database), name="tidy", daemon=True
    ).start()
    metrics = watching.work_metrics(settings)
    router = watching.watched_router(settings, database, metrics)
    clock = SystemClock()

    def complete() -> None:
        service.complete_loop(settings, database, router, clock=clock, stop=stop)

    def on_lost() -> None:
        lost.set()
        stop.set()

    def jobs() -> None:
        # Imports torch and loads models: takes a while.
        with uncollected():
            parts = watching.watched_work(
                app.build_work(settings, database, on_lost=on_lost), metrics
            )
        settle_memory()
        loaded.set()

        def loop() -> None:
            service.job_loop(settings, parts, clock=clock, stop=stop)

        names = [f"jobs-{n}" for n in range(settings.work.jobs_at_once)]
        try:
            run_loops([Loop(name, loop) for name in names], stop)
        finally:
            parts.executor.close()

    ended = run_loops(
        [Loop("complete", complete), Loop("jobs", jobs, ready=loaded)], stop
    )
    metrics.close()
    database.close()
    if not ended:
        leave_at_once()  # torch would abort in the thread that still loads
    # Only a new process gets the device back; `serve` starts one.
    return EXIT_DEVICE_LOST if lost.is_set() else 0


def _remove_dead_parts(settings: Settings) -> None:
    """Remove what a worker that died left of a report; a disk's fault waits."""
    try:
        removed = app.report_store(settings).remove_dead_parts()
    except OSError as error:
        log.error("reports not looked through", extra={"error": type(error).__name__})
        return
    if removed:
        log.warning("unfinished reports removed", extra={"count": removed})


def deliver(options: argparse.Namespace) -> int:
    """Send reports to their destinations."""
    settings = start_role(options).settings
    stop = Stop().install()
    database = app.open_database(settings)
    metrics = watching.deliver_metrics(settings)
    outbox = replace(app.build_outbox(settings, database), counters=metrics)
    settle_memory()

    lanes = Lanes()

    def deliveries() -> None:
        service.delivery_loop(
            settings, outbox, clock=SystemClock(), stop=stop, lanes=lanes
        )

    def prune() -> None:
        pruning.prune_loop(settings, database, metrics, stop)

    # A destination that hangs must not hold up the others.
    threads = min(app.OUTBOX_THREADS_MAX, max(1, len(settings.destinations)))
    loops = [Loop(f"deliver-{n}", deliveries) for n in range(threads)]
    if settings.retention.active:
        loops.append(Loop("prune", prune))
    run_loops(loops, stop)
    metrics.close()
    database.close()
    return 0


def migrate(options: argparse.Namespace) -> int:
    """Bring the database schema up to date."""
    settings = loaded(options).settings
    _make_folders(settings)
    if db.schema.create_if_new(settings.database.url):
        print("created a new database schema")
        return 0
    before, after = db.schema.migrate(settings.database.url)
    print(
        f"the schema is up to date ({after})"
        if before == after
        else f"migrated the schema from {before} to {after}"
    )
    return 0


def start_role(options: argparse.Namespace) -> Loaded:
    """Read the settings, set up logs, folders and the schema of a new database."""
    found = loaded(options)
    configure_logs(found.settings.node.log_level)
    _make_folders(found.settings)
    db.schema.create_if_new(found.settings.database.url)
    db.schema.check(found.settings.database.url)
    return found


def _make_folders(settings: Settings) -> None:
    for folder in (
        settings.node.data_dir,
        settings.instances_dir,
        settings.reports_dir,
    ):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigError(
                f"the folder {folder} cannot be made ({error.strerror}): "
                "set node.data_dir to a folder that this user may write"
            ) from error
