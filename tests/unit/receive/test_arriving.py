"""Whoever takes long to send keeps the study open as soon as that is known."""

import queue
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import cast

import pytest

from dicom_node.core.clock import Clock
from dicom_node.core.errors import DatabaseError
from dicom_node.receive.arriving import Arriving, Note
from dicom_node.receive.incoming import Files, Incoming
from tests.unit.receive.build import BIG, DEFLATED, EXPLICIT, IMPLICIT, encode, image

AT = datetime(2026, 1, 2, tzinfo=UTC)
SECONDS = 10.0


class _Clock:
    def now(self) -> datetime:
        return AT


class _Nowhere:
    """A disk that takes everything."""

    def require_space(self, size_bytes: int = 0) -> None:
        pass

    def begin(self) -> "_Nowhere":
        return self

    def write(self, buffers: object) -> None:
        pass


def _incoming(*fragments: bytes, written: int = 0) -> Incoming:
    incoming = Incoming(cast(Files, _Nowhere()), b"DICM", refusal=None)
    for number, fragment in enumerate(fragments, 1):
        incoming.add(memoryview(fragment))
        if number <= written:
            incoming.flush()
    return incoming


@contextmanager
def _arriving(note: Note) -> Iterator[Arriving]:
    arriving = Arriving(note, cast(Clock, _Clock()))
    try:
        yield arriving
    finally:
        arriving.close(SECONDS)


@pytest.mark.parametrize("written", [0, 1, 2])
@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, EXPLICIT, BIG])
def test_the_study_is_known_from_the_beginning_written_or_not(
    transfer_syntax: str, written: int
) -> None:
    content = encode(image(PatientName="A" * 60), transfer_syntax)
    noted: queue.Queue[Mapping[str, datetime]] = queue.Queue()
    with _arriving(noted.put) as arriving:
        arriving.tell(_incoming(content[:40]), transfer_syntax)  # too little to know
        incoming = _incoming(content[:70], content[70:-20], written=written)
        arriving.tell(incoming, transfer_syntax)
        assert noted.get(timeout=SECONDS) == {"1.2.3": AT}
    assert noted.empty()


def test_what_is_deflated_or_no_data_set_is_not_told() -> None:
    noted: list[Mapping[str, datetime]] = []
    with _arriving(noted.append) as arriving:
        arriving.tell(_incoming(encode(image())), DEFLATED)
        arriving.tell(_incoming(b"\xff" * 4096), EXPLICIT)
        arriving.tell(_incoming(), EXPLICIT)
    assert noted == []


def test_a_database_that_is_down_ends_nothing() -> None:
    noted: queue.Queue[Mapping[str, datetime]] = queue.Queue()
    faults: list[Exception] = [RuntimeError(), DatabaseError("locked")]

    def note(arriving: Mapping[str, datetime]) -> None:
        noted.put(arriving)
        if faults:
            raise faults.pop()

    with _arriving(note) as arriving:
        for _ in range(3):
            arriving.tell(_incoming(encode(image())), EXPLICIT)
            assert noted.get(timeout=SECONDS) == {"1.2.3": AT}
