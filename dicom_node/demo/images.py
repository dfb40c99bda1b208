"""The studies that the demo's stand-in PACS sends, written as DICOM files."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.coding import Code
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
)

from dicom_node.core.errors import NodeError
from dicom_node.core.ids import derive_uid
from dicom_node.demo.chest import MAX_STORED_VALUE, Pixels, load_chest_model

STUDY_DATE: Final = "20260105"
_CHEST: Final = Code("51185008", "SCT", "Chest")
_PA: Final = Code("399348003", "SCT", "postero-anterior")
_FIELD_MM: Final = 300.0  # width of the detector, as for a child's chest
_NOTICE: Final = "Synthetic image drawn from a statistical model. Not a patient."


class Expected(StrEnum):
    """What must become of a study."""

    PRESENT = "present"
    ABSENT = "absent"
    NOT_EVALUATED = "not_evaluated"
    IGNORED = "ignored"
    REFUSED = "refused"
    ANSWERED = "answered"  # the user's own files: any answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One study of the demo.

    Args:
        name: what the demo calls it, short.
        about: what it is; "" if the name says it.
        files: in the order they are sent.
    """

    name: str
    files: tuple[Path, ...]
    study_instance_uid: str
    expected: Expected
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whom a synthetic radiograph pretends to show.

    Args:
        key: makes the UIDs; the same key is the same object on every machine.
        age: as DICOM writes it, e.g. "004Y".
    """

    key: str
    number: int
    age: str
    birth_date: str


def write_cases(folder: Path) -> list[Case]:
    """Write the demo's studies into a folder.

    Raises:
        NodeError: an image that should be installed is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    child = {"age": "004Y", "birth_date": "20211101"}
    adult = {"age": "054Y", "birth_date": "19711101"}
    sick = Subject(key="present", number=1, **child)
    healthy = Subject(key="absent", number=2, **child)
    grown = Subject(key="adult", number=3, **adult)
    broken = Subject(key="broken", number=4, **child)
    model = load_chest_model()
    present, absent = model.draw("present"), model.draw("absent")
    return [
        _case(
            "child A",
            "chest X-ray, age 4, synthetic, drawn with signs of pneumonia",
            _write(folder / "1-child-a.dcm", make_chest(present, sick)),
            Expected.PRESENT,
        ),
        _case(
            "child B",
            "chest X-ray, age 4, synthetic, drawn without such signs",
            _write(folder / "2-child-b.dcm", make_chest(absent, healthy)),
            Expected.ABSENT,
        ),
        _case(
            "adult",
            "chest X-ray, age 54, synthetic; the model is made for children",
            _write(folder / "3-adult.dcm", make_chest(present, grown)),
            Expected.NOT_EVALUATED,
        ),
        _case(
            "CT",
            "a real CT slice, from pydicom's test files; no model is for it",
            _bundled("CT_small.dcm", folder / "4-ct.dcm"),
            Expected.IGNORED,
        ),
        _case(
            "MR",
            "a real MR slice, from pydicom's test files; no model is for it",
            _bundled("MR_small.dcm", folder / "5-mr.dcm"),
            Expected.IGNORED,
        ),
        _case(
            "broken file",
            "a chest X-ray cut off in the middle; the node must refuse it",
            _cut(_write(folder / "6-broken.dcm", make_chest(absent, broken))),
            Expected.REFUSED,
        ),
    ]


def make_chest(pixels: Pixels, subject: Subject) -> Dataset:
    """Wrap an image as a DX radiograph, labelled synthetic.

    Args:
        pixels: (rows, columns), 0 to 4095.

    Source: PS3.3 A.26.
    """
    dataset = Dataset()
    for add in (_add_patient_and_study, _add_series_and_equipment):
        add(dataset, subject)
    _add_anatomy(dataset)
    _add_image(dataset, pixels)
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = derive_uid("demo", subject.key, "instance")
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


_Add = Callable[[Dataset, Subject], None]


def _add_patient_and_study(dataset: Dataset, subject: Subject) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = f"SYNTHETIC^{subject.key.upper()}"
    dataset.PatientID = f"SYNTHETIC-{subject.number}"
    dataset.PatientBirthDate = subject.birth_date
    dataset.PatientSex = "O"
    dataset.PatientAge = subject.age
    dataset.StudyInstanceUID = derive_uid("demo", subject.key, "study")
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = STUDY_DATE
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = "120000"
    dataset.AcquisitionDate, dataset.AcquisitionTime = STUDY_DATE, "120000"
    dataset.ReferringPhysicianName = ""
    dataset.StudyID = str(subject.number)
    dataset.AccessionNumber = f"DEMO-{subject.number}"
    dataset.StudyDescription = "Synthetic chest radiograph"


def _add_series_and_equipment(dataset: Dataset, subject: Subject) -> None:
    dataset.Modality = "DX"
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.SeriesInstanceUID = derive_uid("demo", subject.key, "series")
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = 1
    dataset.SeriesDescription = "SYNTHETIC chest PA"
    dataset.BodyPartExamined = "CHEST"
    dataset.Manufacturer = "dicom-node demo"
    dataset.ManufacturerModelName = "chest_model"


def _add_anatomy(dataset: Dataset) -> None:
    dataset.ViewPosition = "PA"
    dataset.ImageLaterality = "U"
    dataset.PatientOrientation = ["L", "F"]
    dataset.AnatomicRegionSequence = [_code_item(_CHEST)]
    view = _code_item(_PA)
    view.ViewModifierCodeSequence = []
    dataset.ViewCodeSequence = [view]
    dataset.PositionerType = "NONE"
    dataset.DetectorType = None
    dataset.AcquisitionContextSequence = []


def _add_image(dataset: Dataset, pixels: Pixels) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.ImageComments = _NOTICE
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = pixels.shape
    spacing = round(_FIELD_MM / pixels.shape[1], 4)
    dataset.ImagerPixelSpacing = [spacing, spacing]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1
    dataset.RescaleIntercept, dataset.RescaleSlope = "0", "1"
    dataset.RescaleType = "US"
    dataset.PresentationLUTShape = "IDENTITY"
    # LINEAR over all 12 bits: value / 4095 (PS3.3 C.11.2.1.2.1).
    dataset.WindowCenter = str((MAX_STORED_VALUE + 1) // 2)
    dataset.WindowWidth = str(MAX_STORED_VALUE + 1)
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "NO"
    dataset.PixelData = pixels.astype("<u2").tobytes()


def _code_item(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme_designator
    item.CodeMeaning = code.meaning
    return item


def _write(path: Path, dataset: Dataset) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path


def _bundled(name: str, path: Path) -> Path:
    """Copy a file that pydicom installs; nothing is downloaded."""
    found = get_testdata_file(name, download=False)
    if found is None:
        raise NodeError(f"pydicom's test file {name} is not installed: reinstall it")
    path.write_bytes(Path(str(found)).read_bytes())
    return path


def _cut(path: Path) -> Path:
    """Cut a file in the middle of its pixels, as a lost connection would."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 4 * 2])
    return path


def _case(name: str, about: str, path: Path, expected: Expected) -> Case:
    uid = dcmread(path, stop_before_pixels=True).StudyInstanceUID
    return Case(
        name=name,
        about=about,
        files=(path,),
        study_instance_uid=str(uid),
        expected=expected,
    )
