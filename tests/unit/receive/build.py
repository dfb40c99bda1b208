"""Encoded data sets, made with pydicom or by hand."""

import mmap
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.scan import ScannedDataset, scan
from dicom_node.receive.view import DatasetView

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
ITEM, ITEM_END, SEQUENCE_END = 0xE000, 0xE00D, 0xE0DD


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


def mapped_view(sent: bytes, head_bytes: int) -> DatasetView:
    """View a data set of which so much is in memory and the rest in a mapping.

    A view that somebody still looks at when the mapping is closed is a BufferError.
    """

    @contextmanager
    def whole() -> Iterator[memoryview]:
        with mmap.mmap(-1, max(len(sent), 1)) as mapping:
            mapping[: len(sent)] = sent
            with memoryview(mapping) as content, content[: len(sent)] as view:
                yield view

    return DatasetView(sent[:head_bytes], len(sent), whole)


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    """Encode an element of a short explicit VR, little endian."""
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def long_element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """Encode an element of a long explicit VR, little endian."""
    size = len(value) if length is None else length
    return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, size) + value


def delimiter(element: int, length: int = 0) -> bytes:
    """Encode the head of an item, or what ends one."""
    return struct.pack("<HHI", 0xFFFE, element, length)


def encapsulated(fragments: list[bytes], *, frames: int = 1) -> bytes:
    """Encode an image whose Pixel Data is fragments behind an empty table."""
    dataset = image(NumberOfFrames=frames)
    del dataset.PixelData
    body = b"".join(delimiter(ITEM, len(item)) + item for item in [b"", *fragments])
    head = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, 0xFFFFFFFF)
    return encode(dataset) + head + body + delimiter(SEQUENCE_END)


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
