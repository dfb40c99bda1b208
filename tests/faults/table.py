"""Write docs/reliability.md from the lines that the tests of faults and attacks wrote.

`scripts/reliability` runs the tests and this; no figure is typed by hand.
"""

import json
import os
import platform
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.faults.rows import ROUNDS, SEED
from tests.peers import PROJECT, find_tool

Row = dict[str, Any]

_HEAD = """# Reliability

What this node does when the machine, the network or a sender fails, or when a sender
means harm: one line per test, measured against `dicom-node receive` or `serve` as a
process of its own. After every fault a checker compares what each sender heard with
the database and with every byte on the disk: nothing acknowledged is lost, nothing is
stored twice, no part of an object lies under a final name. The ids are F (faults), B
(attacks) and R (lines of the scoreboard).

This page is generated: `scripts/reliability` runs the tests and writes it. What it
names "skipped" was refused by the machine it ran on, with the reason. What failed is
run a second time by itself; a row says when it held only then.
"""


def main(arguments: Sequence[str]) -> int:
    """Print the page made of a file of rows, and of the rows of what ran again."""
    first, *again = (_read(Path(name)) for name in arguments)
    for rows_again in again:
        _replace_failed(first, rows_again)
    rows = sorted(first, key=_order)
    if not rows:
        print("no test wrote a row", file=sys.stderr)
        return 1
    print("\n".join(page(rows)))
    return 0


def _read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _replace_failed(rows: list[Row], again: Iterable[Row]) -> None:
    """Put each row of what ran again in the place of its failure."""
    for row in again:
        for number, old in enumerate(rows):
            if old["outcome"] == "FAILED" and _name(old) == _name(row):
                rows[number] = row | {"again": True}
                break


def _name(row: Row) -> tuple[str, str, str]:
    return str(row["id"]), str(row.get("fault") or row.get("attack")), str(row["how"])


def page(rows: Sequence[Row]) -> Iterable[str]:
    """Make the lines of the page."""
    yield _HEAD
    yield "## Where and with what\n"
    for name, value in _machine().items():
        yield f"- {name}: {value}"
    yield "\n## Scoreboard\n"
    yield from _table(("line", "result"), _scoreboard(rows))
    for title, letters in (("Faults", "FR"), ("Attacks", "B")):
        yield f"\n## {title}\n"
        yield from _table(
            ("id", "what", "how", "expected", "measured", "s"),
            (_cells(row) for row in rows if row["id"][0] in letters),
        )


def _scoreboard(rows: Sequence[Row]) -> Iterable[tuple[str, str]]:
    """Add up what several tests measured."""
    crashes = [row for row in rows if row["id"] == "F01"]
    cuts = [row for row in rows if "cuts" in row["measured"] and row["id"] != "F07"]
    attacks = [row for row in rows if row["id"].startswith("B")]
    yield (
        "R1 crash points survived (named points, calls of the kernel, moments)",
        f"{_sum(_held(crashes), 'kills')} of {_sum(crashes, 'kills')}"
        + _warning(crashes),
    )
    yield (
        "R2 acknowledged and lost in power cuts",
        f"{_sum(cuts, 'lost')} of {_sum(cuts, 'acknowledged')} in "
        f"{_sum(cuts, 'cuts')} cuts" + _warning(cuts),
    )
    yield (
        "R3 broken or orphaned files after kill -9 and disk faults",
        str(_sum(rows, "broken or orphaned files")) + _warning(rows),
    )
    yield (
        "acknowledged, lost, doubled over all faults",
        ", ".join(str(_sum(rows, key)) for key in ("acknowledged", "lost", "doubled"))
        + _warning(rows),
    )
    yield "tests that held", _count(rows)
    if attacks:
        yield "R5 attacks held", _count(attacks)


def _warning(rows: Iterable[Row]) -> str:
    """Say that what failed is not in a sum: its test ended before it counted."""
    failed = sum(row["outcome"] == "FAILED" for row in rows)
    return f", and {failed} tests FAILED" if failed else ""


def _held(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["outcome"] == "held"]


def _count(rows: Sequence[Row]) -> str:
    ran = [row for row in rows if row["outcome"] != "skipped"]
    skipped = len(rows) - len(ran)
    return f"{len(_held(ran))} of {len(ran)}" + (f", {skipped} skipped" * bool(skipped))


def _sum(rows: Iterable[Row], key: str) -> int:
    return sum(int(row["measured"].get(key, 0)) for row in rows)


def _cells(row: Row) -> tuple[str, ...]:
    found = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in row["measured"].items()
    )
    outcome = str(row["outcome"]) + " in a second run" * bool(row.get("again"))
    return (
        str(row["id"]),
        str(row.get("fault") or row.get("attack")),
        str(row["how"]),
        str(row["expected"]),
        f"{outcome}: {found}" if found else outcome,
        f"{row['seconds']:.1f}",
    )


def _table(names: Sequence[str], lines: Iterable[Sequence[str]]) -> Iterable[str]:
    yield "| " + " | ".join(names) + " |"
    yield "|" + "---|" * len(names)
    for line in lines:
        cells = (cell.replace("|", "\\|").replace("\n", " ") for cell in line)
        yield "| " + " | ".join(cells) + " |"


def _order(row: Row) -> tuple[str, int, str, str]:
    """Sort F2 before F10, and the tests of one id by what they do."""
    parts = re.fullmatch(r"([A-Z]+)(\d+)(.*)", row["id"])
    letter, number, rest = parts.groups() if parts else (row["id"], "0", "")
    return letter, int(number), rest, str(row.get("fault") or row.get("attack"))


def _machine() -> dict[str, str]:
    """Say what a reader must know to judge the figures, and to repeat them."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "dicom-node": f"{version('dicom-node')}, commit "
        + _said("git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD"),
        "machine": f"{_processor()}, {os.cpu_count()} cores, "
        f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >> 30} GiB",
        "system": f"{platform.system()} {platform.release()}, Python "
        f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        + _said("postgres", "--version"),
        "tools": f"{_said('strace', '--version')}; {_said('mkfs.ext4', '-V')}",
        "seed": str(SEED),
        "command": f"`FAULT_ROUNDS={ROUNDS} DICOM_NODE_TEST_SEED={SEED} "
        "scripts/reliability`",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _said(tool: str, *arguments: str) -> str:
    """Return the first line that a program prints."""
    found = find_tool(tool)
    if found is None:
        return f"no {tool}"
    finished = subprocess.run(
        [found, *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    return next(iter((finished.stdout or finished.stderr).splitlines()), tool)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
