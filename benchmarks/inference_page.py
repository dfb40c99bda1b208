"""The inference sections of docs/benchmarks.md, one for each command."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.contest import Contest
from benchmarks.measure import Plan
from benchmarks.page import replace_between, verdict_cells
from benchmarks.results import Verdict

HEADINGS: Final = ("", "images/s", "lowest", "highest", "times")


@dataclass(slots=True, kw_only=True)
class InferenceFigures:
    """All that one run of one command measured."""

    name: str
    machine: dict[str, str]
    command: str
    plan: Plan
    contests: list[Contest]

    def verdicts(self) -> list[Verdict]:
        """Compare all with what is wanted."""
        return [one for contest in self.contests for one in contest.verdicts()]


def markers(name: str) -> tuple[str, str]:
    """Return the lines between which the figures of a command lie."""
    begin = f"<!-- {name}: begin, written by python -m benchmarks {name} -->"
    return begin, f"<!-- {name}: end -->"


def write_section(path: Path, figures: InferenceFigures) -> None:
    """Replace the figures of this command on a page; all others stay.

    Raises:
        BenchmarkError: the page or the command's markers are not there.
    """
    replace_between(path, markers(figures.name), markdown(figures))


def markdown(figures: InferenceFigures) -> str:
    """Write the figures as Markdown."""
    facts = ", ".join(f"{name} {value}" for name, value in figures.machine.items())
    plan = figures.plan
    parts = [
        f"`{figures.command}`: {facts}; {plan.rounds} rounds of about "
        f"{plan.seconds:g} s.\n"
    ]
    if verdicts := figures.verdicts():
        parts.append(_table(("figure", "wanted", "measured", ""), verdicts))
    parts += [_contest(contest) for contest in figures.contests]
    return "\n".join(parts)


def inference_document(figures: InferenceFigures) -> dict[str, Any]:
    """Return the figures, each single round too, for programs."""
    return {
        "machine": figures.machine,
        "command": figures.command,
        "plan": asdict(figures.plan),
        "contests": [asdict(contest) for contest in figures.contests],
        "wanted": [
            {**asdict(one), "reached": one.reached} for one in figures.verdicts()
        ],
    }


def show_inference(figures: InferenceFigures) -> None:
    """Print the tables, the comparison with what is wanted last."""
    console = Console(highlight=False)
    for contest in figures.contests:
        table = Table(*HEADINGS, title=contest.title, title_justify="left")
        for cells in _lines(contest):
            table.add_row(*cells)
        shown = table if contest.entries else contest.title
        console.print(shown, *contest.remarks, sep="\n")
    if verdicts := figures.verdicts():
        table = Table("figure", "wanted", "measured", "", title="wanted and measured")
        for verdict in verdicts:
            table.add_row(*verdict_cells(verdict))
        console.print(table)


def _contest(contest: Contest) -> str:
    lines = [f"#### {contest.title}", ""]
    if contest.entries:
        lines += [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
        lines += [f"| {' | '.join(cells)} |" for cells in _lines(contest)]
        lines.append("")
    lines += [*contest.remarks, ""] if contest.remarks else []
    return "\n".join(lines)


def _lines(contest: Contest) -> list[tuple[str, ...]]:
    """One line for each entry: median, extremes, and how it stands to the first."""
    found: list[tuple[str, ...]] = []
    first = contest.entries[0].name if contest.entries else ""
    for entry in contest.entries:
        if entry.problem or not entry.rates:
            found.append((entry.name, entry.problem or "not measured", "", "", ""))
            continue
        rates = (entry.rate, min(entry.rates), max(entry.rates))
        ratio = contest.ratio(entry.name, first) if entry.name != first else None
        found.append(
            (
                entry.name,
                *(f"{rate:,.0f}" if rate >= 100 else f"{rate:.2f}" for rate in rates),
                "" if ratio is None else f"{ratio:.2f} x",
            )
        )
    return found


def _table(headings: tuple[str, ...], verdicts: list[Verdict]) -> str:
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    lines += [f"| {' | '.join(verdict_cells(one))} |" for one in verdicts]
    return "\n".join([*lines, ""])
