"""`prune`: remove the files of studies that are done with."""

import argparse
import re
from contextlib import closing
from dataclasses import asdict
from datetime import timedelta
from typing import Final

from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

import db.old_records
from config.retention import parse_free
from config.settings import Settings
from db.engine import Database
from db.retention import Prunable
from dicom_node import app
from dicom_node.commands.screen import console, loaded, print_json
from dicom_node.core.clock import SystemClock
from dicom_node.core.errors import UsageError
from dicom_node.pruning import build_pruner, disk_bytes, rules_of
from dicom_node.store.prune import Pruned, PruneRules

_AGE: Final = re.compile(r"(\d{1,5}(?:\.\d{1,3})?)([hdw])")
_UNITS: Final = {"h": "hours", "d": "days", "w": "weeks"}
_MIB: Final = 1 << 20


def prune(options: argparse.Namespace) -> int:
    """Remove files by age, or until the disk has room; rows stay."""
    settings = loaded(options).settings
    rules = _rules(options, settings)
    records = _age(options.records_older_than)
    if not rules and records is None:
        raise UsageError(
            "say what may go: --older-than 30d, --until-free 20%, or keep_days and "
            "free in [retention]"
        )
    with closing(app.open_database(settings)) as database:
        found = Pruned()
        for one in rules:
            found = _together(found, _run(options, settings, database, one))
        rows = 0 if records is None else _records(options, database, records)
    _print(options, settings, found, rows)
    return 0


def _rules(options: argparse.Namespace, settings: Settings) -> tuple[PruneRules, ...]:
    """Return what the options say, else what [retention] says of files."""
    total, table = disk_bytes(settings), settings.retention
    if options.state:
        table = table.model_copy(update={"states": tuple(options.state)})
    age, free = _age(options.older_than), options.until_free
    if age is None and free is None:
        return () if options.records_older_than else rules_of(table, total_bytes=total)
    try:
        until = None if free is None else parse_free(free, total_bytes=total)
    except ValueError as error:
        raise UsageError(f"--until-free: {error}") from None
    if age is None:
        age = timedelta(hours=table.free_keep_hours)
    states = frozenset(Prunable(state) for state in table.states)
    return (PruneRules(states=states, older_than=age, until_free=until),)


def _age(text: str | None) -> timedelta | None:
    if text is None:
        return None
    found = _AGE.fullmatch(text)
    if found is None:
        raise UsageError("an age is written as 12h, 30d or 8w")
    return timedelta(**{_UNITS[found[2]]: float(found[1])})


def _run(
    options: argparse.Namespace,
    settings: Settings,
    database: Database,
    rules: PruneRules,
) -> Pruned:
    if options.dry_run:
        return build_pruner(settings, database).preview(rules)
    screen = console()
    with Progress(
        SpinnerColumn(),
        "{task.description}",
        TimeElapsedColumn(),
        console=screen,
        disable=options.json or not screen.is_terminal,
    ) as bar:
        task = bar.add_task("looking", total=None)

        def show(so_far: Pruned) -> None:
            bar.update(task, description=_say(so_far))

        return build_pruner(settings, database, on_pruned=show).run(rules)


def _records(
    options: argparse.Namespace, database: Database, older_than: timedelta
) -> int:
    before = SystemClock().now() - older_than
    if options.dry_run:
        return db.old_records.count_records(database, before=before)
    return db.old_records.remove_records(database, before=before)


def _together(one: Pruned, other: Pruned) -> Pruned:
    return Pruned(
        studies=one.studies + other.studies,
        files=one.files + other.files,
        size_bytes=one.size_bytes + other.size_bytes,
        states={
            state: one.states.get(state, 0) + other.states.get(state, 0)
            for state in Prunable
            if state in one.states or state in other.states
        },
    )


def _print(
    options: argparse.Namespace, settings: Settings, found: Pruned, rows: int
) -> None:
    free = app.instance_store(settings).free_bytes()
    if options.json:
        document = {**asdict(found), "records": rows, "free_bytes": free}
        print_json({"dry_run": options.dry_run, **document})
        return
    verb = "would remove" if options.dry_run else "removed"
    print(f"{verb} {_say(found)}")
    for state, count in found.states.items():
        print(f"  {count} {state.value}")
    if options.records_older_than:
        print(f"{verb} {rows} records")
    print(f"{free // _MIB} MiB are free")


def _say(found: Pruned) -> str:
    return (
        f"{found.files} files of {found.studies} studies, "
        f"{found.size_bytes / _MIB:.1f} MiB"
    )
