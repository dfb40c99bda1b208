"""The report's header: whose it is, in which characters, and when."""

from dataclasses import replace
from datetime import timedelta, timezone
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.core.errors import ReportError
from dicom_node.core.types import InputFile
from dicom_node.report.builder import COMPREHENSIVE_3D_SR
from dicom_node.report.legal import legal_date, legal_offset, legal_time, plain_text
from dicom_node.report.reading import hushed
from tests.peers import shared_data
from tests.unit.report.examples import (
    DEVICE_UID,
    build_one,
    builder,
    input_file,
    prediction_for,
    write_source,
)


def report_of(file: InputFile, **changes: Any) -> Dataset:
    return build_one([file], replace(prediction_for([file]), **changes))


def item(**attributes: Any) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def test_the_report_says_what_it_is_and_that_nobody_has_read_it(tmp_path: Path) -> None:
    report = report_of(write_source(tmp_path / "cr.dcm"))

    assert report.Modality == "SR"
    assert report.Manufacturer == "dicom-node"
    assert report.CompletionFlag == "COMPLETE"
    assert report.VerificationFlag == "UNVERIFIED"
    assert report.PreliminaryFlag == "PRELIMINARY"
    assert report.ContentQualification == "RESEARCH"
    assert report.SeriesDescription.startswith("AI cxr-pneumonia")
    assert "research use only" in report.SeriesDescription
    assert report.SeriesInstanceUID != "1.2.3.1"
    assert 9901 <= report.SeriesNumber <= 9999


def test_a_model_that_is_no_research_says_so(tmp_path: Path) -> None:
    report = report_of(write_source(tmp_path / "cr.dcm"), research_only=False)

    assert report.ContentQualification == "PRODUCT"
    assert report.SeriesDescription == "AI cxr-pneumonia"


def test_a_long_model_name_leaves_room_for_the_warning(tmp_path: Path) -> None:
    report = report_of(write_source(tmp_path / "cr.dcm"), model="m\\" * 90)

    assert len(report.SeriesDescription) <= 64
    assert "research use only" in report.SeriesDescription
    assert len(report.ManufacturerModelName) <= 64


def test_the_device_uid_is_on_our_equipment_only(tmp_path: Path) -> None:
    report = report_of(write_source(tmp_path / "cr.dcm"))

    (equipment,) = report.ContributingEquipmentSequence
    assert report.DeviceUID == DEVICE_UID == equipment.DeviceUID
    assert equipment.Manufacturer == "Example Hospital"
    assert equipment.ManufacturerModelName == "cxr-pneumonia"
    assert equipment.SoftwareVersions == "1.2.0"
    assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    assert equipment.ContributionDateTime == "20260304090807.125000+0000"
    assert report.SoftwareVersions == ["1.2.0", "dicom-node 0.1.0"]


def test_patient_and_study_are_copied_as_they_are(tmp_path: Path) -> None:
    other = item(PatientID="X-1", IssuerOfPatientID="ELSEWHERE", TypeOfPatientID="TEXT")
    attributes: dict[str, Any] = {
        "PatientID": "00042/7",
        "IssuerOfPatientID": "HOSP",
        "OtherPatientIDsSequence": [other],
        "PatientName": "Doe^Jane^^Dr^",
        "PatientAge": "004Y",
        "PatientWeight": "17.5",
        "AccessionNumber": "A 7",
        "StudyDescription": "Chest pa",
        "ReferringPhysicianName": "Roe^Richard",
        "AdmissionID": "ADM1",
    }

    report = report_of(write_source(tmp_path / "cr.dcm", **attributes))

    for keyword, value in attributes.items():
        assert report[keyword].value == value, keyword
    assert report.StudyInstanceUID == "1.2.3"
    assert report.StudyDate == "20260304"
    assert report.StudyTime == "0900"


def test_missing_attributes_of_type_2_are_there_and_empty(tmp_path: Path) -> None:
    missing = (
        "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime "
        "AccessionNumber StudyID ReferringPhysicianName Modality"
    )

    report = report_of(
        write_source(tmp_path / "cr.dcm", **dict.fromkeys(missing.split()))
    )

    for keyword in missing.split():
        if keyword != "Modality":
            assert keyword in report
            assert not report[keyword].value
    assert "ReferencedRequestSequence" not in report


