"""Over which associations a study's images came."""

from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, select

from db.associations import association_of
from db.engine import Database
from db.tables import associations, instances, versions
from dicom_node.core.ids import StudyId
from dicom_node.core.types import AssociationRecord

# The record is written at the end, the receipt before it; clocks are read apart.
_SLACK: Final = timedelta(seconds=2)
_LONGEST: Final = timedelta(days=1)
_LIMIT: Final = 1000


def associations_of(
    database: Database, study_id: StudyId
) -> tuple[AssociationRecord, ...]:
    """Return the associations that brought an instance of the study, oldest first.

    By caller, address and time: an instance names no association.
    """
    with database.read() as connection:
        return _associations_of(connection, study_id)


def _associations_of(
    connection: Connection, study_id: StudyId
) -> tuple[AssociationRecord, ...]:
    came = connection.execute(
        select(
            versions.c.calling_ae_title, versions.c.peer_address, versions.c.received_at
        )
        .join(instances, versions.c.instance_id == instances.c.id)
        .where(instances.c.study_id == study_id)
    ).all()
    if not came:
        return ()
    arrivals = {
        (
            row.calling_ae_title,
            row.peer_address,
            row.received_at.replace(microsecond=0),
        )
        for row in came
    }
    times = [row.received_at for row in came]
    query = (
        select(associations)
        .where(
            associations.c.accepted,
            associations.c.calling_ae_title.in_({row.calling_ae_title for row in came}),
            associations.c.at >= min(times) - _LONGEST,
            associations.c.at <= max(times) + _SLACK,
        )
        .order_by(associations.c.at.desc())
        .limit(_LIMIT)
    )
    found = [association_of(row) for row in connection.execute(query)]
    brought = [
        one
        for one in reversed(found)
        if any(
            (title, address) == (one.calling_ae_title, one.peer_address)
            and one.at - _SLACK <= at <= one.at + timedelta(seconds=one.seconds) + _SLACK
            for title, address, at in arrivals
        )
    ]
    return tuple(brought)
