"""DICOM files that the tests make, as inference is given them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.core.ids import SOPClassUID, SOPInstanceUID
from dicom_node.core.types import InputFile, RoutingHeader

DX_FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.1"

HEADER = RoutingHeader(
    modality="DX",
    body_part_examined="CHEST",
    view_position="PA",
    patient_age_years=3.0,
    image_type=("ORIGINAL", "PRIMARY"),
    has_pixels=True,
)


def make_file(number: int = 1, **changes: object) -> InputFile:
    """Give an input file that is not on disk, with some header fields changed."""
    sop_class_uid = str(changes.pop("sop_class_uid", DX_FOR_PRESENTATION))
    return InputFile(
        sop_instance_uid=SOPInstanceUID(f"2.25.{number}"),
        sop_class_uid=SOPClassUID(sop_class_uid),
        path=Path(f"{number}.dcm"),
        header=replace(HEADER, **changes),  # type: ignore[arg-type]  # any field, by its name
    )


def write_image(
    folder: Path, number: int, *, frames: int = 1, **changes: object
) -> InputFile:
    """Write an image of 40 x 50 pixels of noise and give it as an input file."""
    file = make_file(number, number_of_frames=frames, **changes)
    noise = np.random.default_rng(number)
    dataset = Dataset()
    dataset.SOPClassUID = file.sop_class_uid
    dataset.SOPInstanceUID = file.sop_instance_uid
    dataset.Modality = file.header.modality
    dataset.Rows, dataset.Columns = 40, 50
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.PixelData = noise.integers(
        0, 4096, size=(frames, 40, 50), dtype=np.uint16
    ).tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path = folder / f"{number}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return replace(file, path=path)
