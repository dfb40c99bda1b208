"""Files in quarantine stand among what was refused: nobody has to read a log."""

from contextlib import suppress
from pathlib import Path

import db.refusals
from db.engine import Database
from dicom_node.core.clock import SystemClock
from dicom_node.core.errors import DatabaseError, ReceiveError
from dicom_node.receive.refusals import describe_quarantined
from dicom_node.store.reconcile import Quarantined


def telling(database: Database, called_ae_title: str) -> Quarantined:
    """Return what keeps a record of each file in quarantine.

    Args:
        called_ae_title: of this node.
    """

    def tell(key: str, path: Path, error: ReceiveError) -> None:
        found = describe_quarantined(
            path,
            error,
            called_ae_title=called_ae_title,
            at=SystemClock().now(),
        )
        with suppress(DatabaseError):  # it lies in quarantine all the same
            db.refusals.record(database, [db.refusals.complete(database, found, key)])

    return tell
