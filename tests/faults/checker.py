"""The invariants I1, I4 and I7 over sender log, database and files.

Nothing of the node's own code is used to read: plain SQL, and bytes from the disk.
"""

import hashlib
import json
import sqlite3
from collections import Counter
from contextlib import closing, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import psycopg

from dicom_node.cli import main
from tests.faults.harness import FaultNode
from tests.faults.senders import SenderLog
from tests.peers import wait_until

_ROWS = (
    "SELECT instances.sop_instance_uid, versions.file_key, versions.current, "
    "versions.receipt, versions.repeats, versions.size_bytes, studies.revision, "
    "versions.study_instance_uid "
    "FROM instances JOIN versions ON versions.instance_id = instances.id "
    "JOIN studies ON studies.id = instances.study_id ORDER BY versions.id"
)
# PS3.10 7.1: preamble, prefix, then (0002,0000) UL, whose value counts what follows.
_GROUP_LENGTH_AT = 128 + 4 + 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One version of an instance, as the database has it."""

    sop_instance_uid: str
    file_key: str
    current: bool
    receipt: str
    repeats: int
    size_bytes: int
    revision: int
    study_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is wrong, in sentences, and what was counted.

    Args:
        lost: acknowledged data sets that are not there any more, as sent.
        doubled: rows beyond one per data set.
        orphans: files without a row.
        missing: rows without a file.
        parts: part files.
        strangers: finished files whose bytes nobody sent: partial or mixed up.
    """

    acknowledged: int
    stored: int
    lost: int
    doubled: int
    orphans: int
    missing: int
    parts: int
    strangers: int
    quarantined: int

    @property
    def whole(self) -> bool:
        """Whether every invariant holds; quarantine is for the test to judge."""
        return not (
            self.lost
            or self.doubled
            or self.orphans
            or self.missing
            or self.parts
            or self.strangers
        )

    def counts(self) -> dict[str, int]:
        """Return what the table of results shows."""
        return {
            "acknowledged": self.acknowledged,
            "lost": self.lost,
            "doubled": self.doubled,
            "broken or orphaned files": self.orphans
            + self.missing
            + self.parts
            + self.strangers,
        }


@dataclass(slots=True)
class Snapshot:
    """What lies on the disk and in the database at one moment."""

    rows: list[Row] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    parts: int = 0
    quarantined: int = 0


def check(node: FaultNode, log: SenderLog, *, seconds: float = 15.0) -> Verdict:
    """Wait until every invariant holds and return the counts; fail if they do not.

    The wait is for the node's own reconcile, which runs after it listens.
    """
    last: list[Verdict] = []

    def holds() -> Verdict | None:
        last[:] = [judge(node, log)]
        return last[0] if last[0].whole else None

    try:
        return wait_until(holds, what="the invariants hold", seconds=seconds, every=0.1)
    finally:
        if last and not last[0].whole:
            print(f"broken invariants: {last[0]}")


def judge(node: FaultNode, log: SenderLog) -> Verdict:
    """Compare once."""
    now = snapshot(node)
    kept = {row.file_key: now.files.get(row.file_key, "") for row in now.rows}
    of_uid: dict[str, list[str]] = {}
    for row in now.rows:
        of_uid.setdefault(row.sop_instance_uid, []).append(kept[row.file_key])
    sent = {digest for digests in log.attempted().values() for digest in digests}
    lost = sum(
        digest not in of_uid.get(uid, ())
        for uid, digests in log.acknowledged().items()
        for digest in digests
    )
    return Verdict(
        acknowledged=sum(map(len, log.acknowledged().values())),
        stored=len(now.rows),
        lost=lost,
        doubled=_doubled(now.rows, kept),
        orphans=len(now.files.keys() - kept.keys()),
        missing=len(kept.keys() - now.files.keys()),
        parts=now.parts,
        strangers=sum(digest not in sent for digest in now.files.values()),
        quarantined=now.quarantined,
    )


def _doubled(rows: list[Row], kept: dict[str, str]) -> int:
    """Count rows that repeat the bytes of another, or a second current version."""
    contents = Counter((row.sop_instance_uid, kept[row.file_key]) for row in rows)
    current = Counter(row.sop_instance_uid for row in rows if row.current)
    return sum(count - 1 for count in contents.values()) + sum(
        count - 1 for count in current.values()
    )


def snapshot(node: FaultNode) -> Snapshot:
    """Read database and folder; rows first, for a file is there before its row."""
    now = Snapshot(rows=rows(node))
    for path in node.instances_dir.rglob("*"):
        if not path.is_file():
            continue
        if "quarantine" in path.relative_to(node.instances_dir).parts:
            now.quarantined += 1
        elif path.suffix == ".part":
            now.parts += 1
        else:
            now.files[path.stem] = dataset_sha256(path)
    return now


def rows(node: FaultNode) -> list[Row]:
    """Read every version of every instance."""
    if node.database:
        with psycopg.connect(node.database) as connection:
            found = connection.execute(_ROWS).fetchall()
    else:
        path = node.data_dir / "node.db"
        with closing(sqlite3.connect(path, timeout=30)) as connection_:
            connection_.execute("PRAGMA query_only = ON")
            found = connection_.execute(_ROWS).fetchall()
    return [
        Row(
            sop_instance_uid=item[0],
            file_key=item[1],
            current=bool(item[2]),
            receipt=item[3],
            repeats=item[4],
            size_bytes=item[5],
            revision=item[6],
            study_instance_uid=item[7],
        )
        for item in found
    ]


def dataset_sha256(path: Path) -> str:
    """Digest what follows the File Meta Information; "" for a file that has none."""
    content = path.read_bytes()
    if content[128:132] != b"DICM":
        return ""
    length = int.from_bytes(content[_GROUP_LENGTH_AT : _GROUP_LENGTH_AT + 4], "little")
    return hashlib.sha256(content[_GROUP_LENGTH_AT + 4 + length :]).hexdigest()


def listed_studies(node: FaultNode) -> dict[str, int]:
    """Return `studies --json`: instances by Study Instance UID."""
    printed = StringIO()
    with redirect_stdout(printed):
        code = main(["studies", "--json", "--config", str(node.configuration)])
    if code != 0:
        raise RuntimeError("studies failed")
    return {
        item["study_instance_uid"]: item["instances"]
        for item in json.loads(printed.getvalue())
    }