@pytest.mark.parametrize(
    ("keyword", "value", "copied"),
    [
        ("StudyDate", "1997.04.24", "19970424"),
        ("StudyTime", "14:04:38", "140438"),
        ("StudyTime", "2561", ""),
        ("PatientBirthDate", "00000000", ""),
        ("PatientSex", "W", ""),
        ("PatientSex", "O", "O"),
        ("PatientID", "x" * 70, "x" * 70),
        ("PatientID", ["WARD", "42"], ["WARD", "42"]),  # WARD may be many patients
        ("AccessionNumber", "x" * 17, "x" * 17),
        ("PatientName", ["Doe^Jane", "Roe^Jane"], "Doe^Jane"),
        ("PatientName", "D" * 65, "D" * 65),
        ("PatientName", "A^B^C^D^E^F^G", "A^B^C^D^E F G"),
        ("PatientName", "Doe\r\n^Jane", "Doe ^Jane"),
        ("ReferringPhysicianName", "D" * 65, "D" * 64),
        ("StudyDate", ["20260101", "20260102"], "20260101"),
        ("PatientSex", "f", "F"),
        ("PatientSex", ["M", "F"], "M"),
        ("PatientAge", "45y", "045Y"),
        ("PatientWeight", "70.123456789012341", "70.1234567890123"),
        ("StudyDescription", "x" * 65, "x" * 64),
        ("StudyDescription", "Chest\x00\tpa", "Chest pa"),
    ],
)
def test_values_change_only_as_far_as_legality_asks(
    tmp_path: Path, keyword: str, value: str | list[str], copied: str | list[str]
) -> None:
    report = report_of(write_source(tmp_path / "cr.dcm", **{keyword: value}))

    with hushed():
        found = report[keyword].value or ""
        assert (found if isinstance(copied, list) else str(found)) == copied


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientWeight", "0"),
        ("PatientSize", "0.0"),
        ("PatientAge", "4"),
        ("SmokingStatus", "MAYBE"),
        ("PregnancyStatus", 9),
        ("AdmissionID", "x" * 65),  # a part of it is another's
        ("ResponsiblePersonRole", "PARENT"),  # of nobody
        ("PatientBreedDescription", "Beagle"),  # of a person
        ("PatientIdentityRemoved", "YES"),  # without saying how
        ("ProcedureCodeSequence", [item(CodeMeaning="no code")]),
        ("ReferencedStudySequence", [Dataset()]),
        ("IssuerOfAdmissionIDSequence", [item(UniversalEntityID="1.2")]),  # of a kind
    ],
)
def test_optional_values_that_cannot_be_legal_are_left_out(
    tmp_path: Path, keyword: str, value: Any
) -> None:
    report = report_of(write_source(tmp_path / "cr.dcm", **{keyword: value}))

    assert keyword not in report


def test_of_an_animal_everything_is_there_that_must_be(tmp_path: Path) -> None:
    report = report_of(
        write_source(tmp_path / "cr.dcm", PatientSpeciesDescription="Canis \u00fc")
    )

    assert report.PatientSpeciesDescription == "Canis \u00fc"
    for keyword in (
        "PatientBreedDescription",
        "PatientBreedCodeSequence",
        "BreedRegistrationSequence",
        "ResponsiblePerson",
        "ResponsibleOrganization",
        "PatientSexNeutered",
    ):
        assert report[keyword].is_empty


def test_a_long_code_is_a_long_code_value(tmp_path: Path) -> None:
    with hushed():
        code = item(CodeValue="c" * 17, CodeMeaning="m" * 65)
    code.CodingSchemeDesignator = "99X"
    report = report_of(write_source(tmp_path / "cr.dcm", ProcedureCodeSequence=[code]))

    (copied,) = report.ProcedureCodeSequence
    assert copied.LongCodeValue == "c" * 17
    assert "CodeValue" not in copied
    assert copied.CodeMeaning == "m" * 64


def test_the_request_is_named_with_all_its_keys(tmp_path: Path) -> None:
    asked = item(
        RequestedProcedureID="RP1",
        FillerOrderNumberImagingServiceRequest="F1",
        RequestedProcedureDescription="Chest",
    )
    file = write_source(tmp_path / "cr.dcm", RequestAttributesSequence=[asked])

    (request,) = report_of(file).ReferencedRequestSequence

    assert request.StudyInstanceUID == "1.2.3"
    assert request.AccessionNumber == "A7"
    assert request.RequestedProcedureID == "RP1"
    assert request.FillerOrderNumberImagingServiceRequest == "F1"
    for keyword in (
        "PlacerOrderNumberImagingServiceRequest",
        "ReferencedStudySequence",
        "RequestedProcedureCodeSequence",
    ):
        assert keyword in request


def test_our_times_are_in_the_zone_of_the_source(tmp_path: Path) -> None:
    file = write_source(tmp_path / "cr.dcm", TimezoneOffsetFromUTC="+0930")

    report = report_of(file)

    assert report.TimezoneOffsetFromUTC == "+0930"
    assert report.ContentDate == "20260304"
    assert report.ContentTime == "183807.125000"


