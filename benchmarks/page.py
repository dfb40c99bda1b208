"""The generated part of docs/benchmarks.md, and the same as a document for programs."""

import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import Plan
from benchmarks.processes import BenchmarkError
from benchmarks.receivers import OURS
from benchmarks.report_time import ReportTimes
from benchmarks.results import (
    Measured,
    MemoryFigure,
    RowResult,
    Verdict,
    memory_verdicts,
    row_verdicts,
)

BEGIN: Final = "<!-- figures: begin, written by python -m benchmarks -->"
END: Final = "<!-- figures: end -->"


@dataclass(slots=True, kw_only=True)
class Figures:
    """All that one run measured."""

    machine: dict[str, str]
    command: str
    plan: Plan
    rows: list[RowResult] = field(default_factory=list)
    memory: list[MemoryFigure] = field(default_factory=list)
    report: ReportTimes | None = None

    def verdicts(self) -> list[Verdict]:
        """Compare all with what is wanted."""
        found = [verdict for row in self.rows for verdict in row_verdicts(row)]
        return found + memory_verdicts(self.memory)


def write_page(path: Path, figures: Figures) -> None:
    """Replace what lies between the markers of a page.

    Raises:
        BenchmarkError: the page or its markers are not there.
    """
    replace_between(path, (BEGIN, END), markdown(figures))


def replace_between(path: Path, markers: tuple[str, str], content: str) -> None:
    """Replace what lies between two marker lines of a page.

    Raises:
        BenchmarkError: the page or its markers are not there.
    """
    begin, end = markers
    if not path.is_file():
        raise BenchmarkError(f"there is no page {path}")
    before, found_begin, rest = path.read_text("utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise BenchmarkError(f"{path} has no lines '{begin}' and '{end}'")
    path.write_text(f"{before}{begin}\n{content}{end}{after}", "utf-8")


def markdown(figures: Figures) -> str:
    """Write the figures as Markdown."""
    parts = [_facts(figures), _wanted(figures.verdicts())]
    parts += [_row(result) for result in figures.rows]
    if figures.memory:
        parts.append(_memory(figures.memory))
    if figures.report:
        parts.append(_report(figures.report))
    return "\n".join(part for part in parts if part)


def document(figures: Figures) -> dict[str, Any]:
    """Return the figures, each single round too, for programs."""
    return {
        "machine": figures.machine,
        "command": figures.command,
        "plan": asdict(figures.plan),
        "rows": [
            {
                "title": result.row.title,
                "image_bytes": result.image_bytes,
                "receivers": [asdict(cell) for cell in result.cells],
            }
            for result in figures.rows
        ],
        "memory": [asdict(figure) for figure in figures.memory],
        "report": asdict(figures.report) if figures.report else None,
        "wanted": [
            {**asdict(verdict), "reached": verdict.reached}
            for verdict in figures.verdicts()
        ],
    }


def cells_of(result: RowResult, cell: Measured) -> tuple[str, ...]:
    """Return a receiver's line: name, images/s, MiB/s, CPU, memory, ratio."""
    if not cell.samples or cell.problem:
        return (cell.receiver, cell.problem or "not measured", "", "", "", "")
    speed = cell.images_per_second
    ratio = None if cell.receiver == OURS else result.ratio(cell.receiver)
    return (
        cell.receiver,
        f"{speed:,.0f}" if speed >= 100 else f"{speed:.1f}",
        f"{speed * result.image_bytes / (1 << 20):,.0f}",
        f"{cell.cpu_seconds_per_1000:.2f}",
        "" if cell.memory_mib is None else f"{cell.memory_mib:.0f}",
        "" if ratio is None else f"{ratio:.2f} x",
    )


def verdict_cells(verdict: Verdict) -> tuple[str, str, str, str]:
    """Return a line: what, wanted, measured, tick or cross."""
    sign = "≤" if verdict.at_most else "≥"
    measured = "not measured"
    if verdict.measured is not None:
        measured = f"{verdict.measured:.2f} {verdict.unit}"
    mark = "✓" if verdict.reached else "✗"
    wanted = f"{sign} {verdict.wanted:g} {verdict.unit}"
    return verdict.what, wanted, measured, mark


HEADINGS: Final = ("receiver", "images/s", "MiB/s", "CPU s/1,000", "MiB", "ours is")


def _facts(figures: Figures) -> str:
    lines = [f"| {name} | {value} |" for name, value in figures.machine.items()]
    lines.append(f"| rounds, seconds each | {_plan(figures.plan)} |")
    lines.append(f"| command | `{figures.command}` |")
    return "\n".join(["| | |", "|---|---|", *lines, ""])


def _plan(plan: Plan) -> str:
    return f"{plan.rounds}, about {plan.seconds:g}"


def _wanted(verdicts: list[Verdict]) -> str:
    if not verdicts:
        return ""
    lines = ["### Wanted and measured", ""]
    lines += ["| figure | wanted | measured | |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(verdict_cells(one))} |" for one in verdicts]
    return "\n".join([*lines, ""])


def _row(result: RowResult) -> str:
    lines = [f"### {result.row.title}", ""]
    lines += [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    lines += [f"| {' | '.join(cells_of(result, one))} |" for one in result.cells]
    spoken = sorted({f"{one.receiver}: {one.tls}" for one in result.cells if one.tls})
    if spoken:
        lines += ["", "Negotiated: " + "; ".join(spoken) + "."]
    return "\n".join([*lines, ""])


def _memory(figures: list[MemoryFigure]) -> str:
    lines = ["### Memory of a receiver process", ""]
    lines += ["| images | associations | largest PSS, MiB |", "|---|---|---|"]
    lines += [
        f"| {one.kind} | {one.associations} | {one.largest_mib:.0f} |"
        for one in figures
    ]
    return "\n".join([*lines, ""])


def _report(report: ReportTimes) -> str:
    median = statistics.median(report.seconds)
    each = ", ".join(f"{value:.2f}" for value in report.seconds)
    return (
        "### From the end of the quiet time to the written report\n\n"
        f"{median:.2f} s with a tiny model ({each}).\n"
    )
