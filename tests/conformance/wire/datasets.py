"""Data sets so small that every byte of a session can be tried."""

import struct
from itertools import count

from tests.conformance.wire.pdu import (
    BIG_ENDIAN,
    CT,
    EXPLICIT,
    IMPLICIT,
    uid_value,
)

_serial = count(1)


def new_uid() -> str:
    """Return a UID that this process has not used, of an odd or even length."""
    return f"1.2.826.0.1.3680043.10.1.{next(_serial)}"


def small_dataset(
    sop_instance_uid: str,
    *,
    sop_class_uid: str = CT,
    transfer_syntax_uid: str = EXPLICIT,
    filler: int = 0,
) -> bytes:
    """Return a data set with the identifiers that an acceptor needs.

    Args:
        filler: size of a private OB element at the end, even; 0 leaves it out.
    """
    values = [
        (0x0008, 0x0016, b"UI", uid_value(sop_class_uid)),
        (0x0008, 0x0018, b"UI", uid_value(sop_instance_uid)),
        (0x0008, 0x0060, b"CS", b"OT"),
        (0x0020, 0x000D, b"UI", uid_value("1.2.826.0.1.3680043.10.2")),
        (0x0020, 0x000E, b"UI", uid_value("1.2.826.0.1.3680043.10.3")),
    ]
    if filler:
        pattern = bytes(range(251)) * (filler // 251 + 1)
        values += [
            (0x0029, 0x0010, b"LO", b"DICOM-NODE TEST "),
            (0x0029, 0x1001, b"OB", pattern[:filler]),
        ]
    return b"".join(_element(value, transfer_syntax_uid) for value in values)


def _element(value: tuple[int, int, bytes, bytes], transfer_syntax_uid: str) -> bytes:
    group, number, vr, content = value
    order = ">" if transfer_syntax_uid == BIG_ENDIAN else "<"
    if transfer_syntax_uid == IMPLICIT:
        return struct.pack("<HHI", group, number, len(content)) + content
    if vr == b"OB":
        head = struct.pack(f"{order}HH2sHI", group, number, vr, 0, len(content))
    else:
        head = struct.pack(f"{order}HH2sH", group, number, vr, len(content))
    return head + content
