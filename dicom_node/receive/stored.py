"""Read a stored file back as the instance it was received as."""

from datetime import UTC, datetime
from pathlib import Path

from dicom_node.core.errors import CannotUnderstand, StoreError
from dicom_node.core.ids import TransferSyntaxUID
from dicom_node.core.types import ReceivedInstance
from dicom_node.part10.digest import dataset_digest, name_digest, names
from dicom_node.part10.head import read_head
from dicom_node.receive.scan import ScanLimits, scan
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
    try:
        content = path.read_bytes()
        received_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError as error:
        raise StoreError(f"a stored file cannot be read: {type(error).__name__}") from (
            None
        )
    head = read_head(content)
    dataset = content[head.size_bytes :]
    digest = dataset_digest(dataset)
    if not names(key, name_digest(content[: head.size_bytes], digest.digest())):
        raise CannotUnderstand("the file is not what was stored under its key")
    scanned = scan(DatasetView.of_bytes(dataset), head.transfer_syntax_uid, limits)
    return ReceivedInstance(
        sop_class_uid=scanned.sop_class_uid,
        sop_instance_uid=scanned.sop_instance_uid,
        study_instance_uid=scanned.study_instance_uid,
        series_instance_uid=scanned.series_instance_uid,
        transfer_syntax_uid=TransferSyntaxUID(head.transfer_syntax_uid),
        calling_ae_title=head.source_ae_title,
        called_ae_title=called_ae_title,
        peer_address="",
        received_at=received_at,
        file_key=key,
        size_bytes=len(dataset),
        dataset_digest=digest.hexdigest(),
        header=scanned.header,
    )
