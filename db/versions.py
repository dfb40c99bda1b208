"""Other bytes under a SOP Instance UID that is known: repeat, version or conflict."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, insert, update

from db.codec import encode_header
from db.columns import AnyRow
from db.tables import studies, versions
from dicom_node.core.ids import InstanceId, StudyId
from dicom_node.core.protocols import Compare
from dicom_node.core.states import Receipt
from dicom_node.core.types import ReceivedInstance, Recorded

_SHA256_DIGITS: Final = 64  # the digest of a version received before revision 0002


def record_known(
    connection: Connection,
    received: ReceivedInstance,
    known: Sequence[AnyRow],
    *,
    compare: Compare,
) -> Recorded:
    """Enter bytes under a SOP Instance UID that has versions already."""
    current = next(version for version in known if version.current)
    same = _find_same(received, known, compare)
    file_key = received.file_key
    if same is not None:
        file_key = same.file_key
        receipt = _repeat(connection, received, same)
    elif _same_image(received, current, compare):
        receipt = Receipt.NEW_METADATA
        _retire(connection, current)
        add_version(
            connection, received, instance_id=current.instance_id, receipt=receipt
        )
    else:
        receipt = Receipt.CONFLICT
        add_version(
            connection, received, instance_id=current.instance_id, receipt=receipt
        )
    if receipt is Receipt.NEW_METADATA:
        _follow_accession(connection, received, current)
    return Recorded(
        receipt=receipt,
        study_id=StudyId(current.study_id),
        instance_id=InstanceId(current.instance_id),
        revision=current.revision,
        file_key=file_key,
    )


def _find_same(
    received: ReceivedInstance, known: Sequence[AnyRow], compare: Compare
) -> AnyRow | None:
    """Return the version that is the same bytes; a digest alone proves nothing."""
    for version in known:
        if _may_be_same(received, version) and compare.same_dataset(
            version.file_key, received.file_key
        ):
            return version
    return None


def _may_be_same(received: ReceivedInstance, version: AnyRow) -> bool:
    return version.size_bytes == received.size_bytes and (
        version.dataset_digest == received.dataset_digest
        or len(version.dataset_digest) == _SHA256_DIGITS
    )


def _same_image(received: ReceivedInstance, current: AnyRow, compare: Compare) -> bool:
    return bool(
        current.study_instance_uid == received.study_instance_uid
    ) and compare.same_pixels(current.file_key, received.file_key)


def _repeat(
    connection: Connection, received: ReceivedInstance, same: AnyRow
) -> Receipt:
    """Count bytes that are here already; an earlier version becomes current again."""
    conflict = same.receipt == Receipt.CONFLICT
    returns = not same.current and not conflict
    if returns:
        connection.execute(
            update(versions)
            .where(versions.c.instance_id == same.instance_id, versions.c.current)
            .values(current=False)
        )
    connection.execute(
        update(versions)
        .where(versions.c.id == same.version_id)
        .values(
            repeats=versions.c.repeats + 1,
            repeated_at=received.received_at,
            current=not conflict,
        )
    )
    if conflict:
        return Receipt.CONFLICT
    return Receipt.NEW_METADATA if returns else Receipt.REPEAT


def _retire(connection: Connection, current: AnyRow) -> None:
    connection.execute(
        update(versions)
        .where(versions.c.id == current.version_id)
        .values(current=False)
    )


def _follow_accession(
    connection: Connection, received: ReceivedInstance, before: AnyRow
) -> None:
    """Correct the study's accession number when the archive corrected it."""
    old = before.header.get("accession_number", "")
    new = received.header.accession_number
    if new and new != old:
        connection.execute(
            update(studies)
            .where(
                studies.c.id == before.study_id,
                studies.c.accession_number == old,
            )
            .values(accession_number=new)
        )


def add_version(
    connection: Connection,
    received: ReceivedInstance,
    *,
    instance_id: int,
    receipt: Receipt,
) -> None:
    connection.execute(
        insert(versions),
        {
            "instance_id": instance_id,
            "receipt": receipt,
            "current": receipt is not Receipt.CONFLICT,
            "received_at": received.received_at,
            "repeats": 0,
            "study_instance_uid": received.study_instance_uid,
            "series_instance_uid": received.series_instance_uid,
            "sop_class_uid": received.sop_class_uid,
            "transfer_syntax_uid": received.transfer_syntax_uid,
            "calling_ae_title": received.calling_ae_title,
            "called_ae_title": received.called_ae_title,
            "peer_address": received.peer_address,
            "file_key": received.file_key,
            "size_bytes": received.size_bytes,
            "dataset_digest": received.dataset_digest,
            "header": encode_header(received.header),
        },
    )
