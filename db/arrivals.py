"""Studies of which an instance is on its way: they are not quiet."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import select, update

from db.engine import Database
from db.tables import STUDY_OPEN, studies


def note(database: Database, arriving: Mapping[str, datetime]) -> None:
    """Let the quiet time of RECEIVING studies begin when something of them last came.

    It is not synced: after a power cut nothing is on its way.

    Args:
        arriving: by Study Instance UID, when a part of a data set of it came.
    """
    chosen = STUDY_OPEN, studies.c.study_instance_uid.in_(arriving)
    # Most have no row yet, or none that is open: nobody has to wait for that.
    with database.read() as connection:
        known = connection.execute(
            select(studies.c.study_instance_uid).where(*chosen)
        ).scalars()
        found = sorted(known)
    if not found:
        return
    with database.write(durable=False) as connection:
        for uid in found:
            connection.execute(
                update(studies)
                .where(
                    STUDY_OPEN,
                    studies.c.study_instance_uid == uid,
                    studies.c.last_instance_at < arriving[uid],
                )
                .values(last_instance_at=arriving[uid])
            )
