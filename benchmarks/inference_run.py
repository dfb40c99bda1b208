"""The measurements of inference by their command, and the cores each may use."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.alone import Task, measure_alone
from benchmarks.contest import Contest
from benchmarks.measure import Place, Plan

OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One measurement.

    Args:
        cores: that it may use, at most.
    """

    function: str
    cores: int


# Command -> its measurements, in this order on the page.
COMMANDS: Final[dict[str, tuple[Part, ...]]] = {
    "prepare": (Part(function="benchmarks.prepare:measure", cores=1),),
    "window": (Part(function="benchmarks.window:measure", cores=1),),
    "decode": (
        Part(function="benchmarks.decode:measure", cores=1),
        Part(function="benchmarks.decode:measure_scaling", cores=2),
        Part(function="benchmarks.reduced:measure", cores=1),
    ),
    "engines": (Part(function="benchmarks.engines:measure", cores=2),),
    "node": (Part(function="benchmarks.node:measure", cores=2),),
    "predict": (Part(function="benchmarks.predict:measure", cores=2),),
    "latency": (Part(function="benchmarks.latency:measure", cores=2),),
}


def measure_inference(
    command: str, place: Place, plan: Plan, *, data: Path, on_step: OnStep
) -> list[Contest]:
    """Measure all parts of a command, each in a process of its own.

    Raises:
        BenchmarkError: a part failed; says its last words.
    """
    found: list[Contest] = []
    for number, part in enumerate(COMMANDS[command]):
        on_step(f"{command}: {part.function.partition(':')[2]}")
        task = Task(
            function=part.function,
            folder=str(place.memory / f"{command}-{number}"),
            rounds=plan.rounds,
            seconds=plan.seconds,
            cores=choose_cores(part.cores),
            data=str(data) if data.is_dir() else "",
        )
        found += measure_alone(task)
    return found


def choose_cores(number: int) -> tuple[int, ...]:
    """Choose the last cores: the first is the one that interrupts like best."""
    return tuple(sorted(os.sched_getaffinity(0))[-number:])
