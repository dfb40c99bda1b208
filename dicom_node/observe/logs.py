"""Logs as JSON lines: a fixed event text and allowed keys, never patient data."""

import faulthandler
import json
import logging
import sys
import threading
import warnings
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, TextIO

# Surrogate ids, addresses and counts; nothing that a data set says of a person.
ALLOWED_KEYS: Final = frozenset(
    {
        "role", "pid", "exit_code", "study", "instance", "job", "delivery", "revision",
        "model", "model_version", "route", "destination", "attempt", "outcome",
        "ae", "called_ae", "peer", "sop_class", "transfer_syntax",
        "transfer_syntaxes", "contexts", "receipt", "status", "reason", "error",
        "count", "jobs", "instances", "refused", "size_bytes", "seconds", "host",
        "port", "adopted", "quarantined", "missing", "parts", "free_bytes",
        "limit_bytes", "device", "signal", "aborted", "parts_removed", "repeats",
        "where",
    }
)  # fmt: skip
# Where a logger is ours. What others log quotes UIDs, values and exception texts.
_OWN: Final = frozenset({"dicom_node", "inference", "db", "config"})
# These report as errors what peers and data sets do every day.
_SILENT: Final = ("pydicom", "pynetdicom", "highdicom", "sqlalchemy", "py.warnings")
_FOREIGN_EVENT: Final = "a library reports an error"
_LONGEST_TEXT: Final = 256
_PLAIN: Final = (str, int, float, type(None))

log = logging.getLogger("dicom_node")


class JsonLines(logging.Formatter):
    """Format a record as one JSON object; unknown `extra` keys are left out.

    Of another's record only the logger's name and the class of the error are kept.
    """

    _second = (-1, "")  # the last one that was written out, and how

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        own = record.name.partition(".")[0] in _OWN
        line: dict[str, object] = {
            "at": self._at(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.msg if own and isinstance(record.msg, str) else "",
        }
        if own:
            for key, value in record.__dict__.items():
                if key in ALLOWED_KEYS and isinstance(value, _PLAIN):
                    line[key] = value[:_LONGEST_TEXT] if type(value) is str else value
        else:
            line["event"] = _FOREIGN_EVENT
        if record.exc_info and record.exc_info[0]:
            line["error"] = record.exc_info[0].__name__
            line["where"] = _where(record.exc_info[2])
        return json.dumps(line)

    def _at(self, created: float) -> str:
        """Write a time in UTC; the second once, for all the lines in it."""
        second = int(created)
        known = self._second
        if second != known[0]:
            text = datetime.fromtimestamp(second, UTC).isoformat()
            known = self._second = (second, text.removesuffix("+00:00"))
        return f"{known[1]}.{int(created % 1 * 1000):03d}+00:00"


def configure_logs(level: str, stream: TextIO | None = None) -> None:
    """Send this node's events to `stream` (standard error); cap everybody else's."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.ERROR)
    for name in _OWN:
        logging.getLogger(name).setLevel(level.upper())
    _make_cheap()
    silence_third_parties()
    _take_uncaught()
    if stream is None:
        faulthandler.enable()  # names lines of code, no value


def silence_third_parties() -> None:
    """Keep what libraries log and warn off the screen: it quotes data set values."""
    logging.captureWarnings(True)
    warnings.simplefilter("ignore")
    for name in _SILENT:
        capped = logging.getLogger(name)
        capped.handlers[:] = [logging.NullHandler()]
        capped.propagate = False


def _make_cheap() -> None:
    """Gather nothing about a record that no line shows (Logging HOWTO, Optimization).

    And print no record that cannot be written: its arguments may be anything.
    """
    logging.raiseExceptions = False
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None


def _take_uncaught() -> None:
    """Log an error that nobody caught by its class: its text may quote a data set."""

    def uncaught(
        kind: type[BaseException],
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if issubclass(kind, KeyboardInterrupt | SystemExit):
            return
        log.critical("uncaught error", exc_info=(kind, error or kind(), trace))

    def uncaught_in_thread(given: threading.ExceptHookArgs) -> None:
        uncaught(given.exc_type, given.exc_value, given.exc_traceback)

    def unraisable(given: Any) -> None:
        uncaught(given.exc_type, given.exc_value, given.exc_traceback)

    sys.excepthook = uncaught
    threading.excepthook = uncaught_in_thread
    sys.unraisablehook = unraisable


def _where(trace: TracebackType | None) -> str:
    """Name the innermost line of ours that an error came through."""
    found = ""
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] in _OWN:
            found = f"{module}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
