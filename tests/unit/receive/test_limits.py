"""No data set costs more than it may, in time, memory or depth."""

import struct
import time
import tracemalloc

import pytest

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.scan import ScannedDataset, scan
from dicom_node.receive.view import DatasetView
from tests.unit.receive.build import (
    BIG,
    EXPLICIT,
    IMPLICIT,
    element,
    encode,
    image,
    long_element,
    mapped_view,
    minimal,
    scan_bytes,
)

LIMITS = ScanLimits()
START = encode(minimal())
ITEM, ITEM_END, SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD
UNDEFINED = 0xFFFFFFFF


def delimiter(number: int, length: int = 0) -> bytes:
    return struct.pack("<HHI", 0xFFFE, number, length)


def sequences(depth: int, *, defined: bool, innermost: bytes = b"") -> bytes:
    """Sequences in sequences of one item each, written from the outside in."""
    if not defined:
        opened = long_element(0x0040A730, b"SQ", b"", length=UNDEFINED)
        opened += delimiter(ITEM, UNDEFINED)
        closed = delimiter(ITEM_END) + delimiter(SEQUENCE_END)
        return opened * depth + innermost + closed * depth
    sizes = [len(innermost) + 20 * level for level in range(depth)]
    heads = [
        long_element(0x0040A730, b"SQ", b"", length=size + 8) + delimiter(ITEM, size)
        for size in reversed(sizes)
    ]
    return b"".join(heads) + innermost


def outcome_of(
    view: DatasetView, syntax: str = EXPLICIT, limits: ScanLimits = LIMITS
) -> ScannedDataset | CannotUnderstand:
    try:
        return scan(view, syntax, limits)
    except CannotUnderstand as error:
        return error


