"""One line of the reliability table per fault, written where the lead asks for it."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

OUT_VARIABLE = "DICOM_NODE_RELIABILITY_OUT"
ROUNDS = max(1, int(os.environ.get("FAULT_ROUNDS", "1")))
SEED = int(os.environ.get("DICOM_NODE_TEST_SEED", "20261122"))

Measured = dict[str, str | int | float]


@contextmanager
def fault_row(
    row_id: str, *, fault: str, how: str, expected: str
) -> Iterator[Measured]:
    """Time a fault and write its line; fill the yielded dict with what was measured.

    Args:
        row_id: of the table in the reliability notes, e.g. "F03" or "B2".
    """
    measured: Measured = {}
    outcome = "FAILED"
    begun = time.monotonic()
    try:
        yield measured
        outcome = "held"
    except pytest.skip.Exception as reason:
        outcome = "skipped"
        measured["reason"] = str(reason)
        raise
    finally:
        _write(
            {
                "id": row_id,
                "fault": fault,
                "how": how,
                "expected": expected,
                "outcome": outcome,
                "measured": measured,
                "seconds": round(time.monotonic() - begun, 2),
                "rounds": ROUNDS,
                "seed": SEED,
            }
        )


def _write(row: dict[str, object]) -> None:
    """Append one line in one call: the workers of pytest-xdist share the file."""
    named = os.environ.get(OUT_VARIABLE)
    if not named:
        return
    line = json.dumps(row, ensure_ascii=False) + "\n"
    descriptor = os.open(Path(named), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
