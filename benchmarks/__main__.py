"""Measure the node on this machine: `make bench`, or `python -m benchmarks`.

Without a command everything is measured. Every program that is started ends with the
run, Ctrl-C included, and temporary folders are removed.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from benchmarks import soak
from benchmarks.inference_page import (
    InferenceFigures,
    inference_document,
    show_inference,
    write_section,
)
from benchmarks.inference_run import COMMANDS, measure_inference
from benchmarks.machine import command_line, describe, describe_inference, places
from benchmarks.measure import Place, Plan, measure_row, steps_of
from benchmarks.memory import CASES, measure_memory
from benchmarks.page import Figures, document, write_page
from benchmarks.processes import BenchmarkError
from benchmarks.report_time import measure_report_time
from benchmarks.rows import Row, chosen
from benchmarks.screen import show, steps
from tests.peers import PROJECT

_INTERRUPTED = 130
_DATA = PROJECT.parent / "shared" / "data" / "cxr" / "fullres"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the page if asked; 0 when it could be measured."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _on_signal)
    try:
        if options.command == "soak":
            return soak.run(soak.plan_of(options), options.folder)
        if options.command in COMMANDS or options.command == "inference":
            return _inference(options, given)
        with places(options.folder, tls=True) as place:
            figures = _measure(options, place, command_line(given))
        if options.json:
            print(json.dumps(document(figures), indent=2))
        else:
            show(figures)
        if options.write:
            write_page(options.write, figures)
    except BenchmarkError as error:
        print(f"python -m benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0


def _inference(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Measure one command of inference, or all; a page keeps what was written last."""
    names = tuple(COMMANDS) if options.command == "inference" else (options.command,)
    with places(options.folder, tls=False) as place:
        for name in names:
            plan = _plan(options)
            with steps(len(COMMANDS[name])) as bar:
                figures = InferenceFigures(
                    name=name,
                    machine=describe_inference(),
                    command=command_line([name, *given[1:]]),
                    plan=plan,
                    contests=measure_inference(
                        name, place, plan, data=options.data, on_step=bar.next
                    ),
                )
            if options.json:
                print(json.dumps(inference_document(figures), indent=2))
            else:
                show_inference(figures)
            if options.write:
                write_section(options.write, figures)
    return 0


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        rounds=options.rounds or (3 if options.quick else 5),
        seconds=options.seconds or (0.4 if options.quick else 1.0),
    )


def _measure(options: argparse.Namespace, place: Place, command: str) -> Figures:
    begun = time.monotonic()
    plan = _plan(options)
    figures = Figures(machine=describe(place), command=command, plan=plan)
    if options.command in {"all", "receive"}:
        rows = chosen(options.durability, options.only)
        if not rows and options.only:
            raise BenchmarkError(f"no row is called '{options.only}'")
        _measure_receiving(figures, rows, place)
    if options.command in {"all", "memory"}:
        with steps(len(CASES)) as bar:
            figures.memory = measure_memory(place, bar.next)
    if options.command in {"all", "report"}:
        figures.report = measure_report_time(place.disk, rounds=plan.rounds)
    figures.machine["took"] = f"{(time.monotonic() - begun) / 60:.1f} min"
    return figures


def _measure_receiving(figures: Figures, rows: tuple[Row, ...], place: Place) -> None:
    with steps(sum(steps_of(row, figures.plan) for row in rows)) as bar:
        for row in rows:

            def on_step(receiver: str, title: str = row.title) -> None:
                bar.next(f"{title}: {receiver}")

            figures.rows.append(measure_row(row, place, figures.plan, on_step))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "command",
        nargs="?",
        default="all",
        choices=("all", "receive", "memory", "report", "soak", "inference", *COMMANDS),
        help="all: of receiving; receive: side by side with other receivers; memory: "
        "of our receiver processes; report: from the last image to the report; soak: "
        "for as long as you like, with a check at the end; inference: all of the "
        "following; prepare, window, decode: the parts of an image's way; engines: "
        "what runs a model; node, predict: from C-STORE to tensors or predictions; "
        "latency: of one radiograph's report",
    )
    parser.add_argument(
        "--folder", type=Path, help="where what syncs is measured: a folder on a disk"
    )
    measured = parser.add_argument_group("measuring")
    measured.add_argument("--quick", action="store_true", help="fewer, shorter rounds")
    measured.add_argument("--rounds", type=int, help="rounds of every receiver")
    measured.add_argument("--seconds", type=float, help="of a round, about")
    measured.add_argument("--json", action="store_true", help="print JSON")
    measured.add_argument("--write", type=Path, help="page to write the figures into")
    measured.add_argument(
        "--durability", choices=("both", "process-crash", "power-loss"), default="both"
    )
    measured.add_argument(
        "--only", default="", help="rows whose title has all these words"
    )
    measured.add_argument(
        "--data", type=Path, default=_DATA, help="radiographs for `decode`, if there"
    )
    soak.add_options(parser.add_argument_group("soak"))
    return parser


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
