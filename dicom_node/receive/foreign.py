"""A user's file read as the receiver would have received it."""

import warnings
from datetime import UTC, datetime
from pathlib import Path

from pydicom.errors import InvalidDicomError
from pynetdicom.dsutils import split_dataset

from dicom_node.core.errors import CannotUnderstand
from dicom_node.core.ids import TransferSyntaxUID
from dicom_node.core.types import ReceivedInstance
from dicom_node.part10.digest import dataset_digest
from dicom_node.receive.scan import ScanLimits, scan
from dicom_node.receive.view import DatasetView


def read_instance(path: Path, limits: ScanLimits) -> ReceivedInstance:
    """Read a Part 10 file of any writer: the record a receiver would make of it.

    Raises:
        CannotUnderstand: it is no DICOM file, or one that would be refused.

    Source: PS3.10 7.1 (File Meta Information).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            meta, offset = split_dataset(path)
            syntax = str(meta.TransferSyntaxUID)
        content = path.read_bytes()[offset:]
        received_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (InvalidDicomError, AttributeError, ValueError, KeyError) as error:
        raise CannotUnderstand(
            f"it is no DICOM file with File Meta Information ({type(error).__name__})"
        ) from None
    except OSError as error:
        raise CannotUnderstand(f"it cannot be read ({error.strerror})") from None
    scanned = scan(DatasetView.of_bytes(content), syntax, limits)
    return ReceivedInstance(
        sop_class_uid=scanned.sop_class_uid,
        sop_instance_uid=scanned.sop_instance_uid,
        study_instance_uid=scanned.study_instance_uid,
        series_instance_uid=scanned.series_instance_uid,
        transfer_syntax_uid=TransferSyntaxUID(syntax),
        calling_ae_title="",
        called_ae_title="",
        peer_address="",
        received_at=received_at,
        file_key="",
        size_bytes=len(content),
        dataset_digest=dataset_digest(content).hexdigest(),
        header=scanned.header,
    )
