"""The scan takes what the wild has and refuses what is not what it says."""

import struct
import warnings
import zlib
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset, Sequence

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.scan import ScanLimits
from tests.peers import shared_data
from tests.unit.receive.build import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    delimiter,
    encapsulated,
    encode,
    image,
    minimal,
    quietly_read,
    scan_bytes,
    scan_dataset,
    split_file,
)

LIMITS = ScanLimits()
BUNDLED = Path(pydicom.__path__[0]) / "data"

# What pydicom bundles to be broken, or as a fragment that is no composite instance.
NOT_INSTANCES = {
    "MR_truncated.dcm": "longer",
    "rtplan_truncated.dcm": "longer",
    "emri_small_jpeg_2k_lossless_too_short.dcm": "no end",
    "badVR.dcm": "Number of Frames",
    "GH1146.dcm": "shorter",
    "bad_sequence.dcm": "not a UID",
    "winter.dcm": "twice",
    "no_meta.dcm": "longer",
}


def with_private(
    value: bytes, *, vr: bytes = b"UN", length: int | None = None
) -> bytes:
    """A minimal data set and a private element behind it."""
    size = len(value) if length is None else length
    element = struct.pack("<HH2sHI", 0x0029, 0x1010, b"UN", 0, size) + value
    return encode(minimal()) + element


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG])
def test_identity_and_header_are_the_same_in_every_encoding(syntax: str) -> None:
    dataset = image(
        Modality="DX",
        BodyPartExamined="CHEST",
        ViewPosition="PA",
        PatientAge="018M",
        ImageType=["DERIVED", "PRIMARY"],
        SeriesNumber="7",
        StudyDescription="Thorax",
    )
    scanned = scan_dataset(dataset, syntax)
    assert scanned.sop_instance_uid == "1.2.3.4"
    assert scanned.study_instance_uid == "1.2.3"
    assert scanned.series_instance_uid == "1.2.3.1"
    header = scanned.header
    assert (header.modality, header.body_part_examined) == ("DX", "CHEST")
    assert header.patient_age_years == 1.5
    assert header.image_type == ("DERIVED", "PRIMARY")
    assert (header.rows, header.columns, header.series_number) == (4, 6, 7)
    assert header.has_pixels
    (pixels,) = scanned.pixels
    assert encode(dataset, syntax)[pixels.start : pixels.end] == bytes(48)


def test_a_deflated_data_set_is_scanned_inflated() -> None:
    inner = encode(image())
    packer = zlib.compressobj(wbits=-15)
    sent = packer.compress(inner) + packer.flush()
    scanned = scan_bytes(sent, DEFLATED, LIMITS)

    assert scanned == scan_dataset(image())


@pytest.mark.parametrize(
    "keyword",
    ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"],
)
def test_every_identifier_must_be_there(keyword: str) -> None:
    dataset = minimal()
    del dataset[keyword]
    with pytest.raises(CannotUnderstand, match="missing"):
        scan_dataset(dataset)


@pytest.mark.parametrize("uid", ["1.2.03.4", "1.02", "1", "1" * 64])
def test_a_uid_as_the_wild_writes_it_is_taken(uid: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = minimal(SOPInstanceUID=uid)
    assert scan_dataset(dataset).sop_instance_uid == uid


@pytest.mark.parametrize("uid", [b"1..2", b"a.b", b"1.2 3", b"1" * 66, b"../../x "])
def test_what_is_no_uid_is_refused_without_telling_it(uid: bytes) -> None:
    sent = encode(minimal())
    old = struct.pack("<HH2sH", 8, 0x18, b"UI", 8) + b"1.2.3.4\0"
    value = uid + b"\0" * (len(uid) % 2)
    new = struct.pack("<HH2sH", 8, 0x18, b"UI", len(value)) + value
    assert old in sent
    with pytest.raises(CannotUnderstand, match="not a UID") as refused:
        scan_bytes(sent.replace(old, new), EXPLICIT, LIMITS)
    assert uid.decode() not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Rows": 65535, "PixelData": b"\0\0"}, "shorter"),
        ({"PixelData": bytes(46)}, "shorter"),
        ({"NumberOfFrames": 2}, "shorter"),
        ({"NumberOfFrames": 2**31 - 1}, "larger"),
        ({"Rows": 65535, "Columns": 65535}, "larger"),
        ({"Rows": 0}, "Rows"),
        ({"Columns": None}, "Rows or Columns"),
        ({"BitsAllocated": 0}, "Bits Allocated"),
        ({"BitsAllocated": 9}, "Bits Allocated"),
        ({"SamplesPerPixel": 9}, "Samples per Pixel"),
        ({"SamplesPerPixel": 3}, "shorter"),
    ],
)
def test_pixels_must_be_what_the_header_says(
    change: dict[str, object], reason: str
) -> None:
    with pytest.raises(CannotUnderstand, match=reason):
        scan_dataset(image(**change))


