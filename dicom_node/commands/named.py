"""The study that a command names."""

import db.studies
from db.engine import Database
from dicom_node.core.errors import NodeError, UsageError
from dicom_node.core.ids import StudyId


def named_study(database: Database, key: str) -> StudyId:
    """Return the one study with this Study Instance UID or Accession Number.

    Raises:
        NodeError: there is none.
        UsageError: several studies have this Accession Number.
    """
    found = db.studies.identify(database, key)
    if not found:
        raise NodeError(
            "no study with this Study Instance UID or Accession Number was received: "
            "`dicom-node studies` lists all"
        )
    if len(found) > 1:
        raise UsageError(
            f"{len(found)} studies have this Accession Number: name one by its "
            "Study Instance UID"
        )
    return found[0]