@pytest.mark.parametrize("offset", [None, "nonsense", "-0000"])
def test_without_a_zone_our_times_are_local(tmp_path: Path, offset: str | None) -> None:
    file = write_source(tmp_path / "cr.dcm", TimezoneOffsetFromUTC=offset)
    west = timezone(timedelta(hours=-10))

    ((_, content),) = builder(local_zone=west).build(
        [file],
        prediction_for([file]),
        sop_class_uids=[COMPREHENSIVE_3D_SR],
        predecessors=(),
    )

    report = dcmread(BytesIO(content))
    assert "TimezoneOffsetFromUTC" not in report
    assert report.ContentDate == "20260303"
    assert report.ContentTime == "230807.125000"


@pytest.mark.parametrize(
    ("terms", "name"),
    [
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 100", "Äneas^Rüdiger"),
        ("ISO_IR 144", "Люкceмбypг"),
    ],
)
def test_a_name_survives_in_the_sources_character_set(
    tmp_path: Path, terms: Any, name: str
) -> None:
    file = write_source(
        tmp_path / "cr.dcm", SpecificCharacterSet=terms, PatientName=name
    )

    report = report_of(file)

    assert report.SpecificCharacterSet == terms
    assert str(report.PatientName) == name


def test_a_text_of_ours_that_does_not_fit_makes_the_report_utf_8(
    tmp_path: Path,
) -> None:
    file = write_source(
        tmp_path / "cr.dcm", SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Ä"
    )

    report = report_of(file, reason="폐렴")

    assert report.SpecificCharacterSet == "ISO_IR 192"
    assert str(report.PatientName) == "Müller^Ä"


def test_ascii_needs_no_character_set_and_an_unknown_one_is_replaced(
    tmp_path: Path,
) -> None:
    plain = report_of(write_source(tmp_path / "a.dcm"))
    odd = report_of(
        write_source(
            tmp_path / "b.dcm", SpecificCharacterSet="ISO_IR 999", PatientName="Doe^J"
        )
    )

    assert "SpecificCharacterSet" not in plain
    assert odd.SpecificCharacterSet == "ISO_IR 192"
    assert str(odd.PatientName) == "Doe^J"


def test_real_names_decode_as_they_do_in_the_source() -> None:
    described = {
        path: input_file(path)
        for path in sorted(shared_data("dicom", "charset").glob("*.dcm"))
    }
    files = {path: file for path, file in described.items() if file is not None}
    assert len(files) == 15  # two more are fragments without a UID
    for path, file in files.items():
        with hushed():
            source = dcmread(path, stop_before_pixels=True)
            report = report_of(file)
            for keyword in ("PatientName", "PatientID", "StudyDescription"):
                wanted = source.get(keyword)
                if wanted:
                    assert str(report.get(keyword)) == str(wanted), path.name


def test_a_character_set_inside_a_sequence_is_applied(tmp_path: Path) -> None:
    # The item has its own character set; the report's copy is in the report's.
    inner = item(SpecificCharacterSet="ISO_IR 192", PatientID="環境")
    file = write_source(
        tmp_path / "cr.dcm",
        SpecificCharacterSet="ISO_IR 100",
        OtherPatientIDsSequence=[inner],
    )

    report = report_of(file)

    assert report.OtherPatientIDsSequence[0].PatientID == "環境"
    assert report.SpecificCharacterSet == "ISO_IR 192"


def test_an_element_of_impossible_length_is_left_out(tmp_path: Path) -> None:
    file = write_source(tmp_path / "cr.dcm", PregnancyStatus=4)
    content = file.path.read_bytes()
    whole = b"\x10\x00\xc0\x21US\x02\x00\x04\x00"
    assert whole in content
    file.path.write_bytes(content.replace(whole, b"\x10\x00\xc0\x21US\x01\x00\x04"))

    report = report_of(file)

    assert "PregnancyStatus" not in report
    assert report.AccessionNumber == "A7"


def test_a_source_without_a_study_is_refused_without_a_value(tmp_path: Path) -> None:
    file = write_source(tmp_path / "cr.dcm")
    source = dcmread(file.path)
    del source.StudyInstanceUID
    source.save_as(file.path)

    with pytest.raises(ReportError) as refused:
        report_of(file)

    assert "Doe" not in str(refused.value)


def test_legal_forms_of_dates_times_and_offsets() -> None:
    assert legal_date("20240229") == "20240229"
    assert legal_date("20230229") == ""
    assert legal_time("235960") == "235960"  # a leap second
    assert legal_time("235959.1234567") == ""
    assert legal_offset("-1000") == "-1000"
    assert legal_offset("+1500") == ""
    assert plain_text("a\\b\x00c\n", 64) == "a/b c"
