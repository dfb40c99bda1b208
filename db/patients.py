"""Whose studies they are, as keyed digests: found by a whole ID or name, never read."""

from collections.abc import Collection

from sqlalchemy import delete, insert, select

from db.desk_tables import patient_keys
from db.engine import Database
from db.tables import studies
from dicom_node.core.ids import StudyId
from dicom_node.core.patient import PatientDigest


def remember(
    database: Database, study_id: StudyId, digests: Collection[PatientDigest]
) -> None:
    """Let a study be found by these digests, and by no others any more."""
    wanted = set(digests)
    query = select(patient_keys.c.kind, patient_keys.c.digest).where(
        patient_keys.c.study_id == study_id
    )
    with database.read() as connection:
        known = {PatientDigest(*row) for row in connection.execute(query)}
    if known == wanted:
        return
    with database.write() as connection:
        # Another process may be at the same study: it waits here.
        connection.execute(
            select(studies.c.id).where(studies.c.id == study_id).with_for_update()
        )
        connection.execute(
            delete(patient_keys).where(patient_keys.c.study_id == study_id)
        )
        if wanted:
            connection.execute(
                insert(patient_keys),
                [
                    {"study_id": study_id, "kind": one.kind, "digest": one.digest}
                    for one in sorted(wanted)
                ],
            )


def find_by_patient(
    database: Database, digests: Collection[str], *, limit: int = 200
) -> tuple[StudyId, ...]:
    """Return the studies with one of these digests, the latest first.

    Args:
        digests: of `PatientKeys.of_id` or `of_name`.
    """
    query = (
        select(studies.c.id)
        .where(
            studies.c.id.in_(
                select(patient_keys.c.study_id).where(
                    patient_keys.c.digest.in_(list(digests))
                )
            )
        )
        .order_by(studies.c.last_instance_at.desc(), studies.c.id.desc())
        .limit(limit)
    )
    if not digests:
        return ()
    with database.read() as connection:
        return tuple(StudyId(key) for key in connection.execute(query).scalars())
