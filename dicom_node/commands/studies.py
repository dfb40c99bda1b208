"""`studies`: what was received and where it stands."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import chain
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

import db.queries
import db.schema
from db.summary import FindingSummary, JobSummary, StudySummary
from dicom_node.commands.screen import console, loaded, print_json

_WIDEST: Final = 1 << 16  # of a table that no screen bounds


def studies(options: argparse.Namespace) -> int:
    """Print all studies, oldest first."""
    url = loaded(options).settings.database.url
    with closing(db.schema.open_checked(url)) as database:
        listed = db.queries.studies(database)
    if options.json:
        print_json(listed)
        return 0
    screen = console()
    if not listed:
        screen.print(
            "nothing was received yet: point the PACS at this node, or try "
            "`dicom-node send FOLDER`"
        )
        return 0
    print_studies(listed, screen)
    screen.print("`dicom-node show UID` tells a study's whole story")
    return 0


def print_studies(listed: Sequence[StudySummary], screen: Console) -> None:
    """Print a table, or where it does not fit a paragraph for each study."""
    table = Table(box=None, pad_edge=False)
    for name in ("study", "accession", "state", "rev", "inst", "model", "result"):
        table.add_column(name, overflow="fold")
    table.add_column("delivered", overflow="fold")
    rows = [(study, _rows(study)) for study in listed]
    for row in chain.from_iterable(cells for _, cells in rows):
        table.add_row(*row)
    unbounded = screen.options.update(max_width=_WIDEST)
    if screen.measure(table, options=unbounded).maximum <= screen.width:
        screen.print(table)
        return
    for study, cells in rows:  # a UID is whole: it is there to be copied
        screen.print(study["study_instance_uid"])
        for line in _paragraph(study, cells):
            screen.print(Padding(line, (0, 0, 0, 2), expand=False))


def _paragraph(study: StudySummary, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    accession = study["accession_number"]
    yield (
        f"{study['state']}, revision {study['revision']}, "
        f"{study['instances']} instances"
        + (f", accession number {accession}" if accession else "")
    )
    for *_, model, result, delivered in rows:
        if said := ": ".join(filter(None, (model, result))):
            yield said
        if delivered:
            yield f"delivered: {delivered}"


def _rows(study: StudySummary) -> list[tuple[str, ...]]:
    head = (
        study["study_instance_uid"],
        study["accession_number"],
        study["state"],
        str(study["revision"]),
        str(study["instances"]),
    )
    if not study["jobs"]:
        return [(*head, "", study["ignored_because"] or "", "")]
    rows = [
        (job["model"], describe_job(job), describe_deliveries(job))
        for job in study["jobs"]
    ]
    blank = ("",) * len(head)
    return [(*(head if n == 0 else blank), *row) for n, row in enumerate(rows)]


def describe_job(job: JobSummary) -> str:
    """Say in a few words what a job came to."""
    if job["outcome"] is None:
        return " ".join(filter(None, (job["state"], job["reason"])))
    parts = [
        f"{item['meaning']} {describe_value(item, 2)}" for item in job["findings"][:3]
    ]
    outcome = job["outcome"]
    if job["findings"] and all(is_measured(item) for item in job["findings"]):
        outcome = "measured"
    return ": ".join(filter(None, (outcome, ", ".join(parts) or job["reason"] or "")))


def is_measured(finding: FindingSummary) -> bool:
    """Say whether it is a value on which nothing was to be decided."""
    return finding["value"] is not None and finding["present"] is None


def describe_finding(finding: FindingSummary) -> str:
    """Say in a line what the model says of one target condition."""
    if is_measured(finding):
        return f"{finding['meaning']}: {describe_value(finding, 4)}"
    what = "probability" if finding["value"] is None else "value"
    verdict = {True: "present", False: "absent", None: "undetermined"}
    return (
        f"{finding['meaning']}: {what} {describe_value(finding, 4)}, "
        f"{verdict[finding['present']]}"
    )


def describe_value(finding: FindingSummary, decimals: int) -> str:
    """Say the measured value with its unit, or the probability."""
    if finding["value"] is not None:
        return f"{finding['value']:.6g} {finding['unit'] or ''}".rstrip()
    return f"{finding['probability']:.{decimals}f}"


def describe_deliveries(job: JobSummary) -> str:
    """Say in a few words where a job's report went."""
    return ", ".join(
        f"{item['kind']} to {item['destination']} {item['state']}"
        + (f" {item['status']}" if item["status"] else "")
        + (f" ({shown})" if (shown := item["proof"] or item["stage"]) else "")
        for item in job["deliveries"]
    )
