"""Slices and enhanced images that lie somewhere, as inference is given them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_node.core.ids import SeriesInstanceUID, SOPInstanceUID
from dicom_node.core.types import InputFile
from inference.volume import Volume
from inference.volume_build import build_volumes
from inference.volume_planes import read_planes
from tests.unit.inference.studies import make_file

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4.1"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def write_slice(
    folder: Path,
    number: int,
    origin: Sequence[float] | None,
    *,
    orientation: Sequence[float] = AXIAL,
    series: str = "2.25.900",
    **attributes: Any,
) -> InputFile:
    """Write a CT slice of 4 x 6 pixels; attributes are those of the data set."""
    dataset = _image(CT_IMAGE, str(attributes.pop("SOPInstanceUID", f"2.25.{number}")))
    dataset.SeriesInstanceUID = series
    dataset.InstanceNumber = number
    dataset.FrameOfReferenceUID = "2.25.901"
    if origin is not None:
        dataset.ImagePositionPatient = [round(float(value), 6) for value in origin]
        dataset.ImageOrientationPatient = [round(float(v), 7) for v in orientation]
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return _write(folder, dataset)


def write_stack(
    folder: Path,
    positions: Sequence[float],
    *,
    series: str = "2.25.900",
    start: int = 1,
    **attributes: Any,
) -> list[InputFile]:
    """Write axial slices at these z, Instance Number rising as they are listed."""
    return [
        write_slice(folder, start + index, (-10, -20, z), series=series, **attributes)
        for index, z in enumerate(positions)
    ]


def write_enhanced(
    folder: Path,
    number: int,
    origins: Sequence[Sequence[float]],
    *,
    describe: Callable[[int, Dataset], None] | None = None,
    series: str = "2.25.900",
) -> InputFile:
    """Write an enhanced MR image of one frame per origin, axial by a shared group.

    Args:
        describe: adds what else there is to the groups of a frame, from 0.
    """
    dataset = _image(ENHANCED_MR_IMAGE, f"2.25.{number}", frames=len(origins))
    dataset.Modality = "MR"
    dataset.SeriesInstanceUID = series
    dataset.InstanceNumber = number
    dataset.FrameOfReferenceUID = "2.25.901"
    shared = Dataset()
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=list(AXIAL))]
    shared.PixelMeasuresSequence = [_item(SliceThickness=3, SpacingBetweenSlices=4)]
    dataset.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for index, origin in enumerate(origins):
        group = Dataset()
        group.PlanePositionSequence = [_item(ImagePositionPatient=list(origin))]
        if describe:
            describe(index, group)
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups
    return _write(folder, dataset)


def volumes_of(files: Sequence[InputFile]) -> tuple[Volume, ...]:
    """Make the volumes of files on disk."""
    return build_volumes([plane for file in files for plane in read_planes(file)])


def positions_of(volume: Volume) -> list[float | None]:
    """Give the positions of a volume's frames, in order."""
    return [frame.position_mm for frame in volume.frames]


def numbers_of(volume: Volume) -> list[int | None]:
    """Give the Instance Numbers of a volume's frames, in order."""
    return [frame.file.header.instance_number for frame in volume.frames]


def _item(**attributes: object) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def _image(sop_class_uid: str, sop_instance_uid: str, *, frames: int = 1) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = sop_instance_uid
    dataset.StudyInstanceUID = "2.25.800"
    dataset.Modality = "CT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.Rows, dataset.Columns = 4, 6
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.PixelData = np.arange(frames * 24, dtype=np.uint16).tobytes()
    dataset["PixelData"].VR = "OW"
    return dataset


def _write(folder: Path, dataset: Dataset) -> InputFile:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    uid = str(dataset.SOPInstanceUID)
    path = folder / f"{uid}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    file = make_file(
        sop_class_uid=dataset.SOPClassUID,
        modality=dataset.Modality,
        body_part_examined=str(dataset.get("BodyPartExamined", "")),
        view_position=str(dataset.get("ViewPosition", "")),
        image_type=tuple(dataset.ImageType),
        series_description=str(dataset.get("SeriesDescription", "")),
        series_number=dataset.get("SeriesNumber"),
        instance_number=int(dataset.InstanceNumber),
        number_of_frames=int(dataset.get("NumberOfFrames", 1)),
    )
    return replace(
        file,
        sop_instance_uid=SOPInstanceUID(uid),
        series_instance_uid=SeriesInstanceUID(dataset.SeriesInstanceUID),
        path=path,
    )
