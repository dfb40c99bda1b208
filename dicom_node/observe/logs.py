"""Logs as JSON lines: a fixed event text and allowed keys, never patient data."""

import json
import logging
import sys
import warnings
from datetime import UTC, datetime
from typing import Final, TextIO

# Surrogate ids, addresses and counts; nothing that a data set says of a person.
ALLOWED_KEYS: Final = frozenset(
    {
        "role", "pid", "exit_code", "study", "instance", "job", "delivery", "revision",
        "model", "model_version", "route", "destination", "attempt", "outcome",
        "ae", "called_ae", "peer", "sop_class", "transfer_syntax",
        "transfer_syntaxes", "contexts", "receipt", "status", "reason", "error",
        "count", "jobs", "instances", "refused", "size_bytes", "seconds", "host",
        "port", "adopted", "quarantined", "missing", "parts_removed", "repeats", "free_bytes",
        "aborted",
        "limit_bytes", "device", "signal",
    }
)  # fmt: skip
# These put UIDs, element values or exception texts into their messages.
_CAPPED: Final = ("pydicom", "pynetdicom", "highdicom", "sqlalchemy", "py.warnings")


class JsonLines(logging.Formatter):
    """Format a record as one JSON object; unknown `extra` keys are left out."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.msg if isinstance(record.msg, str) else "",
        }
        line |= {
            key: value
            for key, value in record.__dict__.items()
            if key in ALLOWED_KEYS and isinstance(value, str | int | float | None)
        }
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
        return json.dumps(line, ensure_ascii=True)


def configure_logs(level: str, stream: TextIO | None = None) -> None:
    """Send this node's events to `stream` (standard error) and cap third parties."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.ERROR)
    logging.getLogger("dicom_node").setLevel(level.upper())
    for name in ("inference", "db"):
        logging.getLogger(name).setLevel(level.upper())
    silence_third_parties()


def silence_third_parties() -> None:
    """Keep what libraries log and warn off the screen: it quotes data set values."""
    logging.captureWarnings(True)
    warnings.simplefilter("ignore")
    for name in _CAPPED:
        capped = logging.getLogger(name)
        capped.handlers[:] = [logging.NullHandler()]
        capped.propagate = False
