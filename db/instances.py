"""What was received: one row per SOP Instance UID, one version per set of bytes."""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import Connection, bindparam, insert, select, update

from db.columns import UID_LENGTH, AnyRow, new_id
from db.engine import Collision, Database
from db.tables import instances, reports, studies, versions
from db.versions import add_version, record_known
from dicom_node.core.errors import CannotUnderstand
from dicom_node.core.ids import InstanceId, SOPInstanceUID, StudyId, StudyInstanceUID
from dicom_node.core.states import Receipt, StudyState
from dicom_node.core.types import ReceivedInstance, Recorded, StoredVersion

_COLLISIONS: Final = 8  # each one means that another association got on
_SR_PREFIX: Final = "1.2.840.10008.5.1.4.1.1.88."  # PS3.4 B.5: every SR Storage
_UIDS: Final = (
    ("SOPClassUID", "sop_class_uid"),
    ("SOPInstanceUID", "sop_instance_uid"),
    ("StudyInstanceUID", "study_instance_uid"),
    ("SeriesInstanceUID", "series_instance_uid"),
    ("TransferSyntaxUID", "transfer_syntax_uid"),
)

_LOOK_UP = (
    select(
        instances.c.id.label("instance_id"),
        instances.c.study_id,
        instances.c.revision,
        versions.c.id.label("version_id"),
        versions.c.receipt,
        versions.c.current,
        versions.c.study_instance_uid,
        versions.c.dataset_sha256,
        versions.c.pixel_sha256,
        versions.c.file_key,
        versions.c.header,
    )
    .join(versions, versions.c.instance_id == instances.c.id)
    .where(instances.c.sop_instance_uid == bindparam("sop_instance_uid"))
    .with_for_update(of=instances)
)
_STUDY = (
    select(
        studies.c.id,
        studies.c.state,
        studies.c.revision,
        studies.c.revision_started_at,
        studies.c.accession_number,
    )
    .where(studies.c.study_instance_uid == bindparam("study_instance_uid"))
    .with_for_update()
)
_OWN_REPORT = select(reports.c.id).where(
    reports.c.sop_instance_uid == bindparam("sop_instance_uid")
)
_TOUCH = (
    update(studies)
    .where(studies.c.id == bindparam("study_id"))
    .values(
        state=StudyState.RECEIVING,
        revision=bindparam("new_revision"),
        revision_started_at=bindparam("started_at"),
        last_instance_at=bindparam("last_at"),
        accession_number=bindparam("accession"),
        ignored_because=None,
    )
)


def record(
    database: Database,
    received: ReceivedInstance,
    *,
    own_manufacturer: str = "dicom-node",
) -> Recorded:
    """Enter an instance and what it means for its study, in one transaction.

    First bytes make the study RECEIVING (a settled one gets its next revision);
    the same bytes change nothing; other bytes with the same pixels become
    current; other pixels, or another study, are kept beside as a conflict. A
    report of this node that comes back leaves its study alone.

    Args:
        own_manufacturer: an SR with this Manufacturer is this node's result.

    Raises:
        CannotUnderstand: a UID is missing or longer than 128 characters.
        DatabaseError: nothing was written; the sender should retry later.
    """
    _refuse_bad_uids(received)
    for _ in range(_COLLISIONS):
        try:
            return _record_once(database, received, own_manufacturer)
        except Collision:
            continue
    return _record_once(database, received, own_manufacturer)


def _record_once(
    database: Database, received: ReceivedInstance, own_manufacturer: str
) -> Recorded:
    with database.write() as connection:
        known = connection.execute(
            _LOOK_UP, {"sop_instance_uid": received.sop_instance_uid}
        ).all()
        if known:
            return record_known(connection, received, known)
        return _record_first(connection, received, own_manufacturer)


def _refuse_bad_uids(received: ReceivedInstance) -> None:
    for keyword, name in _UIDS:
        value = getattr(received, name)
        if not value or len(value) > UID_LENGTH or "\x00" in value:
            raise CannotUnderstand(
                f"{keyword} is missing, longer than {UID_LENGTH} characters, "
                "or holds a NUL"
            )


