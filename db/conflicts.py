"""Instances that name a study, but whose SOP Instance UIDs another study has."""

from dataclasses import dataclass

from sqlalchemy import func, select

from db.engine import Database
from db.tables import instances, studies, versions
from dicom_node.core.states import Receipt


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """What is kept beside the instances of the study that has the UIDs.

    Args:
        study_instance_uid: of that study.
    """

    study_instance_uid: str
    instances: int


def conflicts_of(database: Database, study_instance_uid: str) -> tuple[Conflict, ...]:
    """Return which studies have the SOP Instance UIDs of a study's conflicts.

    It reads every version: for a person who asks, not for a page or a loop.
    """
    query = (
        select(studies.c.study_instance_uid, func.count(instances.c.id.distinct()))
        .select_from(versions)
        .join(instances, versions.c.instance_id == instances.c.id)
        .join(studies, instances.c.study_id == studies.c.id)
        .where(
            versions.c.receipt == Receipt.CONFLICT,
            versions.c.study_instance_uid == study_instance_uid,
            studies.c.study_instance_uid != study_instance_uid,
        )
        .group_by(studies.c.study_instance_uid)
        .order_by(studies.c.study_instance_uid)
    )
    with database.read() as connection:
        return tuple(
            Conflict(study_instance_uid=uid, instances=count)
            for uid, count in connection.execute(query)
        )
