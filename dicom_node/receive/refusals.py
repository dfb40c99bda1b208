"""Say of a refused instance what people look for: which study it would have been."""

import contextlib
import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dicom_node.core.errors import CannotUnderstand, ReceiveError
from dicom_node.core.refusal import (
    FOUND_UNUSABLE,
    SHORTER_THAN_RECEIVED,
    RefusedInstance,
)
from dicom_node.part10.head import FileHead, read_head
from dicom_node.receive import header as tags
from dicom_node.receive.elements import Walk
from dicom_node.receive.header import Header
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.progress import Wanted
from dicom_node.receive.scan import DEFLATED, encoding_of, is_uid
from dicom_node.receive.view import DatasetView, Source

if TYPE_CHECKING:
    from dicom_node.receive.handlers import StoreRequest
    from dicom_node.receive.incoming import Incoming

# SH of PS3.5 6.2 has 16 characters; what is longer is no number to search by.
_ACCESSION_MAX: Final = 64
_WANTED: Final = Wanted(
    frozenset(
        (
            tags.SPECIFIC_CHARACTER_SET,
            tags.SOP_CLASS_UID,
            tags.SOP_INSTANCE_UID,
            tags.ACCESSION_NUMBER,
            tags.STUDY_INSTANCE_UID,
        )
    )
)
_HEAD_BYTES: Final = 65_536
_NO_HEAD: Final = FileHead(transfer_syntax_uid="", source_ae_title="", size_bytes=0)
_LIMITS: Final = ScanLimits(
    max_depth=8, max_elements=5_000, max_empty_elements=2_000, max_scan_seconds=0.2
)


def describe_refused(
    request: "StoreRequest",
    incoming: "Incoming",
    *,
    status: int,
    reason: str,
    at: datetime,
) -> RefusedInstance:
    """Describe an instance that was refused.

    Args:
        reason: a fixed text.
    """
    header = _read(incoming.head, request.transfer_syntax_uid)
    accession = header.text(tags.ACCESSION_NUMBER)
    study = _named(header, tags.STUDY_INSTANCE_UID)
    sender = request.sender
    return RefusedInstance(
        at=at,
        calling_ae_title=sender.calling_ae_title,
        called_ae_title=sender.called_ae_title,
        peer_address=sender.peer_address,
        sop_class_uid=_uid(request.affected_sop_class_uid),
        transfer_syntax_uid=_uid(request.transfer_syntax_uid),
        sop_instance_uid=_uid(request.affected_sop_instance_uid),
        study_instance_uid=study,
        accession_number=accession if len(accession) <= _ACCESSION_MAX else "",
        status=status,
        reason=reason,
        size_bytes=incoming.size_bytes,
    )


def study_of(incoming: "Incoming", transfer_syntax_uid: str) -> str:
    """Return the Study Instance UID of a data set on its way, "" if it is not here."""
    header = _read(incoming.first_bytes(), transfer_syntax_uid)
    return _named(header, tags.STUDY_INSTANCE_UID)


def describe_quarantined(
    path: Path, error: ReceiveError, *, called_ae_title: str, at: datetime
) -> RefusedInstance:
    """Describe a file that was put into quarantine, as far as it can be read."""
    content, size, head = b"", 0, _NO_HEAD
    with contextlib.suppress(OSError, CannotUnderstand), path.open("rb") as file:
        content = file.read(_HEAD_BYTES)
        size = os.fstat(file.fileno()).st_size
        head = read_head(content)
    header = Header({}, little=True)
    if head.size_bytes:
        header = _read(content[head.size_bytes :], head.transfer_syntax_uid)
    accession = header.text(tags.ACCESSION_NUMBER)
    reason = str(error)
    if reason != SHORTER_THAN_RECEIVED:
        reason = f"{FOUND_UNUSABLE}: {reason}"
    return RefusedInstance(
        at=at,
        calling_ae_title=head.source_ae_title,
        called_ae_title=called_ae_title,
        peer_address="",
        sop_class_uid=_named(header, tags.SOP_CLASS_UID),
        transfer_syntax_uid=_uid(head.transfer_syntax_uid),
        sop_instance_uid=_named(header, tags.SOP_INSTANCE_UID),
        study_instance_uid=_named(header, tags.STUDY_INSTANCE_UID),
        accession_number=accession if len(accession) <= _ACCESSION_MAX else "",
        status=error.status,
        reason=reason,
        size_bytes=max(size - head.size_bytes, 0),
    )


def _named(header: Header, tag: int) -> str:
    return _uid(header.raw(tag).decode("ascii", "replace"))


def _read(head: bytes, transfer_syntax_uid: str) -> Header:
    """Read the data set up to where it cannot be followed."""
    encoding = encoding_of(transfer_syntax_uid)
    if not head or transfer_syntax_uid == DEFLATED:
        return Header({}, little=encoding.little)
    with Source(DatasetView.of_bytes(head)) as source:
        walk = Walk(source, _LIMITS)
        with contextlib.suppress(ReceiveError):  # it may be only the beginning
            walk.run(encoding, _WANTED)
        return Header(walk.values, little=encoding.little)


def _uid(value: str) -> str:
    return value if is_uid(value) else ""
