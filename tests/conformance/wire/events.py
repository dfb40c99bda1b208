"""What an archive says of a storage commitment, as bytes (PS3.4 J.3.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from tests.conformance.wire.pdu import (
    CT,
    EXPLICIT,
    IMPLEMENTATION,
    IMPLICIT,
    VERIFICATION,
    Context,
    Offer,
    command_set,
    max_length,
    role,
    short,
    uid_value,
)

COMMITMENT: Final = "1.2.840.10008.1.20.1"
INSTANCE: Final = "1.2.840.10008.1.20.1.1"
TRANSACTION: Final = "1.2.826.0.1.3680043.10.1.77"
ROLE_SCP: Final = role(COMMITMENT, 0, 1)
CONTEXTS: Final = (
    Context(1, COMMITMENT, (IMPLICIT,)),
    Context(3, COMMITMENT, (EXPLICIT,)),
    Context(5, CT, (EXPLICIT,)),
    Context(9, VERIFICATION, (IMPLICIT,)),
)


def event_offer(*user_items: bytes, contexts: tuple[Context, ...] = CONTEXTS) -> Offer:
    """Return the request of an archive, with more user items than every request."""
    return Offer(
        contexts=contexts, user_items=(max_length(16384), IMPLEMENTATION, *user_items)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An N-EVENT-REPORT-RQ's command set (PS3.7 10.3.1.1)."""

    event_type: int = 1
    message_id: int = 1
    sop_class: str = COMMITMENT
    instance: str = INSTANCE
    dataset_type: int = 0
    without: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """Return the command set."""
        elements = (
            (0x0002, uid_value(self.sop_class)),
            (0x0100, short(0x0100)),
            (0x0110, short(self.message_id)),
            (0x0800, short(self.dataset_type)),
            (0x1000, uid_value(self.instance)),
            (0x1002, short(self.event_type)),
        )
        return command_set(item for item in elements if item[0] not in self.without)


def information(
    transaction_uid: str | None,
    *,
    committed: Sequence[str] = (),
    failed: Mapping[str, int] | None = None,
    explicit: bool = False,
) -> bytes:
    """Return Event Information, written by pydicom."""
    dataset = Dataset()
    if transaction_uid is not None:
        dataset.TransactionUID = transaction_uid
    if committed:
        dataset.ReferencedSOPSequence = [_reference(uid) for uid in committed]
    if failed:
        dataset.FailedSOPSequence = [_reference(uid) for uid in failed]
        for item, reason in zip(
            dataset.FailedSOPSequence, failed.values(), strict=True
        ):
            item.FailureReason = reason
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = True, not explicit
    write_dataset(stream, dataset)
    return stream.getvalue()


def _reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = CT
    item.ReferencedSOPInstanceUID = uid
    return item
