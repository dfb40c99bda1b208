"""Whether the database does what receiving needs."""

from sqlalchemy import delete

from db.engine import Database
from db.tables import associations
from dicom_node.core.errors import DatabaseError


def takes_writes(database: Database) -> bool:
    """Try a transaction that may write and changes nothing; it may wait."""
    try:
        with database.write(durable=False) as connection:
            connection.execute(delete(associations).where(associations.c.id < 0))
    except DatabaseError:
        return False
    return True
