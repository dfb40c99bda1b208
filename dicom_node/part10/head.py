"""The head of a Part 10 file: our preamble and our File Meta Information."""

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from dicom_node.core.errors import CannotUnderstand

# uuid5 of the URL urn:dicom-node:implementation under the root 2.25 (PS3.5 B.2).
IMPLEMENTATION_CLASS_UID: Final = "2.25.150833706236029554733005094234947483919"
IMPLEMENTATION_VERSION_NAME: Final = "DICOM-NODE-1"

# A preamble of zeros: a sender's could make the file a program as well.
_PREAMBLE: Final = b"\0" * 128 + b"DICM"
_GROUP_LENGTH: Final = struct.Struct("<HH2sHI")
_ELEMENT: Final = struct.Struct("<HH2sH")
_VERSION: Final = struct.pack("<HH2sHI", 2, 1, b"OB", 0, 2) + b"\0\1"
_META_START: Final = len(_PREAMBLE) + _GROUP_LENGTH.size
_TRANSFER_SYNTAX_UID: Final = 0x0010
_SOURCE_AE_TITLE: Final = 0x0016


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHead:
    """What the head of a stored file says.

    Args:
        size_bytes: of the head, which is the offset of the data set.
    """

    transfer_syntax_uid: str
    source_ae_title: str
    size_bytes: int


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
    before, behind = _around(sop_class_uid, transfer_syntax_uid, source_ae_title)
    group = before + _element(0x0003, b"UI", sop_instance_uid) + behind
    return _PREAMBLE + _GROUP_LENGTH.pack(2, 0, b"UL", 4, len(group)) + group


@lru_cache(maxsize=256)
def _around(
    sop_class_uid: str, transfer_syntax_uid: str, source_ae_title: str
) -> tuple[bytes, bytes]:
    """Return the elements before and behind Media Storage SOP Instance UID."""
    behind = (
        _element(0x0010, b"UI", transfer_syntax_uid)
        + _IMPLEMENTATION
        + _element(0x0016, b"AE", source_ae_title)
    )
    return _VERSION + _element(0x0002, b"UI", sop_class_uid), behind


def split_head(content: bytes | memoryview) -> int:
    """Return where the data set begins in a file that this node wrote.

    Raises:
        CannotUnderstand: the head is not as `file_head` makes it.
    """
    return read_head(content).size_bytes


def read_head(content: bytes | memoryview) -> FileHead:
    """Read the head of a file that this node wrote.

    Raises:
        CannotUnderstand: the head is not as `file_head` makes it.
    """
    if bytes(content[: len(_PREAMBLE)]) != _PREAMBLE or len(content) < _META_START:
        raise CannotUnderstand("not a Part 10 file of this node")
    group, element, _, _, size = _GROUP_LENGTH.unpack_from(content, len(_PREAMBLE))
    position, end = _META_START + len(_VERSION), _META_START + size
    version = bytes(content[_META_START:position])
    if (group, element) != (2, 0) or end > len(content) or version != _VERSION:
        raise CannotUnderstand("the File Meta Information is not this node's")
    values: dict[int, str] = {}
    while position + _ELEMENT.size <= end:
        group, element, _, length = _ELEMENT.unpack_from(content, position)
        start = position + _ELEMENT.size
        position = start + length
        value = bytes(content[start : min(position, end)])
        values[element] = value.decode("ascii", "replace").strip(" \0")
        if group != 2:
            break
    if position != end or group != 2:
        raise CannotUnderstand("the File Meta Information is not this node's")
    return FileHead(
        transfer_syntax_uid=values.get(_TRANSFER_SYNTAX_UID, ""),
        source_ae_title=values.get(_SOURCE_AE_TITLE, ""),
        size_bytes=end,
    )


def _element(element: int, vr: bytes, value: str) -> bytes:
    encoded = value.encode("ascii", "replace")
    if len(encoded) % 2:
        encoded += b"\0" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", 2, element, vr, len(encoded)) + encoded


_IMPLEMENTATION: Final = _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID) + _element(
    0x0013, b"SH", IMPLEMENTATION_VERSION_NAME
)
