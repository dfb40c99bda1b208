"""The shortest way for what nearly every instance is: new, in an open study.

SQLAlchemy costs ten times what SQLite does here, so the statements of this way are
text and go to the driver. What is not as expected goes the complete way, in
`db.instances`; both leave the same rows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from sqlalchemy import Connection

from db.codec import header_text
from db.columns import AE_LENGTH, NAME_LENGTH
from dicom_node.core.ids import InstanceId, StudyId
from dicom_node.core.states import Receipt
from dicom_node.core.types import ReceivedInstance, Recorded

# PS3.4 B.5: every SR Storage. A report may be this node's own.
_SR_PREFIX: Final = "1.2.840.10008.5.1.4.1.1.88."  # Key Object Selection too
_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"

# The columns of a first version, in the order of the drivers' parameters; what
# every first version has alike is in the statement.
VERSION_COLUMNS: Final = (
    "instance_id, received_at, study_instance_uid, series_instance_uid, "
    "sop_class_uid, transfer_syntax_uid, calling_ae_title, called_ae_title, "
    "peer_address, file_key, size_bytes, dataset_digest, header, "
    'receipt, "current", repeats'
)
VERSION_CONSTANTS: Final = "'new', TRUE, 0"


@dataclass(frozen=True, slots=True)
class Arrival:
    """An instance whose texts every column takes as they are.

    Args:
        header: the routing header as JSON.
    """

    item: ReceivedInstance
    header: str


@dataclass(slots=True)
class Touch:
    """What a group of instances does to one study, which must be RECEIVING or new.

    Args:
        accession_number: the first one that is not empty.
    """

    study_instance_uid: str
    accession_number: str
    first_at: datetime
    last_at: datetime
    called_ae_title: str


class Direct(Protocol):
    """The shortest way into one engine's tables."""

    def enter(
        self, arrivals: Sequence[Arrival], *, durable: bool
    ) -> list[Recorded] | None:
        """Enter new instances, each with a UID of its own, in one transaction.

        How long it may wait, the caller's `deadline.Within` says.

        Returns:
            None if one of them is not new or its study not open: nothing was written.

        Raises:
            DatabaseError: nothing was written, or it is not known.
        """

    def enter_within(
        self, connection: Connection, arrivals: Sequence[Arrival]
    ) -> list[Recorded] | None:
        """Do the same inside a transaction that is open; None leaves no trace."""

    def close(self) -> None:
        """Close every connection that is not in use."""


def is_of_own_class(sop_class_uid: str) -> bool:
    """Say whether this node writes objects of the class."""
    return sop_class_uid.startswith(_SR_PREFIX) or sop_class_uid == _SECONDARY_CAPTURE


def arrival(item: ReceivedInstance) -> Arrival | None:
    """Return the instance as this way takes it; None if a column would change it."""
    texts = (
        f"{item.sop_class_uid}{item.sop_instance_uid}{item.study_instance_uid}"
        f"{item.series_instance_uid}{item.transfer_syntax_uid}{item.calling_ae_title}"
        f"{item.called_ae_title}{item.peer_address}{item.file_key}"
        f"{item.dataset_digest}{item.header.accession_number}"
    )
    if (
        not texts.isascii()
        or "\x00" in texts
        or len(item.calling_ae_title) > AE_LENGTH
        or len(item.called_ae_title) > AE_LENGTH
        or len(item.peer_address) > AE_LENGTH
        or len(item.header.accession_number) > NAME_LENGTH
        or is_of_own_class(item.sop_class_uid)
        or item.received_at.tzinfo is None
    ):
        return None
    return Arrival(item, header_text(item.header))


def touches(arrivals: Iterable[Arrival]) -> dict[str, Touch]:
    """Return what the arrivals do to their studies, in the order of the studies' UIDs.

    Everybody who locks several studies locks them in this order.
    """
    found: dict[str, Touch] = {}
    for one in arrivals:
        item = one.item
        touch = found.get(item.study_instance_uid)
        if touch is None:
            found[item.study_instance_uid] = Touch(
                item.study_instance_uid,
                item.header.accession_number,
                item.received_at,
                item.received_at,
                item.called_ae_title,
            )
            continue
        touch.last_at = item.received_at
        touch.called_ae_title = item.called_ae_title
        touch.accession_number = touch.accession_number or item.header.accession_number
    return dict(sorted(found.items())) if len(found) > 1 else found


def recorded(
    item: ReceivedInstance, *, study_id: int, instance_id: int, revision: int
) -> Recorded:
    """Return the answer to a new instance."""
    return Recorded(
        receipt=Receipt.NEW,
        study_id=StudyId(study_id),
        instance_id=InstanceId(instance_id),
        revision=revision,
        file_key=item.file_key,
    )
