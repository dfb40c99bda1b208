"""Small images made to order, as files, so that tests go the whole way."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from inference.api import Image, InputSpec
from inference.pixels.frames import WindowedFrame, open_image, windowed_frame

SPEC = InputSpec(size=(8, 8), windowing_fallback="full_range")


def write_image(
    path: Path,
    pixels: npt.NDArray[Any] | bytes,
    *,
    frames: list[bytes] | None = None,
    syntax: str = ExplicitVRLittleEndian,
    **attributes: Any,
) -> Path:
    """Write a MONOCHROME2 image (or what the attributes say) and return its path."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = "1.2.3"
    if not isinstance(pixels, bytes):
        bits = pixels.dtype.itemsize * 8
        dataset.Rows, dataset.Columns = pixels.shape[:2]
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (
            bits,
            bits,
            bits - 1,
        )
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
        dataset.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
        if pixels.ndim == 3:
            dataset.PlanarConfiguration = 0
        pixels = pixels.tobytes()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some values are wrong on purpose
        for keyword, value in attributes.items():
            setattr(dataset, keyword, value)
        if frames is not None:
            dataset.PixelData = encapsulate(frames)
            dataset["PixelData"].VR = "OB"
            dataset["PixelData"].is_undefined_length = True
        elif "FloatPixelData" not in dataset and "DoubleFloatPixelData" not in dataset:
            dataset.PixelData = pixels + b"\0" * (len(pixels) % 2)
            dataset["PixelData"].VR = "OW"
        dataset.save_as(path, enforce_file_format=True)
    return path


def show(path: Path, spec: InputSpec = SPEC, *, frame_number: int = 1) -> WindowedFrame:
    """Open and window one frame."""
    return windowed_frame(open_image(path), frame_number, spec)


def plane(path: Path, spec: InputSpec = SPEC, *, frame_number: int = 1) -> Image:
    """Return the only plane of a monochrome frame."""
    (only,) = show(path, spec, frame_number=frame_number).planes
    return np.asarray(only, np.float32)


def item(**attributes: Any) -> Dataset:
    """Make a sequence item."""
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def lut_item(descriptor: list[int], entries: list[int], vr: str = "US") -> Dataset:
    """Make an item of a Modality or VOI LUT Sequence."""
    made = Dataset()
    made.add_new("LUTDescriptor", vr, descriptor)
    made.add_new("LUTData", "US", entries)
    return made
