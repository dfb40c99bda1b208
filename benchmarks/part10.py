"""DICOM files (PS3.10 7.1): written for senders that read them, read to be sent."""

import struct
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from benchmarks.template import UID_LENGTH, Template
from benchmarks.wire import EXPLICIT_VR_LITTLE_ENDIAN

_PREFIX: Final = b"DICM"
_PREAMBLE_BYTES: Final = 128
_LONG: Final = {b"OB", b"OW", b"UN", b"UT", b"SQ"}  # 32-bit lengths (PS3.5 7.1.2)
_LARGEST_BYTES: Final = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One data set to send, as it was or will be sent."""

    sop_class_uid: str
    sop_instance_uid: str
    dataset: bytes
    transfer_syntax_uid: str = EXPLICIT_VR_LITTLE_ENDIAN


def part10(template: Template, uids: tuple[str, str, str]) -> bytes:
    """Return the image as a file with these UIDs (instance, study, series)."""
    return file_head(template, uids[0]) + bytes(template.with_uids(uids))


def file_head(template: Template, sop_instance_uid: str) -> bytes:
    """Preamble and File Meta Information (PS3.10 7.1), always of one length."""
    if len(sop_instance_uid) != UID_LENGTH:
        raise ValueError("a UID of another length would move the data set")
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(template.sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    empty = Dataset()
    empty.file_meta = meta
    encoded = BytesIO()
    dcmwrite(encoded, empty, enforce_file_format=True)
    return encoded.getvalue()


def read_images(folder: Path) -> list[Image]:
    """Read the DICOM files of a folder as they are; others are left out."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size <= _LARGEST_BYTES:
            with suppress(ValueError, KeyError, struct.error):
                found.append(read_image(path.read_bytes()))
    return found


def read_image(content: bytes) -> Image:
    """Split a file into what a C-STORE needs of it.

    By hand: pydicom would decode what is broken on purpose, and stop.

    Raises:
        ValueError, KeyError, struct.error: this is no DICOM file, or its File Meta
            Information lacks something.
    """
    if content[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] != _PREFIX:
        raise ValueError("no DICM prefix")
    meta: dict[int, bytes] = {}
    begin = _PREAMBLE_BYTES + 4
    while content[begin : begin + 2] == b"\x02\0":
        element, vr, length = struct.unpack_from("<H2sH", content, begin + 2)
        begin += 8
        if vr in _LONG:
            (length,) = struct.unpack_from("<I", content, begin)
            begin += 4
        meta[element] = content[begin : begin + length]
        begin += length
    return Image(
        sop_class_uid=_text(meta[0x0002]),
        sop_instance_uid=_text(meta[0x0003]),
        transfer_syntax_uid=_text(meta[0x0010]),
        dataset=content[begin:],
    )


def _text(value: bytes) -> str:
    return value.rstrip(b"\0 ").decode("ascii")