def _record_first(
    connection: Connection, received: ReceivedInstance, own_manufacturer: str
) -> Recorded:
    own = _is_own_result(connection, received, own_manufacturer)
    receipt = Receipt.OWN_RESULT if own else Receipt.NEW
    study_id, revision = _enter_study(connection, received, own=own)
    added = connection.execute(
        insert(instances),
        {
            "study_id": study_id,
            "sop_instance_uid": received.sop_instance_uid,
            "revision": revision,
            "own_result": own,
            "received_at": received.received_at,
        },
    )
    instance_id = new_id(added)
    add_version(connection, received, instance_id=instance_id, receipt=receipt)
    return Recorded(
        receipt=receipt,
        study_id=StudyId(study_id),
        instance_id=InstanceId(instance_id),
        revision=revision,
        file_key=received.file_key,
    )


def _is_own_result(
    connection: Connection, received: ReceivedInstance, own_manufacturer: str
) -> bool:
    if (
        received.sop_class_uid.startswith(_SR_PREFIX)
        and received.header.manufacturer.strip() == own_manufacturer
    ):
        return True
    found = connection.execute(
        _OWN_REPORT, {"sop_instance_uid": received.sop_instance_uid}
    )
    return found.first() is not None


def _enter_study(
    connection: Connection, received: ReceivedInstance, *, own: bool
) -> tuple[int, int]:
    """Create the study or make it RECEIVING; return its id and revision."""
    at = received.received_at
    accession = received.header.accession_number
    study = connection.execute(
        _STUDY, {"study_instance_uid": received.study_instance_uid}
    ).first()
    if study is None:
        added = connection.execute(
            insert(studies),
            {
                "study_instance_uid": received.study_instance_uid,
                "accession_number": accession,
                "state": StudyState.RECEIVING,
                "revision": 1,
                "revision_started_at": at,
                "first_instance_at": at,
                "last_instance_at": at,
            },
        )
        return new_id(added), 1
    if own:
        return study.id, study.revision
    settled = study.state != StudyState.RECEIVING
    revision = study.revision + 1 if settled else study.revision
    connection.execute(
        _TOUCH,
        {
            "study_id": study.id,
            "new_revision": revision,
            "started_at": at if settled else study.revision_started_at,
            "last_at": at,
            "accession": study.accession_number or accession,
        },
    )
    return study.id, revision


def find(database: Database, sop_instance_uid: str) -> tuple[StoredVersion, ...]:
    """Return every version of an instance, in the order of arrival."""
    query = (
        select(versions, instances.c.sop_instance_uid)
        .join(instances, versions.c.instance_id == instances.c.id)
        .where(instances.c.sop_instance_uid == sop_instance_uid)
        .order_by(versions.c.id)
    )
    with database.read() as connection:
        return tuple(_version(row) for row in connection.execute(query))


def _version(row: AnyRow) -> StoredVersion:
    return StoredVersion(
        instance_id=InstanceId(row.instance_id),
        sop_instance_uid=SOPInstanceUID(row.sop_instance_uid),
        study_instance_uid=StudyInstanceUID(row.study_instance_uid),
        receipt=Receipt(row.receipt),
        current=row.current,
        received_at=row.received_at,
        calling_ae_title=row.calling_ae_title,
        file_key=row.file_key,
        size_bytes=row.size_bytes,
        dataset_sha256=row.dataset_sha256,
        repeats=row.repeats,
        repeated_at=row.repeated_at,
    )


def known_keys(database: Database) -> Iterator[str]:
    """Yield the file key of every version, conflicts too, for `reconcile`."""
    query = select(versions.c.file_key).execution_options(yield_per=1000)
    with database.read() as connection:
        yield from connection.execute(query).scalars()


def known_report_keys(database: Database) -> Iterator[str]:
    """Yield the file key of every report, for `reconcile`."""
    query = select(reports.c.file_key).execution_options(yield_per=1000)
    with database.read() as connection:
        yield from connection.execute(query).scalars()
