"""What an attack did, as a line for the table in docs/reliability.md."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "DICOM_NODE_RELIABILITY_OUT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One attack, made and measured.

    Args:
        id: as in the attack list, B1 to B22.
        how: what the test sent.
        outcome: what was measured.
        seconds: how long the attack took.
    """

    id: str
    attack: str
    how: str
    expected: str
    outcome: str
    seconds: float


def report(row: Row) -> None:
    """Append the row to the file that the environment names, if it names one."""
    named = os.environ.get(VARIABLE)
    if named:
        with Path(named).open("a", encoding="ascii") as file:
            file.write(json.dumps(asdict(row)) + "\n")
