"""Which images there are, what they show, whose they are, and how they are read."""

import csv
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from dicom_node.core.errors import PixelError, UsageError
from inference.api import Image

ABSENT, PRESENT = "NORMAL", "PNEUMONIA"
CLASS_FOLDERS = (ABSENT, PRESENT)
SUFFIXES = frozenset({".jpeg", ".jpg", ".png", ".bmp", ".tif", ".tiff"})
LABELS_NAME = "labels.csv"
# Without a split of its own, a data set gives this share of its patients.
VALIDATION_SHARE = 0.1

# File names of Kermany 2018: person12_bacteria_44, IM-0115-0001, NORMAL2-IM-0383-...
_PATIENT = re.compile(r"(person\d+|(?:NORMAL2-)?IM-\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One labelled image.

    Args:
        patient: groups images of one patient; the file's stem where unknown.
    """

    path: Path
    present: bool
    patient: str
    validation: bool = False


def find_samples(data: Path) -> tuple[Sample, ...]:
    """Find the images of both classes, in the order of their names.

    A labels.csv in the folder or beside it (columns file, patient_token,
    suggested_split, duplicate_of) gives patients and split and drops marked
    duplicates; without it the patient comes from the file's name and the split
    from a digest of the patient.

    Raises:
        UsageError: a class folder is missing or empty.
    """
    labels = _read_labels(data)
    samples = []
    for folder in CLASS_FOLDERS:
        found = sorted(
            path
            for path in (data / folder).rglob("*")
            if path.suffix.lower() in SUFFIXES and path.is_file()
        )
        if not found:
            raise UsageError(
                f"the data folder needs a sub-folder {folder} with images in it"
            )
        for path in found:
            row = labels.get(path.resolve(), {})
            if not row.get("duplicate_of"):
                samples.append(_sample(path, row, present=folder == PRESENT))
    return tuple(samples)


def read_plane(path: Path) -> Image:
    """Read an image file as (1, rows, columns) in [0, 1].

    Colour becomes luma (ITU-R BT.601); 16-bit files are divided by 65535.

    Raises:
        PixelError: the file cannot be decoded.
    """
    try:
        with PillowImage.open(path) as picture:
            if picture.mode.startswith("I;16") or picture.mode == "I":
                plane = np.asarray(picture, dtype=np.float32) / 65535
            else:
                plane = np.asarray(picture.convert("L"), dtype=np.float32) / 255
    except (OSError, ValueError, PillowImage.DecompressionBombError) as error:
        raise PixelError(f"not a readable image: {type(error).__name__}") from error
    clipped: Image = np.clip(plane, 0.0, 1.0, dtype=np.float32)[np.newaxis]
    return clipped


def split(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Give training and validation samples; each needs both classes.

    Raises:
        UsageError: one part lacks a class.
    """
    training = [sample for sample in samples if not sample.validation]
    validation = [sample for sample in samples if sample.validation]
    for part in (training, validation):
        if len({sample.present for sample in part}) < 2:
            raise UsageError(
                "training and validation split need images of both classes: "
                "more patients, or a labels.csv with suggested_split"
            )
    return training, validation


def _read_labels(data: Path) -> dict[Path, dict[str, str]]:
    for folder in (data, data.parent):
        path = folder / LABELS_NAME
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                return {
                    (folder / row["file"]).resolve(): row
                    for row in csv.DictReader(file)
                }
    return {}


def _sample(path: Path, row: dict[str, str], *, present: bool) -> Sample:
    match = _PATIENT.match(path.stem)
    patient = row.get("patient_token") or (match.group(1) if match else path.stem)
    if row.get("suggested_split"):
        validation = row["suggested_split"].startswith("val")
    else:
        digest = hashlib.sha256(patient.encode()).digest()
        validation = digest[0] < 256 * VALIDATION_SHARE
    return Sample(path=path, present=present, patient=patient, validation=validation)
