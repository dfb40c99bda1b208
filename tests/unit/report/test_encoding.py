"""Objects as files: the bytes that pydicom writes of each as a whole."""

from copy import deepcopy
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread, dcmwrite

from dicom_node.core.errors import ReportError
from dicom_node.report.encoding import encode
from dicom_node.report.header import file_meta
from dicom_node.report.reading import hushed
from tests.unit.report.examples import build_all, prediction_for, write_source

_NAMES = {
    "ASCII": ("", "Doe^Jane"),
    "Latin 1": ("ISO_IR 100", "Müller^Ä"),
    "Greek": ("ISO_IR 126", "Διονυσιος"),
    "UTF-8": ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
    "Korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "Japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
}


def _whole(dataset: Dataset) -> bytes:
    """Write a data set with pydicom alone, in one go."""
    buffer = BytesIO()
    dcmwrite(
        buffer, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True
    )
    return buffer.getvalue()


@pytest.mark.parametrize("named", _NAMES)
def test_each_sr_class_is_written_as_pydicom_writes_all_of_it(
    tmp_path: Path, named: str
) -> None:
    terms, name = _NAMES[named]
    first = write_source(
        tmp_path / "a.dcm", SpecificCharacterSet=terms, PatientName=name
    )
    late = write_source(
        tmp_path / "b.dcm",
        SpecificCharacterSet=terms,
        PatientName=name,
        SOPInstanceUID="1.2.3.5",
    )
    earlier = [report for report, _ in build_all([first], prediction_for([first]))]

    made = build_all([first, late], prediction_for([first, late]), earlier)

    assert len(made) == 3
    for report, content in made:
        read = dcmread(BytesIO(content))
        read.walk(lambda _dataset, _element: None)
        assert _whole(read) == content
        assert str(read.PatientName) == name
        assert read.SOPInstanceUID == report.sop_instance_uid
    assert len({content for _, content in made}) == 3


def _forms(*comments: str) -> list[Dataset]:
    """Make forms of an object that share all but comments and UID."""
    shared, forms = Dataset(), []
    shared.PatientName = "Doe^Jane"
    shared.StudyDescription = "chest"
    for number, comment in enumerate(comments, start=1):
        form = Dataset()
        form.update(shared)
        form.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.33"
        form.SOPInstanceUID = f"1.2.{number}"
        form.ImageComments = comment
        form.file_meta = file_meta(form.SOPClassUID, form.SOPInstanceUID, "1")
        forms.append(form)
    return forms


def test_what_forms_do_not_share_is_written_of_each() -> None:
    forms = _forms("one", "two")

    contents = encode(forms, [])

    assert contents == tuple(_whole(deepcopy(one)) for one in forms)
    assert [dcmread(BytesIO(one)).ImageComments for one in contents] == ["one", "two"]


def test_a_text_of_one_form_brings_all_of_them_to_utf_8() -> None:
    with hushed():
        contents = encode(_forms("one", "δύο"), ["ISO_IR 100"])

    read = [dcmread(BytesIO(one)) for one in contents]
    assert [one.SpecificCharacterSet for one in read] == ["ISO_IR 192"] * 2
    assert [one.ImageComments for one in read] == ["one", "δύο"]
    assert [str(one.PatientName) for one in read] == ["Doe^Jane"] * 2


def test_a_text_that_no_character_set_takes_in_one_form_is_refused() -> None:
    with hushed(), pytest.raises(ReportError, match="character set"):
        encode(_forms("one", "lone surrogate \ud800"), [])


def test_a_form_whose_text_reads_back_as_another_is_refused() -> None:
    with hushed(), pytest.raises(ReportError, match="character set"):
        encode(_forms("one", "ends with a NUL\x00"), [])


@pytest.mark.parametrize(
    ("terms", "name", "written"),
    [
        ("ISO 2022 IR 149", "김^희중", ["", "ISO 2022 IR 149"]),
        ("ISO 2022 IR 100", "Äneas^Rüdiger", "ISO_IR 100"),
        (
            ["ISO_IR 100", "ISO 2022 IR 87"],
            "Ä=山田",
            ["ISO 2022 IR 100", "ISO 2022 IR 87"],
        ),
        (["ISO_IR 192", "ISO_IR 100"], "王^小东", "ISO_IR 192"),
        ("GBK", "Wang^XiaoDong=王^小东", "GB18030"),
    ],
)
def test_a_character_set_is_named_as_the_standard_names_it(
    tmp_path: Path, terms: Any, name: str, written: Any
) -> None:
    # PS3.3 C.12.1.1.2, tables C.12-2 to C.12-5.
    file = write_source(
        tmp_path / "cr.dcm", SpecificCharacterSet=terms, PatientName=name
    )

    ((_, content), *_) = build_all([file], prediction_for([file]))
    report = dcmread(BytesIO(content))

    assert report.SpecificCharacterSet == written
    assert str(report.PatientName) == name
