"""However little of a data set is in memory, the scan sees the same."""

import random
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.elements import Walk
from dicom_node.receive.header import WANTED
from dicom_node.receive.layout import Elements
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.progress import Frame, Wanted
from dicom_node.receive.scan import ScannedDataset, encoding_of, scan
from dicom_node.receive.view import DatasetView, Source
from tests.peers import shared_data
from tests.unit.receive.build import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    element,
    encode,
    image,
    long_element,
    mapped_view,
    scan_bytes,
    split_file,
)
from tests.unit.receive.grammar import SYNTAXES, grammar

BUNDLED = Path(pydicom.__path__[0]) / "data"
LIMITS = ScanLimits(max_elements=20_000, max_inflated_bytes=1 << 22)
HEAD = 64 * 1024
Verdict = ScannedDataset | str


def verdict(view: DatasetView, syntax: str) -> Verdict:
    try:
        return scan(view, syntax, LIMITS)
    except CannotUnderstand as error:
        return str(error)


def check_heads(sent: bytes, syntax: str, heads: list[int]) -> None:
    expected = verdict(DatasetView.of_bytes(sent), syntax)
    for head in heads:
        seen = verdict(mapped_view(sent, head), syntax)
        assert seen == expected, head


def files() -> list[tuple[bytes, str]]:
    """Return what is in every file, of those without a head all of it."""
    found = []
    for root in (BUNDLED, shared_data("dicom")):
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.stat().st_size < 4 << 20:
                try:
                    dataset, syntax = split_file(path)
                except Exception:  # noqa: BLE001 - whatever pydicom meets
                    dataset, syntax = path.read_bytes(), EXPLICIT
                found.append((dataset, syntax or EXPLICIT))
    return found


@pytest.mark.filterwarnings("ignore")  # pydicom warns of values in these files
def test_every_file_has_one_verdict_whatever_part_is_in_memory() -> None:
    chance = random.Random(3)
    seen = files()
    assert len(seen) > 500
    for sent, syntax in seen:
        size = len(sent)
        heads = [0, chance.randint(0, size), chance.randint(0, min(size, 3000)), HEAD]
        check_heads(sent, syntax, heads)


SEEDS = tuple(
    split_file(Path(str(get_testdata_file(name))))
    for name in (
        "MR_small.dcm",
        "reportsi.dcm",
        "rtplan.dcm",
        "MR_small_RLE.dcm",
        "image_dfl.dcm",
        "nested_priv_SQ.dcm",
        "UN_sequence.dcm",
    )
)
PIECES = (
    b"\xfe\xff\x00\xe0\xff\xff\xff\xff",
    b"\xfe\xff\x0d\xe0\0\0\0\0",
    b"\xfe\xff\xdd\xe0\0\0\0\0",
    long_element(0x0040A730, b"SQ", b"", length=0xFFFFFFFF),
    long_element(0x00291010, b"UN", b"", length=16),
    b"\x29\x00\x10\x10\x20\0\0\0",
    element(0x00080018, b"UI", b"1.2\0"),
    element(0x00430010, b"LO", b"GEMS_PARM_01"),
    b"\xff\xff\xff\xff",
    b"\xe0\x7f\x10\0",
    bytes(9),
)
CHANGES = st.lists(
    st.tuples(
        st.integers(0, 1 << 20),
        st.one_of(st.sampled_from(PIECES), st.binary(max_size=6)),
        st.booleans(),
    ),
    max_size=6,
)


def damaged(whole: bytes, changes: list[tuple[int, bytes, bool]]) -> bytes:
    sent = bytearray(whole)
    for position, piece, inserted in changes:
        start = position % min(len(sent) or 1, 4000)
        sent[start : start + (0 if inserted else len(piece))] = piece
    return bytes(sent)


@settings(max_examples=300, derandomize=True, deadline=2000)
@given(
    st.sampled_from(SEEDS),
    CHANGES,
    st.sampled_from(("", EXPLICIT, IMPLICIT, BIG)),
    st.lists(st.integers(0, 1 << 20), min_size=1, max_size=4),
)
def test_a_damaged_file_has_one_verdict_whatever_part_is_in_memory(
    seed: tuple[bytes, str],
    changes: list[tuple[int, bytes, bool]],
    other: str,
    heads: list[int],
) -> None:
    sent = damaged(seed[0], changes)
    sizes = [head % (min(len(sent), 6000) + 1) for head in heads]
    check_heads(sent, other or seed[1], sizes)


class Careful(Walk):
    """A walk that looks at every element closely."""

    def _skim(self, frame: Frame) -> None:
        pass


