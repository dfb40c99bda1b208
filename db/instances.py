"""What was received: one row per SOP Instance UID, one version per set of bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, insert, select, update

from db.columns import UID_LENGTH, AnyRow, new_id
from db.engine import Collision, Database
from db.tables import instances, reports, studies, versions
from db.versions import add_version, record_known
from dicom_node.core.errors import CannotUnderstand, ReceiveError
from dicom_node.core.ids import InstanceId, SOPInstanceUID, StudyId, StudyInstanceUID
from dicom_node.core.protocols import Compare
from dicom_node.core.states import Receipt, StudyState
from dicom_node.core.types import ReceivedInstance, Recorded, StoredVersion

Outcome = Recorded | ReceiveError

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
        versions.c.dataset_digest,
        versions.c.size_bytes,
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
        called_ae_title=bindparam("called"),
        accession_number=bindparam("accession"),
        ignored_because=None,
    )
)


def record_all(
    database: Database,
    received: Sequence[ReceivedInstance],
    *,
    compare: Compare,
    durable: bool = True,
    own_manufacturer: str = "dicom-node",
) -> tuple[Outcome, ...]:
    """Enter instances and what they mean for their studies, in one transaction.

    First bytes make the study RECEIVING (a settled one gets its next revision);
    the same bytes change nothing; other bytes with the same pixels become
    current; other pixels, or another study, are kept beside as a conflict. A
    report of this node that comes back leaves its study alone.

    Args:
        durable: False leaves the sync to the operating system.
        own_manufacturer: an SR with this Manufacturer is this node's result.

    Returns:
        An answer to each, in their order; one with a bad UID is refused alone.

    Raises:
        DatabaseError: nothing was written; the senders should retry later.
    """
    refusals = [_refusal(item) for item in received]
    taken = [item for item, no in zip(received, refusals, strict=True) if no is None]
    step = _Step(compare=compare, own_manufacturer=own_manufacturer)
    recorded = iter(_record_taken(database, taken, step, durable=durable))
    return tuple(next(recorded) if no is None else no for no in refusals)


def _record_taken(
    database: Database,
    taken: Sequence[ReceivedInstance],
    step: "_Step",
    *,
    durable: bool,
) -> list[Recorded]:
    if not taken:
        return []
    for _ in range(_COLLISIONS):
        try:
            return _record_once(database, taken, step, durable=durable)
        except Collision:
            continue
    return _record_once(database, taken, step, durable=durable)


def _record_once(
    database: Database,
    taken: Sequence[ReceivedInstance],
    step: "_Step",
    *,
    durable: bool,
) -> list[Recorded]:
    with database.write(durable=durable) as connection:
        return [step.record(connection, item) for item in taken]


@dataclass(frozen=True, slots=True)
class _Step:
    """Enters one instance into an open transaction."""

    compare: Compare
    own_manufacturer: str

    def record(self, connection: Connection, received: ReceivedInstance) -> Recorded:
        known = connection.execute(
            _LOOK_UP, {"sop_instance_uid": received.sop_instance_uid}
        ).all()
        if known:
            return record_known(connection, received, known, compare=self.compare)
        return _record_first(connection, received, self.own_manufacturer)


def _refusal(received: ReceivedInstance) -> CannotUnderstand | None:
    for keyword, name in _UIDS:
        value = getattr(received, name)
        if not value or len(value) > UID_LENGTH or "\x00" in value:
            return CannotUnderstand(
                f"{keyword} is missing, longer than {UID_LENGTH} characters, "
                "or holds a NUL"
            )
    return None


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
                "called_ae_title": received.called_ae_title,
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
            "called": received.called_ae_title,
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
        dataset_digest=row.dataset_digest,
        repeats=row.repeats,
        repeated_at=row.repeated_at,
    )


def known_keys(database: Database) -> Iterator[str]:
    """Yield the file key of every version, conflicts too, for `reconcile`."""
    query = select(versions.c.file_key).execution_options(yield_per=1000)
    with database.read() as connection:
        yield from connection.execute(query).scalars()


def recorded_keys(database: Database, keys: Sequence[str]) -> frozenset[str]:
    """Say which of these file keys have a row; reads every version to find out."""
    query = select(versions.c.file_key).where(versions.c.file_key.in_(keys))
    with database.read() as connection:
        return frozenset(connection.execute(query).scalars())


def known_report_keys(database: Database) -> Iterator[str]:
    """Yield the file key of every report, for `reconcile`."""
    query = select(reports.c.file_key).execution_options(yield_per=1000)
    with database.read() as connection:
        yield from connection.execute(query).scalars()
