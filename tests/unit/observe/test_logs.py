"""Logs hold events and allowed keys, and nothing of a data set."""

import ast
import asyncio
import gc
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from dicom_node.observe.logs import ALLOWED_KEYS, configure_logs
from tests.peers import PROJECT

PATIENT = "Doe^Jane"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    filters = warnings.filters[:]
    hooks = (sys.excepthook, threading.excepthook, sys.unraisablehook)
    kept = {
        name: getattr(logging, name)
        for name in (
            "raiseExceptions",
            "logThreads",
            "logProcesses",
            "logMultiprocessing",
            "_srcfile",
        )
    }
    stream = io.StringIO()
    configure_logs("debug", stream)
    yield stream
    logging.captureWarnings(False)
    warnings.filters[:] = filters  # type: ignore[index]  # typed as a Sequence; a list
    root.handlers[:], level = before
    root.setLevel(level)
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    for name, value in kept.items():
        setattr(logging, name, value)
    for name in ("pydicom", "pynetdicom", "highdicom", "sqlalchemy", "py.warnings"):
        logging.getLogger(name).propagate = True
    for name in ("dicom_node", "inference", "db", "config"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_an_event_is_one_json_line_with_its_keys(written: io.StringIO) -> None:
    logging.getLogger("dicom_node.receive").info("stored", extra={"ae": "CT1"})
    line = json.loads(written.getvalue())
    assert (line["event"], line["ae"], line["level"]) == ("stored", "CT1", "info")


def test_a_line_says_when_in_utc(written: io.StringIO) -> None:
    before = datetime.now(UTC)
    for _ in range(3):
        logging.getLogger("dicom_node").info("stored")
    after = datetime.now(UTC)
    for text in written.getvalue().splitlines():
        at = datetime.fromisoformat(json.loads(text)["at"])
        assert (at - before).total_seconds() >= -0.001
        assert at <= after


def test_keys_that_are_not_allowed_are_left_out(written: io.StringIO) -> None:
    logging.getLogger("dicom_node").info("stored", extra={"patient_name": PATIENT})
    assert "Doe" not in written.getvalue()


def test_a_line_stays_short_and_one_line_whatever_a_peer_calls_itself(
    written: io.StringIO,
) -> None:
    hostile = "A\nB\x1b[2J" + "C" * 10_000
    logging.getLogger("dicom_node").info("rejected", extra={"ae": hostile})
    [line] = written.getvalue().splitlines()
    assert len(line) < 512
    assert line.isascii()
    assert line.isprintable()


def test_the_text_of_an_exception_is_left_out(written: io.StringIO) -> None:
    try:
        raise ValueError(PATIENT)
    except ValueError:
        logging.getLogger("dicom_node").exception("failed")
    assert "Doe" not in written.getvalue()
    assert json.loads(written.getvalue())["error"] == "ValueError"


def test_an_event_with_arguments_shows_none_of_them(written: io.StringIO) -> None:
    logging.getLogger("dicom_node").error("patient %s", PATIENT)
    assert "Doe" not in written.getvalue()


def test_third_parties_and_warnings_do_not_reach_the_stream(
    written: io.StringIO,
) -> None:
    for name in ("pydicom", "pynetdicom.acse", "highdicom.base"):
        logging.getLogger(name).error(PATIENT)
    warnings.warn(PATIENT, stacklevel=1)
    assert written.getvalue() == ""


def test_of_any_other_library_only_its_name_and_the_error_are_shown(
    written: io.StringIO,
) -> None:
    try:
        raise KeyError(PATIENT)
    except KeyError:
        logging.getLogger("uvicorn.error").exception(PATIENT, extra={"ae": PATIENT})
    assert "Doe" not in written.getvalue()
    line = json.loads(written.getvalue())
    assert (line["logger"], line["error"]) == ("uvicorn.error", "KeyError")


def test_other_libraries_are_not_heard_below_errors(written: io.StringIO) -> None:
    for name in ("uvicorn.access", "asyncio", "alembic", "PIL"):
        logging.getLogger(name).warning(PATIENT)
    assert written.getvalue() == ""


def test_an_error_that_nobody_caught_is_a_line_without_its_text(
    written: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise RuntimeError(PATIENT)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()

    class Ends:
        def __del__(self) -> None:
            raise OSError(PATIENT)

    Ends()
    gc.collect()
    try:
        fail()
    except RuntimeError as error:
        sys.excepthook(RuntimeError, error, error.__traceback__)
    lines = [json.loads(text) for text in written.getvalue().splitlines()]
    assert [line["error"] for line in lines] == [
        "RuntimeError",
        "OSError",
        "RuntimeError",
    ]
    assert "Doe" not in written.getvalue() + "".join(capfd.readouterr())


def test_an_error_in_an_event_loop_is_a_line_without_its_text(
    written: io.StringIO,
) -> None:
    async def fail() -> None:
        def callback() -> None:
            raise RuntimeError(PATIENT)

        asyncio.get_running_loop().call_soon(callback)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(fail())
    assert "Doe" not in written.getvalue()
    assert json.loads(written.getvalue())["error"] == "RuntimeError"


def test_a_stream_that_cannot_be_written_prints_no_record_elsewhere(
    written: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    written.close()
    logging.getLogger("dicom_node").error("failed", extra={"ae": PATIENT})
    assert "".join(capfd.readouterr()) == ""
    # The fixture's handler goes; nothing may write to the closed stream after it.


def _extras() -> Iterator[tuple[str, str]]:
    """Yield file and key of every literal `extra={...}` of the product."""
    for folder in ("dicom_node", "db", "inference", "config"):
        for path in sorted((PROJECT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.keyword) and node.arg == "extra":
                    for key in _keys(node.value):
                        yield path.name, key


def _keys(node: ast.AST) -> Iterator[str]:
    for found in ast.walk(node):
        keys: list[Any] = found.keys if isinstance(found, ast.Dict) else []
        for key in keys:
            if isinstance(key, ast.Constant):
                yield str(key.value)


def test_every_key_that_the_product_logs_is_an_allowed_one() -> None:
    found = list(_extras())
    assert len(found) > 20
    assert [item for item in found if item[1] not in ALLOWED_KEYS] == []


def test_no_event_of_the_product_is_made_of_values() -> None:
    """The text is a literal: an f-string or a name could carry anything."""
    made = []
    for folder in ("dicom_node", "db", "inference", "config"):
        for path in sorted((PROJECT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if (
                    isinstance(node, ast.Call)
                    and isinstance(node.func, ast.Attribute)
                    and isinstance(node.func.value, ast.Name)
                    and node.func.value.id == "log"
                    and node.func.attr in _LEVELS
                    and (len(node.args) != 1 or not _is_fixed(node.args[0]))
                ):
                    made.append(f"{path.name}:{node.lineno}")
    assert made == []


_LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


def _is_fixed(node: ast.expr) -> bool:
    """Say whether the text is one of a few literals."""
    if isinstance(node, ast.IfExp):
        return _is_fixed(node.body) and _is_fixed(node.orelse)
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
