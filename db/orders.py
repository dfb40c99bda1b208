"""Which study an order of the hospital's worklist is, and what is suggested for it."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import select

from db.desk_tables import patient_keys
from db.engine import Database
from db.studies import identify
from db.suggestions import CurrentSuggestion, current
from db.tables import studies
from dicom_node.core.ids import StudyId


def suggestion_for(
    database: Database,
    *,
    study_instance_uid: str,
    accession_number: str,
    patient: Collection[str] = (),
    now: datetime,
) -> CurrentSuggestion | None:
    """Return the most urgent current suggestion for an order's studies.

    The Study Instance UID decides where the node has the study; the accession number
    where it does not. A study of another patient is not the order's, whatever its
    accession number says.

    Args:
        patient: digests of the order's Patient ID; () if it names none.
    """
    found = _with_uid(database, study_instance_uid)
    found = found or identify(database, accession_number)
    mine = _of_patient(database, found, patient)
    known = current(database, mine, now=now) if mine else {}
    ranked = sorted(known.values(), key=_urgency)
    return ranked[0] if ranked else None


def _urgency(one: CurrentSuggestion) -> int:
    return list(type(one.suggestion.urgency)).index(one.suggestion.urgency)


def _with_uid(database: Database, uid: str) -> tuple[StudyId, ...]:
    if not uid:
        return ()
    query = select(studies.c.id).where(studies.c.study_instance_uid == uid)
    with database.read() as connection:
        return tuple(StudyId(key) for key in connection.execute(query).scalars())


def _of_patient(
    database: Database, found: Collection[StudyId], patient: Collection[str]
) -> tuple[StudyId, ...]:
    """Leave out the studies whose Patient ID is known to be another one."""
    if not found or not patient:
        return tuple(found)
    query = select(patient_keys.c.study_id, patient_keys.c.digest).where(
        patient_keys.c.study_id.in_(found), patient_keys.c.kind == "id"
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    keyed = {row.study_id for row in rows}
    same = {row.study_id for row in rows if row.digest in patient}
    return tuple(key for key in found if key in same or key not in keyed)
