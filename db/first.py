"""The first bytes under a SOP Instance UID, and what they mean for their study."""

from typing import Final

from sqlalchemy import Connection, bindparam, insert, select, update

from db.columns import new_id
from db.direct import is_of_own_class
from db.tables import instances, reports, studies
from db.versions import add_version
from dicom_node.core.ids import InstanceId, StudyId
from dicom_node.core.states import Receipt, StudyState
from dicom_node.core.types import ReceivedInstance, Recorded

# Adding an instance shares the key of its study: a lock that lets others do that.
_STUDY: Final = (
    select(
        studies.c.id,
        studies.c.state,
        studies.c.revision,
        studies.c.revision_started_at,
        studies.c.accession_number,
    )
    .where(studies.c.study_instance_uid == bindparam("study_instance_uid"))
    .with_for_update(key_share=True)
)
_OWN_REPORT: Final = select(reports.c.id).where(
    reports.c.sop_instance_uid == bindparam("sop_instance_uid")
)
_TOUCH: Final = (
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


def record_first(
    connection: Connection, received: ReceivedInstance, *, own_manufacturer: str
) -> Recorded:
    """Enter an instance whose SOP Instance UID is not known.

    Args:
        own_manufacturer: an SR with this Manufacturer is this node's result.
    """
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
        is_of_own_class(received.sop_class_uid)
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
            "called": received.called_ae_title,
            "accession": study.accession_number or accession,
        },
    )
    return study.id, revision
