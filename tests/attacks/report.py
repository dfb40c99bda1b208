"""What an attack did, as a line for the table in docs/reliability.md."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

VARIABLE = "DICOM_NODE_RELIABILITY_OUT"

Measured = dict[str, str | int | float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One attack, made and measured.

    Args:
        id: as in the attack list, B1 to B22, with a letter for a variant.
        how: what the test sent.
        outcome: "held" or "FAILED".
        seconds: how long the attack took.
    """

    id: str
    attack: str
    how: str
    expected: str
    outcome: str
    measured: Measured
    seconds: float


def report(row: Row) -> None:
    """Append the row to the file that the environment names, if it names one.

    One call writes it: the workers of pytest-xdist share the file.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    descriptor = os.open(Path(named), flags, 0o644)
    try:
        os.write(descriptor, (json.dumps(asdict(row)) + "\n").encode())
    finally:
        os.close(descriptor)
