"""What the demo tells: every step with the seconds since the start."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

_TIME_WIDTH = 9


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the story."""

    seconds: float
    text: str


class Bar:
    """How far a long step is; shown on a terminal only."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total)

    def show(self, done: int, text: str = "") -> None:
        """Show how much is done."""
        self._progress.update(self._task, completed=done, description=text)


class Story:
    """Prints steps: aligned on a terminal, plain lines without one.

    Args:
        silent: keep the steps, print nothing.
    """

    def __init__(self, console: Console, *, silent: bool = False) -> None:
        self._console = console
        self._silent = silent
        self._started = time.monotonic()
        self.steps: list[Step] = []

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def step(self, text: str, style: str = "") -> None:
        """Tell what has just happened."""
        self.steps.append(Step(round(self.seconds, 3), text))
        self._row(f"{self.seconds:6.1f} s", text, style)

    def say(self, text: str = "", style: str = "") -> None:
        """Tell something that is no step."""
        if not self._silent:
            self._console.print(Text(text, style=style))

    def point(self, mark: str, text: str, style: str = "") -> None:
        """Tell one point of a list."""
        self._row(f"  {mark}", text, style)

    @contextmanager
    def bar(self, text: str, total: int) -> Iterator[Bar]:
        """Show a progress bar while a long step lasts."""
        progress = Progress(
            TextColumn(" " * _TIME_WIDTH + text),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            disable=self._silent or not self._console.is_terminal,
            transient=True,
        )
        with progress:
            yield Bar(progress, total)

    def lines(self, texts: Sequence[str]) -> None:
        """Print lines as they are, to be copied."""
        for text in texts:
            if not self._silent:
                self._console.print(Text(text), soft_wrap=True)

    def _row(self, left: str, text: str, style: str) -> None:
        if self._silent:
            return
        if not self._console.is_terminal:
            self.lines([f"{left:<{_TIME_WIDTH}} {text}"])
            return
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=_TIME_WIDTH)
        grid.add_column(overflow="fold")
        grid.add_row(Text(left, style="dim"), Text(text, style=style))
        self._console.print(grid)
