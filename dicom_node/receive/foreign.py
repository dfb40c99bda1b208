"""A user's file read as the receiver would have received it."""

import warnings
from datetime import UTC, datetime
from pathlib import Path

from pynetdicom.dsutils import split_dataset

from dicom_node.core.errors import CannotUnderstand, StoreError
from dicom_node.core.ids import TransferSyntaxUID
from dicom_node.core.types import ReceivedInstance
from dicom_node.part10.file import digest_of, open_behind
from dicom_node.part10.head import FileHead
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.scan import scan
from dicom_node.receive.view import DatasetView


def read_instance(path: Path, limits: ScanLimits) -> ReceivedInstance:
    """Read a Part 10 file of any writer: the record a receiver would make of it.

    Raises:
        CannotUnderstand: it is no DICOM file, or one that would be refused.

    Source: PS3.10 7.1 (File Meta Information).
    """
    head = _foreign_head(path)
    try:
        file = open_behind(path, head)
        digest = digest_of(file)
        view = DatasetView(file.beginning, file.size_bytes, file.dataset)
        scanned = scan(view, head.transfer_syntax_uid, limits)
    except StoreError as error:
        raise CannotUnderstand(str(error)) from None
    return ReceivedInstance(
        sop_class_uid=scanned.sop_class_uid,
        sop_instance_uid=scanned.sop_instance_uid,
        study_instance_uid=scanned.study_instance_uid,
        series_instance_uid=scanned.series_instance_uid,
        transfer_syntax_uid=TransferSyntaxUID(head.transfer_syntax_uid),
        calling_ae_title="",
        called_ae_title="",
        peer_address="",
        received_at=datetime.fromtimestamp(file.modified_at, UTC),
        file_key="",
        size_bytes=file.size_bytes,
        dataset_digest=digest.hex(),
        header=scanned.header,
    )


def _foreign_head(path: Path) -> FileHead:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            meta, offset = split_dataset(path)
            syntax = str(meta.TransferSyntaxUID)
    except OSError as error:
        raise CannotUnderstand(f"it cannot be read ({error.strerror})") from None
    except Exception as error:  # noqa: BLE001 - whatever pydicom meets in the file
        raise CannotUnderstand(
            f"it is no DICOM file with File Meta Information ({type(error).__name__})"
        ) from None
    return FileHead(transfer_syntax_uid=syntax, source_ae_title="", size_bytes=offset)
