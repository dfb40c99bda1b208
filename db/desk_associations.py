"""Over which associations a study's images came."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, select

from db.associations import association_of
from db.engine import Database
from db.tables import associations, instances, versions
from dicom_node.core.ids import StudyId
from dicom_node.core.types import AssociationRecord

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
    arrivals: dict[tuple[str, str], list[datetime]] = defaultdict(list)
    for row in came:
        arrivals[row.calling_ae_title, row.peer_address].append(row.received_at)
    times = [row.received_at for row in came]
    query = (
        select(associations)
        .where(
            associations.c.accepted,
            associations.c.calling_ae_title.in_({row.calling_ae_title for row in came}),
            associations.c.at >= min(times) - _LONGEST,
            associations.c.at <= max(times),
        )
        .order_by(associations.c.at.desc())
        .limit(_LIMIT)
    )
    found = [association_of(row) for row in connection.execute(query)]
    return tuple(one for one in reversed(found) if _brought(one, arrivals))


def _brought(
    one: AssociationRecord, arrivals: Mapping[tuple[str, str], Sequence[datetime]]
) -> bool:
    """Say whether something came while the association lasted."""
    came = arrivals.get((one.calling_ae_title, one.peer_address), ())
    end = one.at + timedelta(seconds=one.seconds)
    return any(one.at <= at <= end for at in came)
