"""Encoded data sets, made with pydicom or by hand."""

import warnings
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from dicom_node.receive.scan import ScanLimits, ScannedDataset, scan
from dicom_node.receive.view import DatasetView

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"


def minimal(**attributes: object) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    dataset.SOPInstanceUID = UID("1.2.3.4")
    dataset.StudyInstanceUID = UID("1.2.3")
    dataset.SeriesInstanceUID = UID("1.2.3.1")
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def image(**attributes: object) -> Dataset:
    pixels: dict[str, object] = {
        "Rows": 4,
        "Columns": 6,
        "BitsAllocated": 16,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelData": bytes(48),
    }
    return minimal(**(pixels | attributes))


def encode(dataset: Dataset, transfer_syntax: str = EXPLICIT) -> bytes:
    stream = DicomBytesIO()
    stream.is_implicit_VR = transfer_syntax == IMPLICIT
    stream.is_little_endian = transfer_syntax != BIG
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "PixelData" in dataset:
            dataset["PixelData"].VR = "OW"
        write_dataset(stream, dataset)
    return bytes(stream.getvalue())


def scan_dataset(dataset: Dataset, transfer_syntax: str = EXPLICIT) -> ScannedDataset:
    return scan_bytes(encode(dataset, transfer_syntax), transfer_syntax)


def scan_bytes(
    sent: bytes, transfer_syntax: str = EXPLICIT, limits: ScanLimits | None = None
) -> ScannedDataset:
    """Scan a data set that is in memory."""
    view = DatasetView.of_bytes(sent)
    return scan(view, transfer_syntax, limits or ScanLimits())


def split_file(path: Path) -> tuple[bytes, str]:
    """Return a Part 10 file's data set bytes and transfer syntax."""
    content = path.read_bytes()
    meta = read_file_meta_info(path)
    length = int(meta.get("FileMetaInformationGroupLength", 0))
    stream = BytesIO(content)
    stream.seek(144 + length)
    return stream.read(), str(meta.get("TransferSyntaxUID", ""))


def quietly_read(path: Path) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(path, force=True, stop_before_pixels=True)
