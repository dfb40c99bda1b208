"""`models bench`: which engine and precision is the fastest on this machine."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.table import Table

from config.settings import Settings
from dicom_node import app
from dicom_node.commands.screen import console, print_json
from dicom_node.core.errors import UsageError
from dicom_node.workers import bind_worker, count_workers
from inference.bundle import find_bundle

if TYPE_CHECKING:
    from inference.run.bench import Speed


def bench(options: argparse.Namespace, settings: Settings) -> int:
    """Measure a model with every engine; with --keep use the fastest from now on."""
    from inference.run import bench as measuring
    from inference.run.engines.engine import EngineSpec
    from inference.run.engines.recommended import keep, this_machine

    card = find_bundle(options.model, settings.models.folder)
    if card.python_class:
        raise UsageError("a Python class brings its own engine: nothing to choose")
    # With as many threads as each worker of the node has.
    workers = count_workers(settings.models)
    bound = bind_worker(settings, worker=1, workers=workers)
    measured = list(measuring.bench(card, app.run_options(bound)))
    best = measuring.recommend(measured)
    if options.keep:
        keep(settings.engines_file, card, EngineSpec(best.engine, best.precision))
    if options.json:
        print_json(
            {
                "model": card.name,
                "machine": this_machine(),
                "measured": [asdict(speed) for speed in measured],
                "recommended": {"engine": best.engine, "precision": best.precision},
                "kept": options.keep,
            }
        )
        return 0
    print(f"{card.name} on {best.device}: {this_machine()}")
    console().print(_table(measured))
    if any(speed.apart for speed in measured):
        print("apart: some layers image by image, so that batches change no score")
    print(f"recommended: {best.engine} {best.precision}")
    if options.keep:
        print('kept: engine = "auto" takes it on the CPU of this machine')
    else:
        print("run it with --keep to use that, or set models.engine and .precision")
    return 0


def _table(measured: "list[Speed]") -> Table:
    table = Table("engine", "images/s, one", "images/s, batch", "x fp32", "difference")
    base = measured[0].batched or 1.0
    for speed in measured:
        name = f"{speed.engine} {speed.precision}"
        if speed.unavailable:
            table.add_row(name, speed.unavailable)
            continue
        table.add_row(
            name,
            f"{speed.alone:.1f}",
            f"{speed.batched:.1f} of {speed.batch_size}{', apart' * speed.apart}",
            f"{speed.batched / base:.2f}",
            f"{speed.difference:.1e}",
        )
    return table