def in_bounds(
    view: DatasetView, syntax: str = EXPLICIT, *, seconds: float
) -> ScannedDataset | CannotUnderstand:
    """Scan; fail if it takes more processor time, or memory that grows with it."""
    started = time.thread_time()
    outcome = outcome_of(view, syntax)
    assert time.thread_time() - started < seconds
    tracemalloc.start()  # which makes it slow: a part of it has to do
    try:
        outcome_of(view, syntax, ScanLimits(max_elements=5_000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 500_000
    return outcome


@pytest.mark.parametrize("defined", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 31, 32, 33, 20_000])
def test_depth_is_limited(depth: int, defined: bool) -> None:
    sent = START + sequences(depth, defined=defined)
    if depth <= LIMITS.max_depth:
        assert scan_bytes(sent)
    else:
        with pytest.raises(CannotUnderstand, match="deep"):
            scan_bytes(sent)


@pytest.mark.parametrize("limit", [0, 1, 4])
def test_the_limit_of_depth_is_the_configured_one(limit: int) -> None:
    limits = ScanLimits(max_depth=limit)
    assert scan_bytes(START + sequences(limit, defined=True), limits=limits)
    with pytest.raises(CannotUnderstand, match="deep"):
        scan_bytes(START + sequences(limit + 1, defined=True), limits=limits)


@pytest.mark.parametrize("defined", [True, False])
@pytest.mark.parametrize("depth", [1, 3, 32])
def test_sequences_that_are_cut_off_are_refused(depth: int, defined: bool) -> None:
    whole = START + sequences(depth, defined=defined, innermost=START)
    assert scan_bytes(whole)
    for cut in range(len(START) + 1, len(whole)):
        with pytest.raises(CannotUnderstand):
            scan_bytes(whole[:cut])


@pytest.mark.parametrize("nested", [False, True])
def test_the_number_of_elements_is_limited_exactly(nested: bool) -> None:
    many = element(0x00310010, b"US", b"\0\0") * 500
    # A sequence, its item, and in `START` four elements.
    used = 504 + (2 if nested else 0)
    inner = many
    if nested:
        body = delimiter(ITEM, len(many)) + many
        inner = long_element(0x0040A730, b"SQ", body)
    assert scan_bytes(START + inner, limits=ScanLimits(max_elements=used))
    with pytest.raises(CannotUnderstand, match="too many elements"):
        scan_bytes(START + inner, limits=ScanLimits(max_elements=used - 1))


def test_elements_without_a_value_have_a_limit_of_their_own() -> None:
    empty = element(0x00310010, b"LO", b"")
    limits = ScanLimits(max_empty_elements=100)
    assert scan_bytes(START + empty * 100, limits=limits)
    with pytest.raises(CannotUnderstand, match="empty"):
        scan_bytes(START + empty * 101, limits=limits)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_half_a_million_tiny_elements_are_scanned_in_little(syntax: str) -> None:
    order = ">" if syntax == BIG else "<"
    one = struct.pack(f"{order}HHI", 0x0031, 0x10, 2) + b"\0\0"
    if syntax != IMPLICIT:
        one = struct.pack(f"{order}HH2sH", 0x0031, 0x1010, b"US", 2) + b"\0\0"
    sent = encode(minimal(), syntax) + one * 499_000
    scanned = in_bounds(DatasetView.of_bytes(sent), syntax, seconds=3)
    assert isinstance(scanned, ScannedDataset)


HOSTILE = {
    "24 MB of elements of eight bytes": element(0x00310010, b"LO", b"") * 3_000_000,
    "tiny elements without an end": element(0x00310010, b"US", b"\0\0") * 2_000_000,
    "empty items without an end": long_element(0x0040A730, b"SQ", b"", UNDEFINED)
    + delimiter(ITEM) * 3_000_000,
    "items with an end each": long_element(0x0040A730, b"SQ", b"", UNDEFINED)
    + (delimiter(ITEM, UNDEFINED) + delimiter(ITEM_END)) * 1_000_000,
    "fragments without an end": long_element(0x7FE00010, b"OB", b"", UNDEFINED)
    + delimiter(ITEM) * 3_000_000,
    "many deep sequences": sequences(32, defined=False) * 30_000,
    "many sequences too deep at last": sequences(30, defined=False) * 10_000
    + sequences(40, defined=True),
    "private creators without an end": element(0x00310010, b"LO", b"GEMS_PARM_01")
    * 1_000_000,
    "private values that could be sequences": long_element(
        0x00291010, b"UN", delimiter(ITEM, 8) + b"\x31\0\x10\0\xff\0\0\0"
    )
    * 300_000,
}


@pytest.mark.parametrize("groups", [1, 2, 4, 5000])
def test_private_creators_do_not_add_up(groups: int) -> None:
    """Known creators, in every block of so many groups, again and again."""
    blocks = [
        struct.pack("<HHI", 2 * group + 0x1001, block, 12) + b"GEMS_PARM_01"
        for group in range(groups)
        for block in range(0x10, 0x100)
    ]
    many = b"".join((blocks * (200_000 // len(blocks) + 1))[:200_000])
    sent = encode(minimal(), IMPLICIT) + many
    outcome = in_bounds(DatasetView.of_bytes(sent), IMPLICIT, seconds=3)
    assert isinstance(outcome, ScannedDataset) == (groups * 0xF0 <= 1000)


@pytest.mark.parametrize("form", HOSTILE)
def test_what_is_made_to_cost_is_refused_soon_and_without_memory(form: str) -> None:
    sent = START + HOSTILE[form]
    outcome = in_bounds(DatasetView.of_bytes(sent), seconds=3)
    assert isinstance(outcome, CannotUnderstand)


def test_the_time_for_one_data_set_is_limited() -> None:
    many = element(0x00311010, b"US", b"\0\0") * 100_000
    assert scan_bytes(START + many)
    with pytest.raises(CannotUnderstand, match="too long to read"):
        scan_bytes(START + many, limits=ScanLimits(max_scan_seconds=0))


@pytest.mark.parametrize("tag", [0x00081030, 0x00291010, 0x00420011])
@pytest.mark.parametrize("vr", [b"OB", b"UT", b"UN"])
def test_an_element_that_is_no_pixel_data_may_be_so_long(tag: int, vr: bytes) -> None:
    limits = ScanLimits(max_element_bytes=1 << 17)
    assert scan_bytes(START + long_element(tag, vr, bytes(1 << 17)), limits=limits)
    longer = START + long_element(tag, vr, bytes((1 << 17) + 2))
    with pytest.raises(CannotUnderstand, match="max_element_bytes"):
        scan_bytes(longer, limits=limits)


def test_implicit_elements_and_those_in_items_have_the_same_limit() -> None:
    limits = ScanLimits(max_element_bytes=1 << 17)
    value = bytes((1 << 17) + 2)
    implicit = struct.pack("<HHI", 0x42, 0x11, len(value)) + value
    inner = long_element(0x00420011, b"OB", value)
    nested = long_element(0x0040A730, b"SQ", delimiter(ITEM, len(inner)) + inner)
    for sent, syntax in (
        (encode(minimal(), IMPLICIT) + implicit, IMPLICIT),
        (START + nested, EXPLICIT),
    ):
        assert scan_bytes(sent, syntax)
        with pytest.raises(CannotUnderstand, match="max_element_bytes"):
            scan_bytes(sent, syntax, limits)


def test_pixels_and_sequences_may_be_longer_than_an_element() -> None:
    limits = ScanLimits(max_element_bytes=1 << 16)
    pixels = image(Rows=300, Columns=300, PixelData=bytes(180_000))
    many = element(0x00310010, b"US", b"\0\0") * 10_000
    body = delimiter(ITEM, len(many)) + many
    sequence = long_element(0x0040A730, b"SQ", body)
    for syntax in (EXPLICIT, IMPLICIT, BIG):
        assert scan_bytes(encode(pixels, syntax), syntax, limits)
    assert scan_bytes(START + sequence, limits=limits)


def test_no_limit_lets_an_undefined_length_pass_as_a_length() -> None:
    limits = ScanLimits(max_element_bytes=1 << 40)
    sent = START + long_element(0x00420011, b"UT", bytes(8), length=UNDEFINED)
    with pytest.raises(CannotUnderstand, match="needs a length"):
        scan_bytes(sent, limits=limits)


def test_padding_of_any_length_is_looked_through_without_loading_it() -> None:
    sent = encode(image()) + bytes(24 << 20)
    view = mapped_view(sent, 1 << 16)
    assert isinstance(in_bounds(view, seconds=1), ScannedDataset)
    with pytest.raises(CannotUnderstand, match="group"):
        scan(mapped_view(sent + b"\1", 1 << 16), EXPLICIT, LIMITS)
