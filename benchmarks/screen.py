"""Progress and results on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from benchmarks.page import HEADINGS, Figures, cells_of, verdict_cells


@dataclass(slots=True)
class Steps:
    """A progress bar that is drawn only when told: no thread disturbs a measurement."""

    progress: Progress
    task: TaskID

    def next(self, what: str) -> None:
        """Begin the next step."""
        self.progress.update(self.task, advance=1, description=what)
        self.progress.refresh()


@contextmanager
def steps(total: int) -> Iterator[Steps]:
    """Show a progress bar on standard error."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(
        *columns, console=Console(stderr=True), auto_refresh=False, transient=True
    ) as progress:
        yield Steps(progress, progress.add_task("", total=total))


def show(figures: Figures) -> None:
    """Print the tables, the comparison with what is wanted last."""
    console = Console(highlight=False)
    for name, value in figures.machine.items():
        console.print(f"{name:<22}{value}")
    for result in figures.rows:
        table = Table(title=result.row.title, title_justify="left")
        for heading in HEADINGS:
            table.add_column(heading, justify="left" if not table.columns else "right")
        for cell in result.cells:
            table.add_row(*cells_of(result, cell))
        console.print(table)
    if figures.report:
        seconds = ", ".join(f"{value:.2f}" for value in figures.report.seconds)
        console.print(f"quiet time to written report, tiny model: {seconds} s")
    verdicts = figures.verdicts()
    if verdicts:
        table = Table(title="wanted and measured", title_justify="left")
        for heading in ("figure", "wanted", "measured", ""):
            table.add_column(heading)
        for verdict in verdicts:
            table.add_row(*verdict_cells(verdict))
        console.print(table)
