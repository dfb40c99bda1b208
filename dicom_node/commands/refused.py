"""`show --refused`: which images are not here, and why."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import db.associations
from db.engine import Database
from db.refusals import RefusalLine, RefusalQuery, list_refusals
from dicom_node.commands.associations import document, name_of, print_associations
from dicom_node.commands.screen import console, print_json
from dicom_node.core.refusal import remedy_of


def print_refused(database: Database, *, key: str, limit: int, as_json: bool) -> None:
    """Print the images that were refused, the latest first.

    Args:
        key: only those of a UID or an Accession Number; "" for all, and then also the
            associations of which something was refused.
    """
    lines, more = list_refusals(database, RefusalQuery(key=key, limit=limit))
    if as_json:
        shown: dict[str, Any] = {"instances": [_document(line) for line in lines]}
        if not key:
            records = db.associations.recent(database, limit=limit, refused=True)
            shown["associations"] = [document(record) for record in records]
        print_json(shown)
        return
    screen = console()
    if not lines:
        screen.print("no image was refused")
    for text in describe_refused(lines):
        screen.print(text, markup=False)
    if more:
        screen.print("and more: --limit N shows them", markup=False)
    if not key:
        screen.print("\nAssociations")
        print_associations(database, limit=limit, refused=True, as_json=False)


def describe_refused(lines: Sequence[RefusalLine]) -> list[str]:
    """Tell refused images in a line each."""
    return [_describe(line) for line in lines]


def _describe(line: RefusalLine) -> str:
    one = line.instance
    at = one.at.isoformat(sep=" ", timespec="seconds")
    who = f"{one.calling_ae_title or '?'} at {one.peer_address or '?'}"
    return (
        f"{at} refused from {who}: {name_of(one.sop_class_uid)} "
        f"{one.sop_instance_uid or '(no UID)'}, study "
        f"{one.study_instance_uid or '(not read)'}, accession number "
        f"{one.accession_number or '(none)'}: {one.reason} (0x{one.status:04X})"
        + (
            ", here by now"
            if line.here
            else f". What to do: {remedy_of(one.status, one.reason)}"
        )
    )


def _document(line: RefusalLine) -> dict[str, Any]:
    one = line.instance
    return asdict(one) | {
        "status": f"0x{one.status:04X}",
        "sop_class_name": name_of(one.sop_class_uid),
        "what_to_do": remedy_of(one.status, one.reason),
        "transfer_syntax_name": name_of(one.transfer_syntax_uid),
        "here": line.here,
    }
