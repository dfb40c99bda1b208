"""Whatever bytes come: a scanned data set or CannotUnderstand, and soon."""

import random
import time
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.foreign import read_instance
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


# Which of the fuzzed and malformed files are refused, and why; the others are taken.
REFUSED = {
    "TC0243_pixeldata_OB_as_OW.dcm": "shorter",
    "TC0285_buf_half.dcm": "shorter",
    "TC0291_buf_zero.dcm": "shorter",
    "TC0293_buf_one_byte.dcm": "shorter",
    "TC0295_rows_zero.dcm": "Rows",
    "TC0297_cols_zero.dcm": "Columns",
    "TC0305_bits_ba_zero.dcm": "Bits Allocated",
    "TC0309_bits_ba_three.dcm": "Bits Allocated",
    "TC0311_bits_ba_nine.dcm": "Bits Allocated",
    "TC0313_bits_ba_24.dcm": "shorter",
    "TC0315_bits_ba_48.dcm": "shorter",
    "TC0317_bits_ba_128.dcm": "Bits Allocated",
    "TC0323_encap_zero_frag.dcm": "twice",
    "TC0339_mf_nf_million.dcm": "larger",
    "TC0377_no_preamble.dcm": "no DICOM file",
    "TC0391_meta_glen_zero.dcm": "no DICOM file",
    "TC0393_meta_glen_one.dcm": "no DICOM file",
    "TC0395_meta_glen_max.dcm": "no DICOM file",
    "TC0397_meta_glen_huge.dcm": "no DICOM file",
    "GH1146.dcm": "shorter",
    "GH220.dcm": "missing",
    "GH223.dcm": "missing",
    "GH340.dcm": "no DICOM file",
    "bad_sequence.dcm": "not a UID",
}


def broken_files() -> list[Path]:
    return [
        path
        for name in ("fuzz", "malformed")
        for path in sorted(shared_data("dicom", name).rglob("*.dcm"))
    ]


def test_every_broken_file_has_the_verdict_it_deserves_and_soon() -> None:
    seen = set()
    for path in broken_files():
        started = time.thread_time()
        try:
            read_instance(path, LIMITS)
            verdict = ""
        except CannotUnderstand as error:
            verdict = str(error)
        assert time.thread_time() - started < 3, path.name
        expected = REFUSED.get(path.name, "")
        assert expected in verdict, path.name
        assert bool(verdict) == bool(expected), (path.name, verdict)
        seen.add(path.name)
    assert seen > set(REFUSED)


def test_broken_files_read_from_the_wrong_place_end_in_an_answer() -> None:
    refused = 0
    for path in broken_files():
        content = path.read_bytes()
        starts = (0, 132, max(content.find(b"\x08\x00"), 0))
        for start, syntax in product(starts, SYNTAXES):
            answer = outcome(content[start:], syntax)
            refused += isinstance(answer, CannotUnderstand)
    assert refused


@pytest.mark.filterwarnings("ignore")  # pydicom warns of values in these files
def test_no_file_of_the_test_data_keeps_part_of_its_pixels_when_it_is_cut() -> None:
    chance = random.Random(7)
    images, broken = 0, set(broken_files())
    for path in sorted(shared_data("dicom").rglob("*.dcm")):
        if path in broken or path.read_bytes()[128:132] != b"DICM":
            continue
        sent, syntax = split_file(path)
        whole = outcome(sent, syntax)
        if isinstance(whole, ScannedDataset):
            images += bool(whole.pixels)
            for _ in range(4):
                cut = outcome(sent[: chance.randrange(len(sent))], syntax)
                if isinstance(cut, ScannedDataset):
                    assert cut.pixels in ((), whole.pixels), path.name
    assert images > 200


def test_an_image_cut_anywhere_in_its_pixels_is_refused() -> None:
    whole = encode(image())
    assert isinstance(outcome(whole, EXPLICIT), ScannedDataset)
    for cut in range(len(whole) - 48 - 11, len(whole)):  # 48 bytes and their head
        assert isinstance(outcome(whole[:cut], EXPLICIT), CannotUnderstand), cut
