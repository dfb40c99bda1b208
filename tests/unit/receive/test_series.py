"""An image that comes behind others of its series is judged as if it came alone."""

import pytest
from pydicom import Dataset
from pydicom.uid import UID

from dicom_node.core.errors import CannotUnderstand
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.scan import ScannedDataset, encoding_of, scan
from dicom_node.receive.series import Series, SeriesPart
from dicom_node.receive.structures import Structure, Structures
from dicom_node.receive.view import DatasetView
from tests.unit.receive.build import BIG, EXPLICIT, IMPLICIT, encode, image
from tests.unit.receive.test_structures import LIMITS, learned

OFTEN = 5  # so many are enough for a series to be known
SERIES = {
    "Modality": "CT",
    "SeriesDescription": "Thorax",
    "StudyDescription": "Chest",
    "SeriesNumber": 3,
    "InstanceNumber": 10,
    "ImageType": ["ORIGINAL", "PRIMARY"],
    "PatientAge": "045Y",
}


def ct(**attributes: object) -> Dataset:
    return image(**(SERIES | attributes))


def behind_others(dataset: Dataset, syntax: str = EXPLICIT) -> ScannedDataset:
    """Scan a data set behind some of the series of `ct`."""
    limits = ScanLimits()
    for number in range(OFTEN):
        scan(DatasetView.of_bytes(encode(ct(InstanceNumber=20 + number), syntax)),
             syntax, limits)  # fmt: skip
    return scan(DatasetView.of_bytes(encode(dataset, syntax)), syntax, limits)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_every_image_keeps_its_own_uid_and_number(syntax: str) -> None:
    found = behind_others(ct(SOPInstanceUID=UID("1.2.3.9"), InstanceNumber=77), syntax)
    assert found.sop_instance_uid == "1.2.3.9"
    assert found.header.instance_number == 77
    assert found.header.series_description == "Thorax"
    assert found.header.patient_age_years == 45


@pytest.mark.parametrize(
    ("keyword", "value", "name"),
    [
        ("SeriesDescription", "Aorta!", "series_description"),
        ("StudyDescription", "Spine", "study_description"),
        ("Modality", "MR", "modality"),
        ("SeriesNumber", 4, "series_number"),
        ("Manufacturer", "Other", "manufacturer"),
        ("Rows", 3, "rows"),
        ("Columns", 2, "columns"),
    ],
)
def test_what_differs_from_the_series_is_not_taken_from_it(
    keyword: str, value: object, name: str
) -> None:
    found = behind_others(ct(**{keyword: value}))
    assert getattr(found.header, name) == value


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID"])
def test_another_study_or_series_is_never_the_last_one(keyword: str) -> None:
    found = behind_others(ct(**{keyword: UID("1.2.8")}))
    assert "1.2.8" in (found.study_instance_uid, found.series_instance_uid)


@pytest.mark.parametrize("number", [None, ""])
def test_an_image_without_a_number_gets_no_others(number: str | None) -> None:
    found = behind_others(ct(InstanceNumber=number))
    assert found.header.instance_number is None


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"Rows": 8}, "shorter than the header"),
        ({"PixelData": bytes(46)}, "shorter than the header"),
        ({"BitsAllocated": 12}, "Bits Allocated"),
        ({"SamplesPerPixel": 9}, "Samples per Pixel"),
    ],
)
def test_pixels_are_checked_behind_others_too(
    attributes: dict[str, object], words: str
) -> None:
    with pytest.raises(CannotUnderstand, match=words):
        behind_others(ct(**attributes))


def test_a_uid_is_checked_behind_others_too() -> None:
    limits = ScanLimits()
    sent = encode(ct())
    for _ in range(OFTEN):
        scan(DatasetView.of_bytes(sent), EXPLICIT, limits)
    broken = sent.replace(b"1.2.3.4\0", b"1.2.x.4\0")
    with pytest.raises(CannotUnderstand, match="SOP Instance UID is not a UID"):
        scan(DatasetView.of_bytes(broken), EXPLICIT, limits)


def test_what_comes_behind_the_pixels_is_not_overlooked() -> None:
    limits = ScanLimits()
    sent = encode(ct())
    for _ in range(OFTEN):
        scan(DatasetView.of_bytes(sent), EXPLICIT, limits)
    with pytest.raises(CannotUnderstand):
        scan(DatasetView.of_bytes(sent + b"\x08\x00"), EXPLICIT, limits)


def test_only_images_whose_rest_is_known_are_remembered() -> None:
    """Of what is behind the pixels, and of a VR that may hold items, nobody knows."""
    assert remembers(encode(ct()))
    assert not remembers(encode(ct(DataSetTrailingPadding=b"\0\0\0\0")))
    assert not remembers(encode(ct()).replace(b"\xe0\x7f\x10\0OW", b"\xe0\x7f\x10\0UN"))


def remembers(sent: bytes) -> bool:
    limits, encoding = ScanLimits(), encoding_of(EXPLICIT)
    view = DatasetView.of_bytes(sent)
    scanned = scan(view, EXPLICIT, limits)
    structure = known(learned(sent), view)
    series = Series()
    series.learn(
        structure,
        view,
        encoding,
        SeriesPart(
            sop_class_uid=scanned.sop_class_uid,
            study_instance_uid=scanned.study_instance_uid,
            series_instance_uid=scanned.series_instance_uid,
            header=scanned.header,
            pixels=scanned.pixels,
        ),
    )
    return series.find(structure, view, encoding) is not None


def known(structures: Structures, view: DatasetView) -> Structure:
    found = structures.find(view, encoding_of(EXPLICIT), LIMITS)
    assert found is not None
    return found