def test_more_pixels_than_claimed_and_odd_photometrics_are_taken() -> None:
    assert scan_dataset(image(PixelData=bytes(60)))
    assert scan_dataset(image(BitsAllocated=1, PixelData=bytes(4)))
    ybr = image(
        SamplesPerPixel=3,
        BitsAllocated=8,
        PhotometricInterpretation="YBR_FULL_422",
        PixelData=bytes(48),
    )
    assert scan_dataset(ybr)


def test_encapsulated_frames_need_a_fragment_each() -> None:
    jpeg = "1.2.840.10008.1.2.4.90"
    assert scan_bytes(encapsulated([b"ab", b"cd"], frames=2), jpeg, LIMITS)
    with pytest.raises(CannotUnderstand, match="Number of Frames"):
        scan_bytes(encapsulated([b"ab"], frames=2), jpeg, LIMITS)
    with pytest.raises(CannotUnderstand, match="no end"):
        scan_bytes(encapsulated([b"ab"])[:-8], jpeg, LIMITS)


@pytest.mark.parametrize(
    "tail",
    [
        struct.pack("<HH2sHI", 0xFFFC, 0xFFFC, b"OB", 0, 6) + b"\0" * 6,
        b"\0" * 3,
        b"\0" * 512,
        struct.pack("<HH2sH", 0x0029, 0x0010, b"LO", 3) + b"odd",
        struct.pack("<HH2sH", 0x0031, 0x0000, b"UL", 4) + b"\0" * 4,
    ],
)
def test_what_follows_in_the_wild_is_taken(tail: bytes) -> None:
    assert scan_bytes(encode(image()) + tail, EXPLICIT, LIMITS)


@pytest.mark.parametrize(
    "tail",
    [
        b"\x31\x00\x00",
        struct.pack("<HH2sH", 0x0031, 0x10, b"LO", 9) + b"short",
        struct.pack("<HH2sH", 0x0031, 0x10, b"ZZ", 0),
        delimiter(ITEM_END),
        struct.pack("<HH2sH", 0x7FE1, 0x10, b"LO", 0xFFFF),
    ],
)
def test_a_tail_that_is_no_element_is_refused(tail: bytes) -> None:
    with pytest.raises(CannotUnderstand):
        scan_bytes(encode(image()) + tail, EXPLICIT, LIMITS)


@pytest.mark.parametrize("tag", [(0x0000, 0x0100), (0x0002, 0x0010)])
def test_no_sender_slips_elements_into_our_file_meta(tag: tuple[int, int]) -> None:
    head = struct.pack("<HH2sH", *tag, b"UI", 2) + b"1\0"
    with pytest.raises(CannotUnderstand, match="group"):
        scan_bytes(head + encode(minimal()), EXPLICIT, LIMITS)


def test_an_identifier_that_is_there_twice_is_refused() -> None:
    again = struct.pack("<HH2sH", 0x0020, 0x000D, b"UI", 2) + b"9\0"
    with pytest.raises(CannotUnderstand, match="twice"):
        scan_bytes(encode(minimal()) + again, EXPLICIT, LIMITS)


