"""Take what an archive says of a Storage Commitment: N-EVENT-REPORT.

The archive, as SCP of the service, opens an association of its own for it.

Source: PS3.4 J.3.3, PS3.7 10.1.1 and 10.3.1.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence

from dicom_node.core.errors import CannotUnderstand, DatabaseError
from dicom_node.core.proof import CommitmentAnswer
from dicom_node.receive.elements import walk
from dicom_node.receive.limits import ScanLimits
from dicom_node.receive.progress import Wanted
from dicom_node.receive.scan import encoding_of, is_uid
from dicom_node.receive.view import DatasetView, Source

log = logging.getLogger("dicom_node.receive")

# PS3.4 J.3.5: the well-known SOP Instance of the Push Model.
COMMITMENT_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
# A thousand objects take 150 KiB, and the node asks for one at a time.
MAX_EVENT_BYTES: Final = 256 * 1024

# PS3.7 10.1.1.1.8 and annex C.
SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110
NO_SUCH_INSTANCE: Final = 0x0112
NO_SUCH_EVENT_TYPE: Final = 0x0113
NO_SUCH_ARGUMENT: Final = 0x0114
INVALID_ARGUMENT: Final = 0x0115
NO_SUCH_CLASS: Final = 0x0118
MISTYPED_ARGUMENT: Final = 0x0212
RESOURCE_LIMITATION: Final = 0x0213

# PS3.4 J.3.3.1.2: everything is committed; failures exist.
_ALL_COMMITTED: Final = 1
_EVENT_TYPES: Final = (_ALL_COMMITTED, 2)
_TRANSACTION_UID: Final = 0x00081195
_REFERENCED_SOPS: Final = 0x00081199
_FAILED_SOPS: Final = 0x00081198
_REFERENCED_INSTANCE: Final = 0x00081155
_FAILURE_REASON: Final = 0x00081197
_LIMITS: Final = ScanLimits(
    max_depth=8, max_elements=20_000, max_empty_elements=2_000, max_scan_seconds=1.0
)
_NOTHING: Final = Wanted(frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRequest:
    """An N-EVENT-REPORT-RQ on its presentation context.

    Args:
        event_type: Event Type ID as sent.
    """

    calling_ae_title: str
    abstract_syntax: str
    transfer_syntax_uid: str
    affected_sop_class_uid: str
    affected_sop_instance_uid: str
    event_type: bytes


# Says whether the node asked with this Transaction UID; returns when it is recorded.
OnCommitment = Callable[[CommitmentAnswer], bool]


class _Refused(Exception):
    """An event that cannot be taken, with its status and a fixed reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class EventHandler:
    """Answers N-EVENT-REPORT; safe for threads."""

    def __init__(self, on_commitment: OnCommitment) -> None:
        self._on_commitment = on_commitment

    def finish(self, request: EventRequest, encoded: bytes) -> int:
        """Answer an event whose data set is here with a status; never raise.

        Success is sent only once the result is committed.

        Args:
            encoded: Event Information; empty if there is none.
        """
        try:
            report = _read(request, encoded)
            if not self._on_commitment(report):
                raise _Refused(INVALID_ARGUMENT, "Transaction UID is not of this node")
        except _Refused as refusal:
            return _refuse(request, refusal.status, refusal.reason)
        except DatabaseError as error:
            return _refuse(request, RESOURCE_LIMITATION, type(error).__name__)
        except Exception as error:  # noqa: BLE001 - process edge: a status, never a text
            log.error(
                "commitment report failed",
                extra={"ae": request.calling_ae_title, "error": type(error).__name__},
            )
            return PROCESSING_FAILURE
        log.info(
            "commitment reported",
            extra={
                "ae": request.calling_ae_title,
                "count": len(report.committed),
                "refused": len(report.failed),
            },
        )
        return SUCCESS


def _refuse(request: EventRequest, status: int, reason: str) -> int:
    log.warning(
        "commitment report refused",
        extra={
            "ae": request.calling_ae_title,
            "reason": reason,
            "status": f"0x{status:04X}",
        },
    )
    return status


def _read(request: EventRequest, encoded: bytes) -> CommitmentAnswer:
    if request.affected_sop_class_uid != request.abstract_syntax:
        raise _Refused(NO_SUCH_CLASS, "Affected SOP Class UID is another service's")
    if request.affected_sop_instance_uid != COMMITMENT_INSTANCE:
        raise _Refused(NO_SUCH_INSTANCE, "Affected SOP Instance UID is unknown")
    event_type = int.from_bytes(request.event_type, "little")
    if len(request.event_type) != 2 or event_type not in _EVENT_TYPES:
        raise _Refused(NO_SUCH_EVENT_TYPE, "Event Type ID is neither 1 nor 2")
    if not encoded:
        raise _Refused(NO_SUCH_ARGUMENT, "there is no Event Information")
    dataset = _decode(encoded, request.transfer_syntax_uid)
    try:
        report = _report(dataset)
    except _Refused:
        raise
    except Exception:  # noqa: BLE001 - pydicom's conversions raise anything
        raise _Refused(MISTYPED_ARGUMENT, "an attribute has no such value") from None
    if event_type == _ALL_COMMITTED and not report.committed and not report.failed:
        raise _Refused(INVALID_ARGUMENT, "Referenced SOP Sequence is missing")
    return report


def _decode(encoded: bytes, transfer_syntax_uid: str) -> Dataset:
    """Check the structure within limits, and only then let pydicom parse it."""
    encoding = encoding_of(transfer_syntax_uid)
    try:
        with Source(DatasetView.of_bytes(encoded)) as source:
            walk(source, encoding, wanted=_NOTHING, limits=_LIMITS)
        return read_dataset(
            BytesIO(encoded),
            is_implicit_VR=not encoding.explicit,
            is_little_endian=encoding.little,
        )
    except CannotUnderstand as error:
        raise _Refused(MISTYPED_ARGUMENT, str(error)) from None
    except Exception:  # noqa: BLE001 - pydicom's readers raise anything
        raise _Refused(MISTYPED_ARGUMENT, "it cannot be parsed") from None


def _report(dataset: Dataset) -> CommitmentAnswer:
    transaction_uid = _uid(dataset, _TRANSACTION_UID, "Transaction UID")
    referenced = {_instance(item) for item in _items(dataset, _REFERENCED_SOPS)}
    failed = {_instance(item): _reason(item) for item in _items(dataset, _FAILED_SOPS)}
    return CommitmentAnswer(
        transaction_uid=transaction_uid,
        committed=frozenset(referenced - failed.keys()),
        failed=failed,
    )


def _items(dataset: Dataset, tag: int) -> list[Dataset]:
    """Return the items of a sequence, none of one that is missing."""
    value = _value(dataset, tag)
    if value is None:
        return []
    if not isinstance(value, Sequence):
        raise _Refused(MISTYPED_ARGUMENT, "an attribute is no sequence")
    return list(value)


def _reason(item: Dataset) -> int:
    """Return the Failure Reason; one that is missing is the most general."""
    value = _value(item, _FAILURE_REASON)
    return value if isinstance(value, int) else PROCESSING_FAILURE


def _instance(item: Dataset) -> str:
    return _uid(item, _REFERENCED_INSTANCE, "Referenced SOP Instance UID")


def _uid(dataset: Dataset, tag: int, name: str) -> str:
    value = str(_value(dataset, tag) or "").rstrip("\0 ")
    if not is_uid(value):
        raise _Refused(INVALID_ARGUMENT, f"{name} is missing or no UID")
    return value


def _value(dataset: Dataset, tag: int) -> object:
    element = dataset.get(tag)
    return None if element is None else element.value
