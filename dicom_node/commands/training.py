"""`train` and `evaluate`: make and measure a bundle."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from dicom_node.commands.screen import print_json
from dicom_node.core.errors import UsageError
from inference.training.options import Progress as Step
from inference.training.options import TrainOptions

_GIVEN = {
    "data": "data",
    "output": "output",
    "base": "base_weights",
    "epochs": "epochs",
    "image_size": "size",
    "batch_size": "batch_size",
    "seed": "seed",
    "threads": "threads",
}


def train(options: argparse.Namespace) -> int:
    """Fine-tune a bundle; goes on from the checkpoint of a run that was cut off."""
    from inference.training.train import train as run

    given: dict[str, Any] = {
        name: getattr(options, option)
        for option, name in _GIVEN.items()
        if getattr(options, option) is not None
    }
    for name in ("data", "base_weights"):
        if not given[name].exists():
            raise UsageError(f"there is no {given[name]}")
    _make_folder(options.output)
    known = {field.name for field in fields(TrainOptions)}
    wanted = {key: value for key, value in given.items() if key in known}
    with _bar() as report:
        result = run(TrainOptions(**wanted, resume=not options.restart), report)
    figures = {
        name: {"estimate": item.estimate, "low": item.low, "high": item.high}
        for name, item in result.figures
    }
    if options.json:
        print_json(
            {
                "bundle": str(result.bundle),
                "steps": result.steps,
                "seconds": result.seconds,
                "validation": figures,
            }
        )
        return 0
    print(f"{result.bundle}: {result.steps} steps in {result.seconds:.0f} s")
    _print_figures(figures)
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Measure a bundle on a folder with one sub-folder of images per class."""
    from inference.training.evaluate import evaluate as run

    for path in (options.bundle, options.data):
        if not path.is_dir():
            raise UsageError(f"there is no folder {path}")
    if options.output:
        _make_folder(options.output)
    with _bar() as report:
        measured = run(
            options.bundle,
            options.data,
            seed=options.seed,
            resamples=options.resamples,
            output=options.output,
            report=report,
        )
    document = measured.to_json()
    if options.json:
        print_json(document)
        return 0
    print(f"{document['n']} images, operating point {document['operating_point']:.4f}")
    for left in document["unreadable"]:
        print(f"  left out: {left['file']} ({left['reason']})")
    _print_figures(document)
    if options.output:
        print(f"plots and figures are in {options.output}")
    return 0


def _make_folder(folder: Path) -> None:
    """Make the output folder before the work: minutes of it would be lost."""
    remedy = "give --output a folder that may be written"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the output folder cannot be made ({type(error).__name__}): {remedy}"
        ) from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"the output folder may not be written: {remedy}")


def _print_figures(figures: dict[str, Any]) -> None:
    for name, item in figures.items():
        if isinstance(item, dict) and {"estimate", "low", "high"} <= item.keys():
            print(
                f"  {name}: {item['estimate']:.4f} "
                f"(95 % interval {item['low']:.4f} to {item['high']:.4f})"
            )


@contextmanager
def _bar() -> Iterator[Callable[[Step], None]]:
    """Draw the progress on standard error, so that --json stays one document."""
    screen = Console(file=sys.stderr)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=screen,
        disable=not screen.is_terminal,
    ) as bar:
        tasks: dict[str, Any] = {}

        def report(step: Step) -> None:
            text = step.stage + (f" loss {step.loss:.3f}" if step.loss else "")
            if step.stage not in tasks:
                tasks[step.stage] = bar.add_task(text, total=step.total)
            bar.update(
                tasks[step.stage],
                description=text,
                completed=step.done,
                total=step.total,
            )

        yield report
