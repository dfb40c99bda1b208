"""Whose study it is: read from the file for whom may see it, kept nowhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dicom_node.core.errors import StoreError

# What does not belong to the patient is not read.
_KEYWORDS: Final = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
)
_LONGEST: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """Who was examined, as the file says: any text, also one that is no name."""

    name: str
    patient_id: str
    birth_date: str
    sex: str


def read_patient(path: Path) -> Patient:
    """Read the patient of an instance's file.

    Raises:
        StoreError: it cannot be read.
    """
    from pydicom import dcmread  # what shows no name does not wait for it

    try:
        dataset = dcmread(path, specific_tags=list(_KEYWORDS), stop_before_pixels=True)
        texts = [_text(dataset.get(keyword)) for keyword in _KEYWORDS[1:]]
    except Exception:  # noqa: BLE001 - foreign bytes; what pydicom says may quote them
        raise StoreError("the study's file cannot be read") from None
    name, patient_id, birth_date, sex = texts
    return Patient(name=name, patient_id=patient_id, birth_date=birth_date, sex=sex)


def _text(value: object) -> str:
    text = "" if value is None else str(value)
    return "".join(sign for sign in text if sign.isprintable())[:_LONGEST]
