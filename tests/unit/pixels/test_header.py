"""The scanned header: never another answer than pydicom gives."""

import struct
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from dicom_node.core.errors import PixelError
from inference.pixels.border import third_party
from inference.pixels.codecs import (
    DEFLATED,
    EXPLICIT_BIG,
    IMPLICIT_LITTLE,
)
from inference.pixels.header import Header, scan_header, scan_transfer_syntax
from inference.pixels.wanted import PIXEL_ELEMENTS, WANTED_KEYWORDS
from tests.conformance.pixel_files import image_files, name_of
from tests.unit.pixels.images import item, write_image

HEAD = 32 << 10


def scan(content: bytes, *, head: int = HEAD) -> Header | None:
    """Scan a file's bytes as `open_image` does."""
    found = scan_transfer_syntax(content[:HEAD])
    if found is None or found[0] in (DEFLATED, EXPLICIT_BIG):
        return None
    syntax, start = found
    with third_party("the header cannot be scanned"):
        return scan_header(
            BytesIO(content),
            content[:head],
            size=len(content),
            start=start,
            is_implicit=syntax == IMPLICIT_LITTLE,
        )


def read_by_pydicom(content: bytes, start: int, is_implicit: bool) -> Dataset:
    file = BytesIO(content)
    file.seek(start)
    return read_dataset(
        file, is_implicit, True, stop_when=lambda tag, vr, size: tag in PIXEL_ELEMENTS
    )


def assert_equal(ours: Dataset, theirs: Dataset) -> None:
    """Compare the wanted elements, and that none was made up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for keyword in WANTED_KEYWORDS:
            assert (keyword in ours) == (keyword in theirs), keyword
            if keyword in theirs:
                assert ours[keyword] == theirs[keyword], keyword
    assert set(ours.keys()) <= set(theirs.keys())
    assert ours.original_encoding == theirs.original_encoding
    assert ours.original_character_set == theirs.original_character_set


@pytest.mark.parametrize("path", image_files(), ids=name_of)
def test_a_scan_of_a_real_file_gives_what_pydicom_gives_or_leaves_it_alone(
    path: Path,
) -> None:
    content = path.read_bytes()
    header = scan(content)
    if header is None:
        return
    found = scan_transfer_syntax(content[:HEAD])
    assert found is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = read_by_pydicom(content, found[1], found[0] == IMPLICIT_LITTLE)
    assert_equal(header.dataset, theirs)
    # The value lies where its header says, behind tag, VR and length.
    before = content[header.start - 12 : header.start]
    assert struct.pack("<HH", header.tag >> 16, header.tag & 0xFFFF) in before
    assert before.endswith(struct.pack("<I", header.length))


def test_most_real_files_are_scanned() -> None:
    names = [
        path
        for path in image_files()
        if scan_transfer_syntax(path.read_bytes()[:HEAD]) is not None
    ]
    scanned = [path for path in names if scan(path.read_bytes()) is not None]
    assert len(scanned) > 0.6 * len(names)


def a_dataset(*, undefined: bool) -> Dataset:
    """Make a data set with sequences in sequences before and between the wanted."""
    deepest = item(CodeValue="1", LongCodeValue="x" * 301)
    middle = item(ConceptCodeSequence=Sequence([deepest, Dataset()]))
    dataset = item(
        SpecificCharacterSet="ISO_IR 100",
        SeriesDescription="Schädel",
        ProcedureCodeSequence=Sequence([middle, middle]),
        VOILUTSequence=Sequence([item(LUTExplanation="soft")]),
        WindowCenter=[40, -600],
        WindowWidth=[400, 1500],
        RescaleSlope="1.5",
        Rows=2,
        Columns=2,
    )
    dataset.add_new(0x00091001, "UN", b"private!")
    dataset.add_new(0x00091010, "SQ", Sequence([item(PatientID="P")]))
    for element in dataset.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = undefined
            for one in element.value:
                one.is_undefined_length_sequence_item = undefined
    return dataset


@pytest.mark.parametrize("undefined", [True, False])
@pytest.mark.parametrize("is_implicit", [True, False])
@pytest.mark.parametrize("head", [300, 4096])
def test_nested_sequences_are_stepped_over_and_read_alike(
    undefined: bool, is_implicit: bool, head: int
) -> None:
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = is_implicit, True
    write_dataset(file, a_dataset(undefined=undefined))
    body = file.getvalue()
    body += b"\xe0\x7f\x10\x00" + (b"" if is_implicit else b"OW\0\0")
    body += struct.pack("<I", 8) + bytes(8)
    header = scan_header(
        BytesIO(body), body[:head], size=len(body), start=0, is_implicit=is_implicit
    )
    assert header is not None
    assert_equal(header.dataset, read_by_pydicom(body, 0, is_implicit))
    assert header.dataset.SeriesDescription == "Schädel"
    assert header.dataset.VOILUTSequence[0].LUTExplanation == "soft"
    assert header.length == 8
    assert header.start == len(body) - 8


@given(cut=st.integers(0, 2000), data=st.binary(min_size=1, max_size=8))
def test_a_damaged_header_is_read_as_pydicom_reads_it_or_not_at_all(
    cut: int, data: bytes
) -> None:
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = False, True
    write_dataset(file, a_dataset(undefined=True))
    good = file.getvalue() + b"\xe0\x7f\x10\x00OW\0\0\x08\0\0\0" + bytes(8)
    cut %= len(good)
    body = good[:cut] + data + good[cut + len(data) :]
    try:
        with third_party("the data set cannot be parsed"):
            header = scan_header(
                BytesIO(body), body[:64], size=len(body), start=0, is_implicit=False
            )
    except PixelError:
        return
    if header is None:
        return
    with third_party("the second reader failed"):
        theirs = read_by_pydicom(body, 0, False)
        ours = {tag: _value(header.dataset, tag) for tag in header.dataset.keys()}  # noqa: SIM118 - a data set gives elements
        expected = {tag: _value(theirs, tag) for tag in ours if tag in theirs}
    assert ours == expected


def _value(dataset: Dataset, tag: BaseTag) -> object:
    """Return a value for comparison, or the kind of error that reading it raises."""
    try:
        return dataset[tag].value
    except Exception as error:  # noqa: BLE001 - any of pydicom's
        return type(error)


def test_a_value_beyond_the_first_bytes_read_is_still_found(tmp_path: Path) -> None:
    path = write_image(
        tmp_path / "a.dcm",
        np.zeros((4, 4), np.uint16),
        ImageComments="x" * 9000,
        TextValue="y" * 60000,
        WindowCenter=7,
        WindowWidth=9,
    )
    header = scan(path.read_bytes())
    assert header is not None
    assert header.dataset.WindowCenter == 7
    assert header.length == 32
