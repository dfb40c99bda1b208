"""After a soak: is everything there that was acknowledged, and nothing half done?"""

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.soak_senders import Acknowledged

_PREAMBLE_BYTES: Final = 132  # and the prefix DICM (PS3.10 7.1)
_GROUP_LENGTH_BYTES: Final = 12  # of (0002,0000) itself
_SUFFIX: Final = ".dcm"


@dataclass(slots=True)
class Findings:
    """What a check counted; all but the first three shall be zero.

    Args:
        missing: acknowledged, but no file under its UID has the bytes sent.
        without_row: files that no row names.
        without_file: rows whose file is not there.
        left_over: files in the instance store that are no instance.
        database_faults: what SQLite's own check complained about.
    """

    acknowledged: int = 0
    files: int = 0
    bytes: int = 0
    missing: int = 0
    without_row: int = 0
    without_file: int = 0
    left_over: int = 0
    database_faults: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing is lost and nothing is left over."""
        return not (
            self.missing
            or self.without_row
            or self.without_file
            or self.left_over
            or self.database_faults
        )


def check(data: Path, acknowledged: Iterable[Acknowledged]) -> Findings:
    """Compare what a stopped node has with what it acknowledged.

    The database is read with sqlite3 and the files byte by byte, not by the node's
    own code.

    Args:
        data: the node's data_dir.
    """
    found = Findings()
    rows = _rows(data / "node.db", found)
    digests: dict[str, set[bytes]] = defaultdict(set)
    keys: set[str] = set()
    for path in sorted(_files(data / "instances")):
        if path.suffix != _SUFFIX:
            found.left_over += 1
            continue
        found.files += 1
        found.bytes += path.stat().st_size
        keys.add(path.stem)
        if path.stem not in rows:
            found.without_row += 1
        else:
            digests[rows[path.stem]].add(_dataset_digest(path))
    found.without_file = len(rows.keys() - keys)
    for told in acknowledged:
        found.acknowledged += 1
        found.missing += told.sha256 not in digests[told.sop_instance_uid]
    return found


def _rows(database: Path, found: Findings) -> dict[str, str]:
    """Return the SOP Instance UID of each file key."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        found.database_faults += [] if said == ["ok"] else said
        return dict(
            connection.execute(
                "SELECT v.file_key, i.sop_instance_uid FROM versions v "
                "JOIN instances i ON i.id = v.instance_id"
            )
        )
    finally:
        connection.close()


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _dataset_digest(path: Path) -> bytes:
    """Return the SHA-256 of what follows the File Meta Information."""
    with path.open("rb") as file:
        head = file.read(_PREAMBLE_BYTES + _GROUP_LENGTH_BYTES)
        length = int.from_bytes(head[-4:], "little")
        file.seek(_PREAMBLE_BYTES + _GROUP_LENGTH_BYTES + length)
        return hashlib.file_digest(file, "sha256").digest()
