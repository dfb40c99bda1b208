"""A data set that lies like another is scanned alike, and no other one is."""

import random
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.elements import walk
from dicom_node.receive.header import WANTED
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.progress import Wanted
from dicom_node.receive.scan import ScannedDataset, encoding_of, scan
from dicom_node.receive.structures import Structures
from dicom_node.receive.view import DatasetView, Source
from tests.peers import shared_data
from tests.unit.receive.build import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    encode,
    image,
    long_element,
    mapped_view,
    minimal,
    scan_bytes,
    split_file,
)
from tests.unit.receive.grammar import SYNTAXES, grammar

LIMITS = ScanLimits()
KEPT = Wanted(WANTED)


def verdict(view: DatasetView, syntax: str, limits: ScanLimits) -> ScannedDataset | str:
    try:
        return scan(view, syntax, limits)
    except CannotUnderstand as error:
        return str(error)


def learned(*sent: bytes, syntax: str = EXPLICIT) -> Structures:
    """Show data sets until they are known."""
    structures, encoding = Structures(KEPT), encoding_of(syntax)
    for dataset in sent:
        view = DatasetView.of_bytes(dataset)
        with Source(view) as source:
            elements = walk(source, encoding, wanted=KEPT, limits=LIMITS)
        for _ in range(2):
            structures.learn(view, encoding, LIMITS, elements)
    return structures


def recognised(structures: Structures, sent: bytes, syntax: str = EXPLICIT) -> bool:
    view = DatasetView.of_bytes(sent)
    return structures.find(view, encoding_of(syntax), LIMITS) is not None


SEEDS = {
    name: split_file(Path(str(get_testdata_file(name))))
    for name in (
        "MR_small.dcm",
        "MR_small_implicit.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_RLE.dcm",
        "reportsi.dcm",
        "nested_priv_SQ.dcm",
        "UN_sequence.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
    )
}
PIECES = (b"\0", b"\xff", b"\xfe\xff\x00\xe0", b"SQ", b"UN", b"\xe0\x7f\x10\0", b"1")


@pytest.mark.parametrize("name", SEEDS)
def test_whatever_changes_in_a_known_data_set_is_seen(name: str) -> None:
    """Every byte up to the pixels, and lengths, against a scan that knows nothing."""
    sent, syntax = SEEDS[name]
    chance = random.Random(name)
    limits = replace(LIMITS)
    for _ in range(3):
        verdict(DatasetView.of_bytes(sent), syntax, limits)
    for position in range(min(len(sent), 2500)):
        changed = bytearray(sent)
        piece = chance.choice(PIECES)
        changed[position : position + len(piece)] = piece
        if chance.random() < 0.2:
            del changed[-chance.randint(1, 9) :]
        view = mapped_view(bytes(changed), chance.choice((3000, 1 << 16)))
        assert verdict(view, syntax, limits) == verdict(view, syntax, replace(LIMITS))


@pytest.mark.filterwarnings("ignore")  # pydicom warns of random text
def test_random_elements_have_the_same_verdict_again_and_when_they_change() -> None:
    chance, limits = random.Random(13), replace(LIMITS)
    for _ in range(600):
        syntax = chance.choice(SYNTAXES)
        sent = encode(minimal(), syntax) + grammar(chance, syntax).dataset()
        view = DatasetView.of_bytes(sent)
        verdicts = [verdict(view, syntax, limits) for _ in range(3)]
        assert verdicts == [verdicts[0]] * 3
        changed = bytearray(sent)
        for _ in range(chance.randint(1, 3)):
            changed[chance.randrange(len(changed))] = chance.choice(b"\0\1\2\xfe\xffS")
        view = DatasetView.of_bytes(bytes(changed))
        assert verdict(view, syntax, limits) == verdict(view, syntax, replace(LIMITS))


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_the_next_image_of_a_series_is_recognised_by_its_structure(syntax: str) -> None:
    known = learned(encode(image(InstanceNumber="1", Rows=4), syntax), syntax=syntax)
    other = image(InstanceNumber="2", Rows=6, Columns=4, PixelData=bytes(range(48)))
    other.SOPInstanceUID = "1.2.3.5"
    assert recognised(known, encode(other, syntax), syntax)
    longer = image(InstanceNumber="100", Rows=6, Columns=4)
    assert not recognised(known, encode(longer, syntax), syntax)
    assert not recognised(known, encode(minimal(), syntax), syntax)


