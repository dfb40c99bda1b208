"""What routing needs is read as the standard says, whatever the character set."""

import pydicom
import pytest

from dicom_node.receive.scan import ScanLimits
from tests.unit.receive.build import (
    BIG,
    EXPLICIT,
    encode,
    minimal,
    scan_bytes,
    scan_dataset,
)


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("054Y", 54.0),
        ("018M", 1.5),
        ("003W", 21 / 365.25),
        ("010D", 10 / 365.25),
        ("000D", 0.0),
        ("", None),
        ("54", None),
        ("ABCY", None),
    ],
)
def test_patient_age_is_in_years(age: str, years: float | None) -> None:
    dataset = minimal()
    dataset.add_new("PatientAge", "LO", age)  # LO: pydicom would refuse some as AS
    found = scan_dataset(dataset).header.patient_age_years
    assert found == (None if years is None else pytest.approx(years, abs=1e-3))


@pytest.mark.parametrize(
    ("born", "studied", "years"),
    [
        ("20180601", "20230601", 5.0),
        ("2018.06.01", "2023.06.01", 5.0),
        ("20180601", "", None),
        ("20230601", "20180601", None),
        ("20181301", "20230601", None),
    ],
)
def test_without_an_age_the_dates_count(
    born: str, studied: str, years: float | None
) -> None:
    dataset = minimal()
    dataset.add_new("PatientBirthDate", "LO", born)
    dataset.add_new("StudyDate", "LO", studied)
    found = scan_dataset(dataset).header.patient_age_years
    assert found == (None if years is None else pytest.approx(years, abs=0.005))


@pytest.mark.parametrize(
    ("character_set", "text"),
    [
        ("ISO_IR 192", "Röntgen Thorax 胸部"),
        ("ISO_IR 100", "Röntgen"),
        ("ISO_IR 144", "Грудь"),
        ("ISO_IR 13", "ｷｮｳﾌﾞ"),
        ("GB18030", "胸部"),
        (["", "ISO 2022 IR 87"], "胸部"),
        (["", "ISO 2022 IR 149"], "흉부"),
    ],
)
def test_a_description_survives_its_character_set(
    character_set: str | list[str], text: str
) -> None:
    dataset = minimal(SpecificCharacterSet=character_set)
    dataset.StudyDescription = text
    assert scan_dataset(dataset).header.study_description == text


@pytest.mark.parametrize("term", [b"NONSENSE", b"ISO_IR 192", b"\xff\xfe"])
def test_text_in_a_wrong_character_set_is_no_reason_to_refuse(term: bytes) -> None:
    dataset = minimal(SpecificCharacterSet="ISO_IR 100", StudyDescription="R\xf6ntgen")
    sent = encode(dataset).replace(b"ISO_IR 100", term.ljust(10))
    assert scan_bytes(sent, EXPLICIT, ScanLimits()).header.study_description


def test_long_text_is_bounded_and_control_characters_are_gone() -> None:
    dataset = minimal()
    dataset.add_new("SeriesDescription", "UT", "a\x1b[31m\nb" + "x" * 10_000)
    text = scan_dataset(dataset).header.series_description
    assert len(text) == 256
    assert text.isprintable()


def test_numbers_that_are_none_are_missing() -> None:
    dataset = minimal()
    dataset.add_new("SeriesNumber", "LO", "seven")
    dataset.add_new("InstanceNumber", "LO", "99999999999")
    header = scan_dataset(dataset).header
    assert (header.series_number, header.instance_number) == (None, None)


def test_an_empty_header_says_missing() -> None:
    header = scan_dataset(minimal(), BIG).header
    assert header.modality == header.body_part_examined == header.accession_number == ""
    assert header.rows is None
    assert header.number_of_frames == 1
    assert not header.has_pixels


def test_attributes_inside_sequences_are_not_the_header() -> None:
    item = pydicom.Dataset()
    item.Modality = "MR"
    dataset = minimal(Modality="SR")
    dataset.ReferencedStudySequence = [item]
    assert scan_dataset(dataset).header.modality == "SR"
