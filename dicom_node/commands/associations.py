"""`show --associations`: who called, how, and what was refused and why."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

from pydicom.uid import UID

import db.associations
from db.engine import Database
from dicom_node.commands.screen import console, print_json
from dicom_node.core.types import AssociationRecord, RefusedContext

_MIB: Final = 1 << 20
_MOST_NAMED: Final = 4  # SOP classes of contexts that were refused alike


def print_associations(
    database: Database, *, limit: int, refused: bool, as_json: bool
) -> None:
    """Print the latest associations, newest first.

    Args:
        refused: only those of which something was refused.
    """
    records = db.associations.recent(database, limit=limit, refused=refused)
    if as_json:
        print_json([document(record) for record in records])
        return
    screen = console()
    if not records:
        screen.print("nothing was refused" if refused else "nobody has called yet")
    for record in records:
        screen.print(describe(record), markup=False)
        for text in _describe_contexts(record.refused_contexts):
            screen.print(f"    not accepted: {text}", markup=False)


def describe(record: AssociationRecord) -> str:
    """Tell an association in a line."""
    at = record.at.isoformat(sep=" ", timespec="seconds")
    secured = " ".join(filter(None, (record.tls_version, record.certificate_subject)))
    who = (
        f"{record.calling_ae_title or '?'} at {record.peer_address} calling "
        f"{record.called_ae_title or '?'}"
    )
    if not record.calling_ae_title and not record.called_ae_title:
        who = f"somebody at {record.peer_address}"
    if secured:
        who += f" over {secured}"
    if not record.accepted:
        return f"{at} REJECTED {who}: {record.reason}"
    return (
        f"{at} accepted {who}: {record.instances} instances, "
        f"{record.refused_instances} refused, {record.size_bytes / _MIB:.1f} MiB in "
        f"{record.seconds:.1f} s ({_rate(record):.1f} MiB/s), {record.reason}"
    )


def _describe_contexts(refused: Sequence[RefusedContext]) -> Iterator[str]:
    """Tell in a line what was refused alike: storescu offers 128 contexts by itself."""
    alike: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for context in refused:
        how = (context.transfer_syntax_uids, context.reason)
        alike.setdefault(how, []).append(name_of(context.sop_class_uid))
    for (uids, reason), classes in alike.items():
        named = ", ".join(classes[:_MOST_NAMED])
        if more := len(classes) - len(classes[:_MOST_NAMED]):
            named += f" and {more} more (--json names all)"
        syntaxes = ", ".join(name_of(uid) for uid in uids)
        yield f"{named} in {syntaxes or 'no transfer syntax'} ({reason})"


def name_of(uid: str) -> str:
    """Return the name of a UID in the dictionary (PS3.6 annex A), else the UID."""
    return UID(uid).name if uid else "?"


def _rate(record: AssociationRecord) -> float:
    return record.size_bytes / _MIB / record.seconds if record.seconds else 0.0


def document(record: AssociationRecord) -> dict[str, Any]:
    """Tell an association as JSON has it."""
    shown: dict[str, Any] = asdict(record)
    shown["mib_per_second"] = round(_rate(record), 3)
    shown["refused_contexts"] = [
        asdict(context)
        | {
            "sop_class_name": name_of(context.sop_class_uid),
            "transfer_syntax_names": [
                name_of(uid) for uid in context.transfer_syntax_uids
            ],
        }
        for context in record.refused_contexts
    ]
    return shown