def test_a_child_may_not_leave_its_parent() -> None:
    child = struct.pack("<HH2sH", 0x0008, 0x0100, b"SH", 8) + b"12345678"
    item = delimiter(ITEM, len(child) - 4) + child
    sequence = struct.pack("<HH2sHI", 0x40, 0xA730, b"SQ", 0, len(item)) + item
    with pytest.raises(CannotUnderstand, match="longer"):
        scan_bytes(encode(minimal()) + sequence, EXPLICIT, LIMITS)


def test_un_of_undefined_length_is_implicit_inside_or_explicit() -> None:
    implicit = struct.pack("<HHI", 0x0008, 0x0100, 2) + b"AB"
    explicit = struct.pack("<HH2sH", 0x0008, 0x0100, b"SH", 2) + b"AB"
    for element in (implicit, explicit):
        item = delimiter(ITEM, 0xFFFFFFFF) + element + delimiter(ITEM_END)
        sent = with_private(item + delimiter(SEQUENCE_END), length=0xFFFFFFFF)
        assert scan_bytes(sent, EXPLICIT, LIMITS)


def test_private_bytes_that_only_look_like_a_sequence_are_bytes() -> None:
    assert scan_bytes(with_private(delimiter(ITEM, 77) + b"no items"), EXPLICIT, LIMITS)


def test_a_sequence_of_another_writer_is_walked_through_in_both_lengths() -> None:
    item = Dataset()
    item.CodeValue = "T-D3000"
    dataset = minimal(AnatomicRegionSequence=Sequence([item, Dataset()]))
    for syntax in (IMPLICIT, EXPLICIT, BIG):
        for undefined in (False, True):
            dataset["AnatomicRegionSequence"].is_undefined_length = undefined
            assert scan_dataset(dataset, syntax)


def corpus(root: Path) -> list[Path]:
    return sorted(
        path
        for path in root.rglob("*")
        if path.is_file()
        and path.read_bytes()[128:132] == b"DICM"
        and "DICOMDIR" not in path.name
        and "fuzz" not in path.parts
    )


def check_against_pydicom(path: Path) -> bool:
    """Scan a file; compare with pydicom's reading. False if it was refused."""
    dataset = quietly_read(path)
    sent, syntax = split_file(path)
    if not syntax or not all(
        dataset.get(keyword)
        for keyword in (
            "SOPClassUID",
            "SOPInstanceUID",
            "StudyInstanceUID",
            "SeriesInstanceUID",
        )
    ):
        with pytest.raises(CannotUnderstand):
            scan_bytes(sent, syntax or EXPLICIT, LIMITS)
        return False
    if path.name in NOT_INSTANCES:
        with pytest.raises(CannotUnderstand, match=NOT_INSTANCES[path.name]):
            scan_bytes(sent, syntax, LIMITS)
        return False
    scanned = scan_bytes(sent, syntax, LIMITS)
    header = scanned.header
    assert scanned.sop_instance_uid == dataset.SOPInstanceUID
    for name, keyword in {
        "modality": "Modality",
        "body_part_examined": "BodyPartExamined",
        "view_position": "ViewPosition",
        "study_description": "StudyDescription",
        "series_description": "SeriesDescription",
        "accession_number": "AccessionNumber",
        "manufacturer": "Manufacturer",
        "presentation_intent_type": "PresentationIntentType",
    }.items():
        expected = str(dataset.get(keyword) or "").strip()
        assert getattr(header, name) == expected, (path.name, keyword)
    assert header.rows == dataset.get("Rows"), path.name
    assert header.columns == dataset.get("Columns"), path.name
    frames = dataset.get("NumberOfFrames") or 1
    assert header.number_of_frames == int(frames), path.name
    return True


@pytest.mark.filterwarnings("ignore")  # pydicom warns of values in these files
def test_every_real_file_that_pydicom_bundles_is_read_as_pydicom_reads_it() -> None:
    accepted = [check_against_pydicom(path) for path in corpus(BUNDLED)]
    assert sum(accepted) > 120


@pytest.mark.filterwarnings("ignore")  # pydicom warns of values in these files
def test_every_real_file_of_the_test_data_is_read_as_pydicom_reads_it() -> None:
    accepted = [check_against_pydicom(path) for path in corpus(shared_data("dicom"))]
    assert sum(accepted) > 250
