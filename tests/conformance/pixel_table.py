"""The table of every test file and its verdict, in docs/pixels.md.

python -m tests.conformance.pixel_table --write docs/pixels.md
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.pixel_files import SERIES, image_files, name_of
from tests.conformance.pixel_verdicts import Verdict, judge

BEGIN, END = "<!-- verdicts: begin -->", "<!-- verdicts: end -->"
MANUAL = Path(__file__).parents[2] / "docs/pixels.md"
_HEAD = "| file | transfer syntax | photometric | verdict | largest difference to |"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table, as text."""

    name: str
    syntax: str
    photometric: str
    outcome: str
    differences: dict[str, float]

    @property
    def line(self) -> str:
        """The line in Markdown."""
        told = ", ".join(
            f"{key} {value:.1g}" for key, value in self.differences.items()
        )
        cells = (self.name, self.syntax, self.photometric, self.outcome, told)
        return "| " + " | ".join(cells) + " |"

    @classmethod
    def read(cls, line: str) -> "Row":
        """Read a line back."""
        name, syntax, photometric, outcome, told = (
            cell.strip() for cell in line.strip("|").split("|")
        )
        pairs = (part.rpartition(" ") for part in told.split(", ") if part)
        return cls(
            name, syntax, photometric, outcome, {k: float(v) for k, _, v in pairs}
        )


def row_name(path: Path) -> str:
    """Name the row of a file: its own, or that of its series."""
    if path.parent.name in SERIES:
        return f"shared:{path.parent.name}/*"
    return name_of(path)


def make_row(path: Path, verdict: Verdict) -> Row:
    """Write a verdict as a row; what is wrong elsewhere is not counted."""
    right = {
        key: value
        for key, value in sorted(verdict.differences.items())
        if key not in verdict.wrong
    }
    return Row(
        row_name(path), verdict.syntax, verdict.photometric, verdict.outcome, right
    )


def merge(rows: list[Row]) -> list[Row]:
    """Make one row of the files of a series that end alike."""
    merged: dict[tuple[str, str], Row] = {}
    for row in rows:
        before = merged.setdefault((row.name, row.outcome), row)
        for key, value in row.differences.items():
            before.differences[key] = max(value, before.differences.get(key, 0.0))
    return list(merged.values())


def read_table(manual: Path = MANUAL) -> dict[str, list[Row]]:
    """Read the rows between the markers, by name."""
    text = manual.read_text()
    inside = text[text.index(BEGIN) : text.index(END)]
    rows: dict[str, list[Row]] = {}
    for line in inside.splitlines()[3:]:
        if line.startswith("|"):
            row = Row.read(line)
            rows.setdefault(row.name, []).append(row)
    return rows


def write_table(manual: Path) -> None:
    """Judge every file at hand and put the table between the markers."""
    rows = merge([make_row(path, judge(path)) for path in image_files()])
    lines = [BEGIN, _HEAD, "| --- | --- | --- | --- | --- |", *(r.line for r in rows)]
    text = manual.read_text()
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    manual.write_text(before + "\n".join(lines) + "\n" + after)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", type=Path, default=MANUAL)
    write_table(parser.parse_args().write)


if __name__ == "__main__":
    main()
