"""Whatever bytes come: a scanned data set or CannotUnderstand, and soon."""

import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.scan import ScanLimits, ScannedDataset
from tests.peers import shared_data
from tests.unit.receive.build import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    encode,
    image,
    scan_bytes,
    split_file,
)

SEEDS = tuple(
    split_file(Path(str(get_testdata_file(name))))
    for name in ("MR_small.dcm", "reportsi.dcm", "rtplan.dcm", "MR_small_RLE.dcm")
)
SYNTAXES = (IMPLICIT, EXPLICIT, BIG, DEFLATED, "1.2.840.10008.1.2.5")
LIMITS = ScanLimits(max_elements=20_000, max_inflated_bytes=1 << 22)


def outcome(data: bytes, syntax: str) -> ScannedDataset | CannotUnderstand:
    """Scan; any other exception fails the test."""
    try:
        return scan_bytes(data, syntax, LIMITS)
    except CannotUnderstand as error:
        return error


@settings(max_examples=200, derandomize=True, deadline=2000)
@given(st.binary(max_size=400), st.sampled_from(SYNTAXES))
def test_arbitrary_bytes_end_in_an_answer(data: bytes, syntax: str) -> None:
    assert outcome(data, syntax)


@settings(max_examples=300, derandomize=True, deadline=2000)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 1 << 20), st.binary(max_size=8)), max_size=12),
    st.integers(0, 1 << 20),
)
def test_mutations_of_real_files_end_in_an_answer(
    seed: tuple[bytes, str], changes: list[tuple[int, bytes]], cut: int
) -> None:
    data, syntax = bytearray(seed[0]), seed[1]
    for position, value in changes:
        start = position % min(len(data), 4000)
        data[start : start + len(value)] = value
    assert outcome(bytes(data[: cut % len(data) or None]), syntax)


_ELEMENTS = st.sampled_from(
    [
        b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
        b"\xfe\xff\x0d\xe0\x00\x00\x00\x00",
        b"\xfe\xff\xdd\xe0\x00\x00\x00\x00",
        b"\xfe\xff\x00\xe0\x10\x00\x00\x00",
        b"\x40\x00\x30\xa7SQ\x00\x00\xff\xff\xff\xff",
        b"\x40\x00\x30\xa7SQ\x00\x00\x40\x00\x00\x00",
        b"\x29\x00\x10\x10UN\x00\x00\xff\xff\xff\xff",
        b"\x29\x00\x10\x10UN\x00\x00\x30\x00\x00\x00",
        b"\x40\x00\x30\xa7\xff\xff\xff\xff",
        b"\x29\x00\x10\x10\x20\x00\x00\x00",
        b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff",
        b"\x08\x00\x18\x00UI\x04\x001.2\0",
    ]
)


@settings(max_examples=300, derandomize=True, deadline=2000)
@given(st.lists(_ELEMENTS, max_size=120), st.sampled_from(SYNTAXES))
def test_torn_sequences_end_in_an_answer(parts: list[bytes], syntax: str) -> None:
    assert outcome(b"".join(parts), syntax)


def test_nested_guesses_cost_no_more_than_the_element_limit() -> None:
    """Each private value could be a sequence and is not: nothing is walked twice."""
    guess = b"\x29\x00\x10\x10" + b"%b" + b"\xfe\xff\x00\xe0\xf0\xff\xff\xff"
    data = b""
    for _ in range(2000):
        data = guess.replace(b"%b", (len(data) + 8).to_bytes(4, "little")) + data
    started = time.monotonic()
    assert outcome(data, IMPLICIT)
    assert time.monotonic() - started < 2


def test_the_fuzzed_files_of_the_test_data_end_in_an_answer() -> None:
    refused = 0
    for path in sorted(shared_data("dicom", "fuzz").rglob("*.dcm")):
        content = path.read_bytes()
        for syntax in (EXPLICIT, IMPLICIT):
            refused += isinstance(outcome(content[132:], syntax), CannotUnderstand)
            start = content.find(b"\x08\x00")
            refused += isinstance(outcome(content[start:], syntax), CannotUnderstand)
    assert refused


def test_an_image_cut_anywhere_in_its_pixels_is_refused() -> None:
    whole = encode(image())
    assert isinstance(outcome(whole, EXPLICIT), ScannedDataset)
    for cut in range(len(whole) - 48 - 11, len(whole)):  # 48 bytes and their head
        assert isinstance(outcome(whole[:cut], EXPLICIT), CannotUnderstand), cut
