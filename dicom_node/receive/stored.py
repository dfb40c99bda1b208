"""Read a stored file back as the instance it was received as."""

from datetime import UTC, datetime
from pathlib import Path

from dicom_node.core.ids import TransferSyntaxUID
from dicom_node.core.types import ReceivedInstance
from dicom_node.part10.file import checked_digest, open_stored
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.scan import scan
from dicom_node.receive.view import DatasetView


def read_stored(
    key: str, path: Path, *, called_ae_title: str, limits: ScanLimits
) -> ReceivedInstance:
    """Make the record of a file that lost its row, or never had one.

    Who sent it is in the file, from where is not; when is the file's time.

    Raises:
        CannotUnderstand: not a file of this node, or its bytes changed at rest.
        StoreError: it cannot be read.
    """
    file = open_stored(path)
    digest = checked_digest(key, file)
    view = DatasetView(file.beginning, file.size_bytes, file.dataset)
    scanned = scan(view, file.head.transfer_syntax_uid, limits)
    return ReceivedInstance(
        sop_class_uid=scanned.sop_class_uid,
        sop_instance_uid=scanned.sop_instance_uid,
        study_instance_uid=scanned.study_instance_uid,
        series_instance_uid=scanned.series_instance_uid,
        transfer_syntax_uid=TransferSyntaxUID(file.head.transfer_syntax_uid),
        calling_ae_title=file.head.source_ae_title,
        called_ae_title=called_ae_title,
        peer_address="",
        received_at=datetime.fromtimestamp(file.modified_at, UTC),
        file_key=key,
        size_bytes=file.size_bytes,
        dataset_digest=digest,
        header=scanned.header,
    )
