"""An instance that was refused: what people read to learn why it is not here."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

# Of one association; how many more there were stands in its own record.
TOLD_PER_ASSOCIATION: Final = 100
# Of files in quarantine. The first was acknowledged: its row stays, without a file.
SHORTER_THAN_RECEIVED: Final = "the file on the disk is shorter than what was received"
FOUND_UNUSABLE: Final = "a file was found on the disk that cannot be used"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedInstance:
    """An instance that the node did not take.

    Args:
        calling_ae_title: "" for a file that was found after a crash.
        sop_class_uid, transfer_syntax_uid, sop_instance_uid: as the command set says;
            "" where they are not UIDs.
        study_instance_uid, accession_number: "" where the header was not read so far.
        status: of the C-STORE-RSP (PS3.4 B.2.3).
        reason: a fixed text of the node; no value of the data set.
        size_bytes: of the data set, as far as it came.
    """

    at: datetime
    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    sop_class_uid: str
    transfer_syntax_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    accession_number: str
    status: int
    reason: str
    size_bytes: int
