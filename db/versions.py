"""Other bytes under a SOP Instance UID that is known: repeat, version or conflict."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, select, update

from db.codec import encode_header
from db.columns import AnyRow
from db.tables import instances, studies, versions
from dicom_node.core.errors import StoreError
from dicom_node.core.ids import InstanceId, StudyId
from dicom_node.core.protocols import Compare
from dicom_node.core.states import Receipt
from dicom_node.core.types import ReceivedInstance, Recorded

_SHA256_DIGITS: Final = 64  # the digest of a version received before revision 0002
_LOOK_UP: Final = (
    select(
        instances.c.id.label("instance_id"),
        instances.c.sop_instance_uid,
        instances.c.study_id,
        instances.c.revision,
        versions.c.id.label("version_id"),
        versions.c.receipt,
        versions.c.current,
        versions.c.study_instance_uid,
        versions.c.dataset_digest,
        versions.c.size_bytes,
        versions.c.file_key,
        versions.c.header,
    )
    .join(versions, versions.c.instance_id == instances.c.id)
    .where(instances.c.sop_instance_uid.in_(bindparam("uids", expanding=True)))
    .order_by(instances.c.sop_instance_uid, versions.c.id)
)

Known = dict[str, list[AnyRow]]


def look_up(
    connection: Connection, uids: Iterable[str], *, lock: bool = False
) -> Known:
    """Return the versions that are there, by SOP Instance UID.

    Args:
        lock: keep others from changing them until the transaction ends.
    """
    query = _LOOK_UP.with_for_update(of=instances) if lock else _LOOK_UP
    found: Known = {}
    for row in connection.execute(query, {"uids": list(uids)}):
        found.setdefault(row.sop_instance_uid, []).append(row)
    return found


class Answers:
    """Compares two files once, so that a transaction need not wait for a disk."""

    def __init__(self, compare: Compare) -> None:
        self._compare = compare
        self._known: dict[tuple[str, str, str], bool | StoreError] = {}

    def same_dataset(self, kept: str, other: str) -> bool:
        """See `Compare`."""
        return self._ask(self._compare.same_dataset, kept, other)

    def same_pixels(self, kept: str, other: str) -> bool:
        """See `Compare`."""
        return self._ask(self._compare.same_pixels, kept, other)

    def _ask(self, question: Callable[[str, str], bool], kept: str, other: str) -> bool:
        asked = (question.__name__, kept, other)
        if asked not in self._known:
            try:
                self._known[asked] = question(kept, other)
            except StoreError as error:
                self._known[asked] = error
        answer = self._known[asked]
        if isinstance(answer, StoreError):
            raise answer
        return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What bytes under a known SOP Instance UID are.

    Args:
        receipt: REPEAT stands for all bytes that came before.
        same: the version they are, if they came before.
        lost: the file of that version is gone or damaged; the new one takes its place.
    """

    receipt: Receipt
    same: AnyRow | None = None
    lost: bool = False


def judge(
    received: ReceivedInstance, known: Sequence[AnyRow], compare: Compare
) -> Judgement:
    """Compare the bytes with those that are here."""
    for version in known:
        if version.file_key == received.file_key:
            return Judgement(receipt=Receipt.REPEAT, same=version)
    for version in known:
        if not _may_be_same(received, version):
            continue
        try:
            if compare.same_dataset(version.file_key, received.file_key):
                return Judgement(receipt=Receipt.REPEAT, same=version)
        except StoreError:  # only the digest is left to go by
            if version.dataset_digest == received.dataset_digest:
                return Judgement(receipt=Receipt.REPEAT, same=version, lost=True)
    current = _current(known)
    if current.study_instance_uid == received.study_instance_uid:
        try:
            if compare.same_pixels(current.file_key, received.file_key):
                return Judgement(receipt=Receipt.NEW_METADATA)
        except StoreError:  # nobody can tell any more: never used, never lost
            return Judgement(receipt=Receipt.CONFLICT)
    return Judgement(receipt=Receipt.CONFLICT)


def _current(known: Sequence[AnyRow]) -> AnyRow:
    return next(version for version in known if version.current)


def _may_be_same(received: ReceivedInstance, version: AnyRow) -> bool:
    return version.size_bytes == received.size_bytes and (
        version.dataset_digest == received.dataset_digest
        or len(version.dataset_digest) == _SHA256_DIGITS
    )


def record_known(
    connection: Connection,
    received: ReceivedInstance,
    known: Sequence[AnyRow],
    *,
    compare: Compare,
) -> Recorded:
    """Enter bytes under a SOP Instance UID that has versions already."""
    current = _current(known)
    judged = judge(received, known, compare)
    receipt, same = judged.receipt, judged.same
    file_key = received.file_key
    if same is None:
        if receipt is Receipt.NEW_METADATA:
            _retire(connection, current)
        add_version(
            connection, received, instance_id=current.instance_id, receipt=receipt
        )
    elif same.file_key == received.file_key:
        receipt = Receipt(same.receipt)  # this very receipt, entered before
    else:
        file_key = received.file_key if judged.lost else same.file_key
        receipt = _repeat(connection, received, same, file_key=file_key)
    if receipt is Receipt.NEW_METADATA:
        _follow_accession(connection, received, current)
    return Recorded(
        receipt=receipt,
        study_id=StudyId(current.study_id),
        instance_id=InstanceId(current.instance_id),
        revision=current.revision,
        file_key=file_key,
    )


def _repeat(
    connection: Connection, received: ReceivedInstance, same: AnyRow, *, file_key: str
) -> Receipt:
    """Count bytes that are here already; an earlier version becomes current again."""
    conflict = same.receipt == Receipt.CONFLICT
    returns = not same.current and not conflict
    values: dict[str, Any] = {
        "repeats": versions.c.repeats + 1,
        "repeated_at": received.received_at,
        "file_key": file_key,
    }
    if returns:
        connection.execute(
            update(versions)
            .where(versions.c.instance_id == same.instance_id, versions.c.current)
            .values(current=None)
        )
        values["current"] = True
    connection.execute(
        update(versions).where(versions.c.id == same.version_id).values(values)
    )
    if conflict:
        return Receipt.CONFLICT
    return Receipt.NEW_METADATA if returns else Receipt.REPEAT


def _retire(connection: Connection, current: AnyRow) -> None:
    connection.execute(
        update(versions).where(versions.c.id == current.version_id).values(current=None)
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
    """Keep bytes that are here for the first time."""
    connection.execute(
        insert(versions),
        {
            "instance_id": instance_id,
            "receipt": receipt,
            "current": None if receipt is Receipt.CONFLICT else True,
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
