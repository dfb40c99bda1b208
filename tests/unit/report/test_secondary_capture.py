"""The summary picture as a DICOM object."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from dicom_node.core.errors import ReportError
from dicom_node.core.ids import SOPInstanceUID
from dicom_node.core.states import ReportKind, Urgency
from dicom_node.core.types import CodedConcept, Suggestion
from dicom_node.report.checks import faults_of
from tests.unit.report.examples import (
    DEVICE_UID,
    OUTCOMES,
    build_all,
    finding,
    prediction_for,
    write_source,
)
from tests.unit.report.pictures import (
    grey,
    pixels_of,
    result_of,
    summary_of,
    write_picture,
    write_summary,
)

AGAIN = """
import hashlib, sys
from pathlib import Path
from tests.unit.report.examples import input_file, prediction_for
from tests.unit.report.pictures import result_of, write_summary
file = input_file(Path(sys.argv[1]))
_, content = write_summary(result_of([file], prediction_for([file])))
print(hashlib.sha256(content).hexdigest())
"""


def test_a_repeated_run_in_another_process_writes_the_same_bytes(
    tmp_path: Path,
) -> None:
    file = write_picture(tmp_path / "a.dcm", grey())
    report, content = write_summary(result_of([file], prediction_for([file])))

    other = subprocess.run(
        [sys.executable, "-c", AGAIN, str(file.path)],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "PYTHONPATH": "."},
    )

    assert other.stdout.strip() == hashlib.sha256(content).hexdigest() == report.sha256
    assert report.kind is ReportKind.SC
    assert report.destination == ""
    assert report.file_key == ""


def test_patient_and_study_are_the_source_s_and_the_series_is_its_own(
    tmp_path: Path,
) -> None:
    file = write_picture(tmp_path / "a.dcm", grey(), FrameOfReferenceUID="1.2.9")
    prediction = prediction_for([file])

    made = summary_of(result_of([file], prediction))
    source = dcmread(file.path)
    (structured, _), *_ = build_all([file], prediction)

    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "AccessionNumber"):
        assert made[keyword].value == source[keyword].value
    assert made.SeriesInstanceUID not in (
        source.SeriesInstanceUID,
        structured.series_instance_uid,
    )
    assert made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert made.Manufacturer == "dicom-node"
    assert made.DeviceUID == DEVICE_UID
    assert made.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert made.ConversionType == "WSD"
    assert "research use only" in made.SeriesDescription
    assert "FrameOfReferenceUID" not in made


def test_the_image_that_is_shown_is_named_as_its_source(tmp_path: Path) -> None:
    files = [
        write_picture(tmp_path / f"{n}.dcm", grey(), SOPInstanceUID=f"1.2.3.4.{n}")
        for n in (1, 2, 3)
    ]
    base = prediction_for(files)
    scores = (0.2, 0.9, 0.4)
    images = tuple(
        replace(image, scores=(score,))
        for image, score in zip(base.images, scores, strict=True)
    )
    prediction = replace(
        base, images=images, findings=(finding(True, 0.9, class_index=0),)
    )

    made = summary_of(result_of(files, prediction))

    (item,) = made.SourceImageSequence
    assert item.ReferencedSOPInstanceUID == "1.2.3.4.2"
    assert item.SpatialLocationsPreserved == "NO"
    assert "ReferencedFrameNumber" not in item


def test_of_several_frames_the_strongest_is_shown_and_named(tmp_path: Path) -> None:
    frames = np.stack([np.full((16, 16), value, np.uint8) for value in (10, 250, 60)])
    file = write_picture(
        tmp_path / "a.dcm",
        frames.reshape(48, 16),
        SOPClassUID="1.2.840.10008.5.1.4.1.1.3.1",
        Modality="US",
        NumberOfFrames=3,
        Rows=16,
    )
    base = prediction_for([file])
    image = replace(base.images[0], frames=(1, 2, 3), peaks=(2,))
    prediction = replace(
        base, images=(image,), findings=(finding(True, 0.9, class_index=0),)
    )

    made = summary_of(result_of([file], prediction))

    assert made.SourceImageSequence[0].ReferencedFrameNumber == 2
    bright = np.all(pixels_of(made) == 250, axis=-1)
    assert bright.sum() > 100_000


def test_no_identity_is_in_the_pixels(tmp_path: Path) -> None:
    pictures = []
    for number, name in enumerate(("Doe^Jane", "Roe^Richard")):
        file = write_picture(
            tmp_path / f"{number}.dcm",
            grey(),
            PatientName=name,
            PatientID=f"ID{number}",
            AccessionNumber=f"ACC{number}",
            PatientBirthDate=f"19{number}00101",
        )
        made = summary_of(result_of([file], prediction_for([file])))
        assert str(made.PatientName) == name
        pictures.append(made.PixelData)
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize(
    ("modality", "said", "expected"),
    [
        ("DX", None, "NO"),
        ("DX", "YES", "YES"),
        ("US", "NO", "NO"),
        ("US", None, None),  # nobody knows what is in its pixels
    ],
)
def test_burned_in_annotation_is_what_is_known_of_the_image(
    tmp_path: Path, modality: str, said: str | None, expected: str | None
) -> None:
    file = write_picture(
        tmp_path / "a.dcm", grey(), Modality=modality, BurnedInAnnotation=said
    )
    made = summary_of(result_of([file], prediction_for([file])))
    assert made.get("BurnedInAnnotation") == expected


def test_lossy_compression_of_the_image_is_not_forgotten(tmp_path: Path) -> None:
    file = write_picture(
        tmp_path / "a.dcm",
        grey(),
        LossyImageCompression="01",
        LossyImageCompressionRatio="12.5",
        LossyImageCompressionMethod="ISO_10918_1",
    )
    made = summary_of(result_of([file], prediction_for([file])))
    assert made.LossyImageCompression == "01"
    assert made.LossyImageCompressionRatio == 12.5


@pytest.mark.parametrize("kind", OUTCOMES)
def test_every_outcome_makes_a_picture_that_passes_our_check(
    tmp_path: Path, kind: str
) -> None:
    file = write_picture(tmp_path / "a.dcm", grey())
    made = summary_of(result_of([file], prediction_for([file], kind)))
    assert faults_of(ReportKind.SC, made) == []


def test_an_image_that_cannot_be_decoded_still_makes_a_picture(tmp_path: Path) -> None:
    file = write_source(tmp_path / "a.dcm")  # a header alone
    file = replace(file, header=replace(file.header, has_pixels=True))
    made = summary_of(result_of([file], prediction_for([file])))
    assert faults_of(ReportKind.SC, made) == []
    assert "SourceImageSequence" not in made


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("ISO_IR 126", "Διονυσιος"),
    ],
)
def test_a_meaning_in_any_script_goes_with_a_name_in_any_character_set(
    tmp_path: Path, charset: str | list[str], name: str
) -> None:
    file = write_picture(
        tmp_path / "a.dcm", grey(), SpecificCharacterSet=charset, PatientName=name
    )
    pneumonia = CodedConcept(
        value="233604007", scheme="SCT", meaning="폐렴 肺炎 Πνευμονία"
    )
    prediction = replace(
        prediction_for([file]), findings=(finding(True, 0.9, concept=pneumonia),)
    )

    made = summary_of(result_of([file], prediction))

    assert str(made.PatientName) == name
    assert faults_of(ReportKind.SC, made) == []


def test_another_suggestion_or_set_of_images_is_another_picture(tmp_path: Path) -> None:
    file = write_picture(tmp_path / "a.dcm", grey())
    other = write_picture(tmp_path / "b.dcm", grey(), SOPInstanceUID="1.2.3.5")
    prediction = prediction_for([file])
    stat = Suggestion(urgency=Urgency.STAT, reason="a")
    urgent = Suggestion(urgency=Urgency.URGENT, reason="a")

    results = [
        result_of([file], prediction),
        result_of([file], prediction, suggestion=stat),
        result_of([file], prediction, suggestion=urgent),
        result_of([file, other], prediction),
        result_of([file], prediction),
    ]
    uids = [write_summary(one)[0].sop_instance_uid for one in results]

    assert len(set(uids)) == 4
    assert uids[0] == uids[-1]


def test_a_picture_says_that_it_replaces_an_earlier_one(tmp_path: Path) -> None:
    file = write_picture(tmp_path / "a.dcm", grey())
    result = result_of([file], prediction_for([file]), revision=2)
    same, plain = write_summary(result)
    earlier = replace(same, sop_instance_uid=SOPInstanceUID("2.25.1"))

    replaced = write_summary(result, earlier)[1]

    assert write_summary(result, same)[1] == plain
    assert dcmread(BytesIO(replaced)).PixelData != dcmread(BytesIO(plain)).PixelData
    assert dcmread(BytesIO(plain)).InstanceNumber == 2


def test_files_without_a_readable_header_are_an_error_without_their_text(
    tmp_path: Path,
) -> None:
    file = write_picture(tmp_path / "a.dcm", grey())
    file.path.write_bytes(b"Doe^Jane")
    with pytest.raises(ReportError) as caught:
        summary_of(result_of([file], prediction_for([file])))
    assert "Doe" not in str(caught.value)
