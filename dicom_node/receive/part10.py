"""The head of a Part 10 file: our preamble and our File Meta Information."""

import struct
from typing import Final

# uuid5 of the URL urn:dicom-node:implementation under the root 2.25 (PS3.5 B.2).
IMPLEMENTATION_CLASS_UID: Final = "2.25.150833706236029554733005094234947483919"
IMPLEMENTATION_VERSION_NAME: Final = "DICOM-NODE-1"

# A preamble of zeros: a sender's could make the file a program as well.
_PREAMBLE: Final = b"\0" * 128 + b"DICM"
_VERSION: Final = struct.pack("<HH2sHI", 2, 1, b"OB", 0, 2) + b"\0\1"


def file_head(
    sop_class_uid: str,
    sop_instance_uid: str,
    *,
    transfer_syntax_uid: str,
    source_ae_title: str,
) -> bytes:
    """Return what comes before the data set's bytes in the file.

    It holds no time, so that the same bytes from the same sender make the same file.

    Source: PS3.10 7.1.
    """
    group = (
        _VERSION
        + _element(0x0002, b"UI", sop_class_uid)
        + _element(0x0003, b"UI", sop_instance_uid)
        + _element(0x0010, b"UI", transfer_syntax_uid)
        + _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID)
        + _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME)
        + _element(0x0016, b"AE", source_ae_title)
    )
    return _PREAMBLE + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(group)) + group


def _element(element: int, vr: bytes, value: str) -> bytes:
    encoded = value.encode("ascii", "replace")
    if len(encoded) % 2:
        encoded += b"\0" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", 2, element, vr, len(encoded)) + encoded
