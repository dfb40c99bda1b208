"""Read a stored file back as the instance it was received as."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from struct import Struct
from typing import Final

from dicom_node.core.errors import CannotUnderstand, StoreError
from dicom_node.core.ids import TransferSyntaxUID
from dicom_node.core.types import ReceivedInstance
from dicom_node.receive.scan import ScanLimits, scan

_META_START: Final = 132
_ELEMENT: Final = Struct("<HH2sH")
_TRANSFER_SYNTAX_UID: Final = 0x0010
_SOURCE_AE_TITLE: Final = 0x0016
_VERSION: Final = 0x0001


def read_stored(
    key: str, path: Path, *, called_ae_title: str, limits: ScanLimits
) -> ReceivedInstance:
    """Make the record of a file that lost its row, or never had one.

    Who sent it is in the file, from where is not; when is the file's time.

    Raises:
        CannotUnderstand: not a file of this node, or its bytes changed at rest.
        StoreError: it cannot be read.
    """
    try:
        content = path.read_bytes()
        received_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError as error:
        raise StoreError(f"a stored file cannot be read: {type(error).__name__}") from (
            None
        )
    if hashlib.sha256(content).hexdigest() != key:
        raise CannotUnderstand("the file is not what was stored under its key")
    meta, start = _read_meta(content)
    transfer_syntax_uid = meta.get(_TRANSFER_SYNTAX_UID, "")
    dataset = content[start:]
    scanned = scan(dataset, transfer_syntax_uid, limits)
    return ReceivedInstance(
        sop_class_uid=scanned.sop_class_uid,
        sop_instance_uid=scanned.sop_instance_uid,
        study_instance_uid=scanned.study_instance_uid,
        series_instance_uid=scanned.series_instance_uid,
        transfer_syntax_uid=TransferSyntaxUID(transfer_syntax_uid),
        calling_ae_title=meta.get(_SOURCE_AE_TITLE, ""),
        called_ae_title=called_ae_title,
        peer_address="",
        received_at=received_at,
        file_key=key,
        size_bytes=len(dataset),
        dataset_sha256=scanned.dataset_sha256,
        pixel_sha256=scanned.pixel_sha256,
        header=scanned.header,
    )


def _read_meta(content: bytes) -> tuple[dict[int, str], int]:
    """Return the short elements of our own File Meta Information, and its end."""
    if content[128:_META_START] != b"DICM" or len(content) < _META_START + 12:
        raise CannotUnderstand("not a Part 10 file")
    position = _META_START + 12
    end = position + int.from_bytes(content[position - 4 : position], "little")
    values: dict[int, str] = {}
    while position + _ELEMENT.size <= min(end, len(content)):
        group, element, _, length = _ELEMENT.unpack_from(content, position)
        if group != 2:
            break
        position += _ELEMENT.size
        if element == _VERSION:  # OB: its length is in the next four bytes
            length = 4 + int.from_bytes(content[position : position + 4], "little")
        value = content[position : position + length]
        values[element] = value.decode("ascii", "replace").strip(" \0")
        position += length
    if position != end:
        raise CannotUnderstand("the File Meta Information is not this node's")
    return values, end
