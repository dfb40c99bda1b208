"""One measurement in a process of its own, on chosen cores and so many threads.

    python -m benchmarks.alone TASK.json RESULT.json

The cores are chosen before numpy or torch is imported: their threads inherit them.
"""

import importlib
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from benchmarks.contest import Contest
    from benchmarks.measure import Plan

_LONGEST_SECONDS: Final = 1800.0
_INTERRUPTED: Final = 130
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to measure.

    Args:
        function: "module:function"; takes the task, returns contests.
        folder: its own, for files; on tmpfs where there is one.
        cores: that it may use.
        data: folder with further test data, "" for none.
    """

    function: str
    folder: str
    rounds: int
    seconds: float
    cores: tuple[int, ...]
    data: str = ""

    @property
    def plan(self) -> "Plan":
        """How long to measure."""
        from benchmarks.measure import Plan

        return Plan(rounds=self.rounds, seconds=self.seconds)


def measure_alone(task: Task) -> "list[Contest]":
    """Run the task in a process of its own, which ends with this one.

    Raises:
        BenchmarkError: it failed; says its last words.
    """
    from benchmarks.contest import contest_from
    from benchmarks.processes import BenchmarkError, start, wait_for
    from tests.peers import PROJECT

    folder = Path(task.folder)
    folder.mkdir(parents=True, exist_ok=True)
    told, result = folder / "task.json", folder / "result.json"
    told.write_text(json.dumps(asdict(task)))
    program = start(
        [sys.executable, "-m", "benchmarks.alone", told, result],
        log=folder / "log",
        folder=PROJECT,
    )
    try:
        wait_for(
            lambda: program.process.poll() is not None,
            what=f"{task.function} has measured",
            seconds=_LONGEST_SECONDS,
        )
        if program.process.returncode != 0:
            program.require_running()
        if not result.is_file():
            raise BenchmarkError(f"{task.function} measured nothing")
        return [contest_from(one) for one in json.loads(result.read_text())]
    finally:
        program.end()


def main(arguments: list[str]) -> int:
    """Read the task, measure, write what was found."""
    told, result = map(Path, arguments)
    read = json.loads(told.read_text())
    task = Task(**{**read, "cores": tuple(read["cores"])})
    signal.signal(signal.SIGTERM, _on_signal)
    os.sched_setaffinity(0, task.cores)
    for variable in _THREAD_VARIABLES:
        os.environ[variable] = str(len(task.cores))
    module, _, name = task.function.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)(task)
    except KeyboardInterrupt:  # what was started here has been ended
        return _INTERRUPTED
    result.write_text(json.dumps([asdict(contest) for contest in found]))
    return 0


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