def check_skimming(sent: bytes, syntax: str, limits: ScanLimits = LIMITS) -> bool:
    """Skimming must change neither what is found nor whether it is refused."""
    wanted, encoding = Wanted(WANTED), encoding_of(syntax)
    found: list[Elements | str] = []
    for kind in (Walk, Careful):
        with Source(DatasetView.of_bytes(sent)) as source:
            try:
                found.append(kind(source, limits).run(encoding, wanted))
            except CannotUnderstand as error:
                found.append(str(error))
    assert found[0] == found[1]
    return isinstance(found[0], Elements)


@pytest.mark.filterwarnings("ignore")  # pydicom warns of values in these files
def test_what_is_skimmed_would_have_passed_a_closer_look() -> None:
    for sent, syntax in files():
        if syntax != DEFLATED:
            check_skimming(sent, syntax)


@settings(max_examples=600, derandomize=True, deadline=2000)
@given(
    st.sampled_from([seed for seed in SEEDS if seed[1] != DEFLATED]),
    CHANGES,
    st.sampled_from(("", EXPLICIT, IMPLICIT, BIG)),
)
def test_what_is_skimmed_of_a_damaged_file_would_have_passed_a_closer_look(
    seed: tuple[bytes, str], changes: list[tuple[int, bytes, bool]], other: str
) -> None:
    check_skimming(damaged(seed[0], changes), other or seed[1])


def test_random_elements_have_one_verdict_however_they_are_read() -> None:
    chance, accepted = random.Random(11), 0
    tight = ScanLimits(max_depth=2, max_elements=60, max_empty_elements=8)
    for _ in range(1500):
        syntax = chance.choice(SYNTAXES)
        sent = grammar(chance, syntax).dataset()
        accepted += check_skimming(sent, syntax)
        check_skimming(sent, syntax, tight)
        check_heads(sent, syntax, [chance.randint(0, len(sent)) for _ in range(2)])
    assert 300 < accepted < 1200


def no_mapping() -> memoryview:
    raise AssertionError("the whole data set was asked for")


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
def test_an_image_whose_pixels_end_it_is_scanned_by_its_head(syntax: str) -> None:
    sent = encode(image(Rows=300, Columns=300, PixelData=bytes(180_000)), syntax)
    view = DatasetView(sent[:HEAD], len(sent), no_mapping)
    assert scan(view, syntax, LIMITS) == scan_bytes(sent, syntax)


def test_real_series_are_scanned_by_their_heads() -> None:
    for path in sorted(shared_data("dicom", "ct_chest_30").glob("*.dcm")):
        sent, syntax = split_file(path)
        assert scan(DatasetView(sent[:HEAD], len(sent), no_mapping), syntax, LIMITS)


@pytest.mark.parametrize(
    "tail",
    [
        long_element(0xFFFCFFFC, b"OB", bytes(6)),
        bytes(64),
        element(0x7FE10010, b"LO", b"PRIVATE "),
    ],
)
def test_what_follows_the_pixels_is_looked_at(tail: bytes) -> None:
    sent = encode(image(Rows=300, Columns=300, PixelData=bytes(180_000)))
    check_heads(sent + tail, EXPLICIT, [HEAD])
    with pytest.raises(AssertionError, match="whole"):
        scan(
            DatasetView((sent + tail)[:HEAD], len(sent + tail), no_mapping),
            EXPLICIT,
            LIMITS,
        )
    broken = element(0x7FE10010, b"LO", b"PRIVATE ")[:-2]
    with pytest.raises(CannotUnderstand, match="longer"):
        scan(mapped_view(sent + broken, HEAD), EXPLICIT, LIMITS)


def test_identifiers_far_behind_the_head_are_found() -> None:
    filler = long_element(0x00041010, b"OB", bytes(3 * HEAD))
    sent = filler + encode(image())
    assert scan(mapped_view(sent, HEAD), EXPLICIT, LIMITS).sop_instance_uid == "1.2.3.4"


def test_a_file_that_became_shorter_is_refused() -> None:
    sent = encode(image()) + bytes(100)
    view = DatasetView(sent[:50], len(sent) + 1, mapped_view(sent, 0).whole)
    with pytest.raises(CannotUnderstand, match="as long as"):
        scan(view, EXPLICIT, LIMITS)


def test_a_deflated_data_set_need_not_be_in_memory_either() -> None:
    path = Path(str(get_testdata_file("image_dfl.dcm")))
    sent, syntax = split_file(path)
    assert syntax == DEFLATED
    check_heads(sent, syntax, [0, 1, 100])