def test_what_is_found_comes_from_the_data_set_at_hand() -> None:
    limits = replace(LIMITS)
    for number in range(1, 9):
        sent = encode(image(InstanceNumber=str(number), StudyDescription=f"S{number}"))
        scanned = scan_bytes(sent, limits=limits)
        assert scanned.header.instance_number == number
        assert scanned.header.study_description == f"S{number}"


def test_pixels_are_checked_in_every_image_of_a_series() -> None:
    limits = replace(LIMITS)
    for _ in range(4):
        assert scan_bytes(encode(image()), limits=limits)
    with pytest.raises(CannotUnderstand, match="shorter"):
        scan_bytes(encode(image(PixelData=bytes(46))), limits=limits)
    with pytest.raises(CannotUnderstand, match="shorter"):
        scan_bytes(encode(image(Rows=5)), limits=limits)
    with pytest.raises(CannotUnderstand, match="longer"):
        scan_bytes(encode(image())[:-2], limits=limits)


def test_most_of_a_real_series_is_recognised() -> None:
    structures, hits = Structures(KEPT), 0
    paths = sorted(shared_data("dicom", "ct_chest_30").glob("*.dcm"))
    for path in paths:
        sent, syntax = split_file(path)
        encoding = encoding_of(syntax)
        view = DatasetView.of_bytes(sent)
        if structures.find(view, encoding, LIMITS):
            hits += 1
            continue
        with Source(view) as source:
            elements = walk(source, encoding, wanted=KEPT, limits=LIMITS)
        structures.learn(view, encoding, LIMITS, elements)
    assert hits >= len(paths) - 6


def test_other_limits_are_not_taken_over() -> None:
    sent = encode(image())
    view = DatasetView.of_bytes(sent)
    structures = learned(sent)
    encoding = encoding_of(EXPLICIT)
    assert structures.find(view, encoding, LIMITS)
    assert not structures.find(view, encoding, replace(LIMITS, max_elements=3))
    assert not structures.find(view, encoding_of(BIG), LIMITS)


def test_a_data_set_whose_header_is_not_in_memory_is_walked() -> None:
    sent = encode(image())
    structures = learned(sent)
    view = mapped_view(sent, 100)
    assert structures.find(view, encoding_of(EXPLICIT), LIMITS) is None


def test_structures_hold_no_values() -> None:
    secret = b"SECRETNAME"
    dataset = image(PatientName=secret.decode(), StudyDescription=secret.decode())
    dataset.PatientID = secret.decode()
    structures = learned(encode(dataset) + long_element(0x00291010, b"UN", secret))
    (known,) = structures._known[encoding_of(EXPLICIT)]
    for look in known.looks:
        seen = look.seen.to_bytes(look.stop - look.start, "little")
        assert secret[:4] not in seen


def test_what_is_remembered_is_bounded() -> None:
    chance = random.Random(5)
    tracemalloc.start()
    try:
        structures = Structures(KEPT)
        for number in range(300):
            text = "x" * (2 * number)
            dataset = image(ImageComments=text)
            sent = encode(dataset) + long_element(0x00291010, b"OB", bytes(6))
            view = DatasetView.of_bytes(sent)
            encoding = encoding_of(chance.choice((EXPLICIT, DEFLATED)))
            with Source(view) as source:
                elements = walk(source, encoding, wanted=KEPT, limits=LIMITS)
            for _ in range(2):
                structures.learn(view, encoding, LIMITS, elements)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 1 << 20
