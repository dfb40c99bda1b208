"""Images with pixels, and results on them, for the tests of summary and key objects."""

from collections.abc import Sequence
from datetime import UTC
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicom_node.core.ids import JobId, StudyId, StudyInstanceUID
from dicom_node.core.states import StudyState, WorkState
from dicom_node.core.types import InputFile, Job, Prediction, Report, Study, Suggestion
from dicom_node.core.writing import Result
from dicom_node.report.header import Equipment
from dicom_node.report.key_objects import KeyObjectWriter
from dicom_node.report.secondary_capture import SecondaryCaptureWriter
from dicom_node.report.summary_image import Decoding
from inference.guard.guard import Unguarded
from inference.pixels.frames import PixelLimits
from tests.unit.report.examples import FINISHED, STARTED, write_source

Pixels = npt.NDArray[np.uint8]
UNGUARDED = Decoding(limits=PixelLimits(), guard=Unguarded())
EQUIPMENT = Equipment(
    manufacturer="dicom-node",
    node_version="0.1.0",
    device_serial_number="node-01",
    station_name="AINODE",
    local_zone=UTC,
)


def write_picture(path: Path, pixels: Pixels, **attributes: Any) -> InputFile:
    """Write an 8-bit image, (rows, columns) or (rows, columns, 3)."""
    colour = pixels.ndim == 3
    described: dict[str, Any] = {
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "PixelData": pixels.tobytes(),
    }
    if colour:
        described["PlanarConfiguration"] = 0
    else:  # identity: LINEAR maps 0 to 0 and 255 to 1 (PS3.3 C.11.2.1.2.1)
        described |= {"WindowCenter": 128, "WindowWidth": 256}
    return write_source(path, **(described | attributes))


def grey(rows: int = 48, columns: int = 48) -> Pixels:
    """Make a picture that is grey all over."""
    return np.full((rows, columns), 128, np.uint8)


def result_of(
    files: Sequence[InputFile],
    prediction: Prediction,
    *,
    suggestion: Suggestion | None = None,
    revision: int = 1,
) -> Result:
    """Make the result of a job."""
    job = Job(
        job_id=JobId(1),
        study_id=StudyId(1),
        revision=revision,
        model=prediction.model,
        route="all",
        destinations=("pacs",),
        state=WorkState.RUNNING,
        attempt=1,
    )
    study = Study(
        study_id=StudyId(1),
        study_instance_uid=StudyInstanceUID("1.2.3"),
        accession_number="A7",
        state=StudyState.ROUTED,
        revision=revision,
        first_instance_at=STARTED,
        last_instance_at=FINISHED,
        ignored_because=None,
        instances=(),
    )
    return Result(
        job=job,
        study=study,
        files=tuple(files),
        prediction=prediction,
        suggestion=suggestion,
    )


def write_summary(
    result: Result, earlier: Report | None = None, decoding: Decoding = UNGUARDED
) -> tuple[Report, bytes]:
    """Write the summary picture of a result."""
    writer = SecondaryCaptureWriter(EQUIPMENT, decoding)
    made = writer.write(result, destination="", earlier=earlier)
    if made is None:
        raise ValueError("a result always has a summary")
    return made


def summary_of(result: Result) -> Dataset:
    """Write the summary picture of a result and read it back."""
    return dcmread(BytesIO(write_summary(result)[1]))


def pixels_of(dataset: Dataset) -> Pixels:
    """Return (rows, columns, 3)."""
    pixels: Pixels = dataset.pixel_array
    return pixels


def key_objects_of(result: Result) -> Dataset | None:
    """Write the key objects of a result and read them back."""
    made = KeyObjectWriter(EQUIPMENT).write(result, destination="", earlier=None)
    return None if made is None else dcmread(BytesIO(made[1]))
