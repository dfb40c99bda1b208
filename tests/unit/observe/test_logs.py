"""Logs hold events and allowed keys, and nothing of a data set."""

import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest

from dicom_node.observe.logs import configure_logs


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    filters = warnings.filters[:]
    stream = io.StringIO()
    configure_logs("info", stream)
    yield stream
    logging.captureWarnings(False)
    warnings.filters[:] = filters  # type: ignore[index]
    root.handlers[:], level = before
    root.setLevel(level)
    for name in ("pydicom", "pynetdicom", "highdicom", "sqlalchemy", "py.warnings"):
        logging.getLogger(name).propagate = True


def test_an_event_is_one_json_line_with_its_keys(written: io.StringIO) -> None:
    logging.getLogger("dicom_node.receive").info("stored", extra={"ae": "CT1"})
    line = json.loads(written.getvalue())
    assert (line["event"], line["ae"], line["level"]) == ("stored", "CT1", "info")


def test_keys_that_are_not_allowed_are_left_out(written: io.StringIO) -> None:
    logging.getLogger("dicom_node").info("stored", extra={"patient_name": "Doe^Jane"})
    assert "Doe" not in written.getvalue()


def test_the_text_of_an_exception_is_left_out(written: io.StringIO) -> None:
    try:
        raise ValueError("Doe^Jane")
    except ValueError:
        logging.getLogger("dicom_node").exception("failed")
    assert "Doe" not in written.getvalue()
    assert json.loads(written.getvalue())["error"] == "ValueError"


def test_third_parties_and_warnings_do_not_reach_the_stream(
    written: io.StringIO,
) -> None:
    for name in ("pydicom", "pynetdicom.acse", "highdicom.base"):
        logging.getLogger(name).error("Doe^Jane")
    warnings.warn("Doe^Jane", stacklevel=1)
    assert written.getvalue() == ""
